#!/bin/sh
# vllm-ascend 0.23.0, vllm_ascend/eplb/core/eplb_worker.py, compose_expert_update_info_greedy: of the NPUs that hold
# an expert which others are to get, the first one sends all copies, and the others none. (vLLM 0.33.0 deals the
# receivers over them.)
#
# Here: expert 0 is on NPUs 0, 1 and 2 and is to go to 3, 4 and 5 as well. Seen: NPU 0 sends three times, 1 and 2 not
# at all.
#
# Two new replicas of an expert that has two take twice as long as one; plans that move few experts lose least by it.
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

before = torch.tensor([[[0, 1], [0, 2], [0, 3], [4, 1], [5, 2], [6, 3]]])
after = torch.tensor([[[0, 1], [0, 2], [0, 3], [4, 0], [5, 0], [6, 0]]])
maps = [worker.local2global(table) for table in (after, before)]
((sends, receives, _, _),) = worker.compose_expert_update_info_greedy(*maps)
print("sends, by NPU, as (to, expert):", sends)
assert sends == {0: [(3, 0), (4, 0), (5, 0)]}
END
echo 'vllm-ascend 0.23.0: the first holder sends all copies'
