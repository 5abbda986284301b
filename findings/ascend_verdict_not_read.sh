#!/bin/sh
# vllm-ascend 0.23.0, vllm_ascend/eplb/core/eplb_worker.py: a policy returns whether its plan is worth a change, and
# which layers gain most; the worker reads neither. The default policy says 0 unless the busiest NPUs lose 5 % of
# their load, and its plan is put in force all the same.
#
# Here: a layer of 64 experts on 8 NPUs of 9 slots, under a plan whose busiest NPU has 1.0006 of the mean load. Seen:
# the policy says 0, and in the plan that is then in force 57 of 72 slots hold another expert.
#
# A policy that wants to change nothing returns the table that it was given.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps vllm-ascend==0.23.0
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import numpy as np
import torch

# The worker and the default policy alone, with stand-ins for the rest of the engine; this is the worker of NPU 0.
for name in ("vllm", "vllm.distributed", "vllm.logger", "vllm_ascend", "vllm_ascend.eplb", "vllm_ascend.eplb.core",
             "vllm_ascend.eplb.core.eplb_utils", "vllm_ascend.eplb.core.policy",
             "vllm_ascend.eplb.core.policy.policy_factory"):
    sys.modules[name] = MagicMock(__path__=[])
folder = pathlib.Path(sysconfig.get_paths()["purelib"], "vllm_ascend/eplb/core")


def module(name):
    made = sys.modules["vllm_ascend.eplb.core." + name] = types.ModuleType(name)
    made.__package__ = ("vllm_ascend.eplb.core." + name).rpartition(".")[0]
    exec(compile((folder / (name.replace(".", "/") + ".py")).read_text(), name, "exec"), made.__dict__)
    return made


module("policy.policy_abstract")
policy = module("policy.policy_default_eplb").DefaultEplb()
sys.modules["vllm.distributed"].get_ep_group.return_value.rank_in_group = 0
sys.modules["vllm_ascend.eplb.core.policy.policy_factory"].PolicyFactory.generate_policy.return_value = policy
sys.modules["vllm_ascend.eplb.core.eplb_utils"].generate_log2phy_map.return_value = torch.zeros(1)
worker = module("eplb_worker").EplbWorker({}, 1)

NPUS, SLOTS, EXPERTS = 8, 9, 64
table = torch.tensor([[[(npu * 8 + slot) % EXPERTS for slot in range(SLOTS)] for npu in range(NPUS)]])
held = np.bincount(table.numpy().ravel())
load = held * (1000.0 + np.arange(EXPERTS) % 7)  # each slot has 1000 to 1006 tokens
of_slot = torch.from_numpy((load / held)[table.numpy()])
change, _, _ = policy.rebalance_experts(table, of_slot)
worker.shared_dict.update(expert_maps=worker.local2global(table), moe_load=of_slot)
worker.do_update()
after = worker.global2local(worker.shared_dict["expert_maps"], SLOTS)
per_npu = of_slot.sum(2)[0]
moved = int((after != table).sum())
print(f"busiest NPU {per_npu.max() / per_npu.mean():.4f} of the mean; the policy says {change};", moved, "of 72 slots change")
assert change == 0 and moved == 57
END
echo 'vllm-ascend 0.23.0: a plan that is not worth it is put in force'
