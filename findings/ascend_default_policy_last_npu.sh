#!/bin/sh
# vllm-ascend 0.23.0, vllm_ascend/eplb/core/policy/policy_default_eplb.py (policy_type 1): where every NPU with room
# holds an expert already, the index of the NPU to put it on is still -1, which Python takes for the last one. The
# last NPU then holds the expert twice, and the worker that asked refuses the layer's plan and keeps the old one, with
# an error in the log.
#
# Here: 4 experts on two NPUs of three slots, with 10, 40, 90 and 10 tokens. Seen: 0 1 2 and 2 3 2. Of 1000 layers of
# 64 experts with lognormal loads on 8 NPUs of 9 slots, 2 end so.
#
# Layers that the log names keep a plan for old loads until the next window.
#
# Run with Python 3.11 on x86-64 Linux; installs some 200 MB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps vllm-ascend==0.23.0
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
import numpy as np

# Two files alone, without the rest of the engine; they need NumPy and nothing else.
folder = pathlib.Path(sysconfig.get_paths()["purelib"], "vllm_ascend/eplb/core/policy")
sys.modules["policy"] = types.ModuleType("policy")
for name in ("policy_abstract", "policy_default_eplb"):
    made = sys.modules["policy." + name] = types.ModuleType("policy." + name)
    made.__package__ = "policy"
    exec(compile((folder / (name + ".py")).read_text(), name, "exec"), made.__dict__)


def plan(load, npus, slots):
    """From a table with the experts in order, and with the next ones in the slots that are left on each NPU."""
    own = len(load) // npus
    table = np.array([[[(npu * own + slot) % len(load) for slot in range(slots)] for npu in range(npus)]])
    of_slot = (load / np.bincount(table.ravel()))[table]
    return made.DefaultEplb().rebalance_experts(table, of_slot)[2][0]


twice = lambda table: [len(set(held)) < len(held) for held in table]
small = plan(np.array([10.0, 40.0, 90.0, 10.0]), 2, 3)
print("tokens 10 40 90 10:", *small)
assert small == [[0, 1, 2], [2, 3, 2]]
rng = np.random.default_rng(0)
tables = [twice(plan(np.round(np.exp(rng.normal(size=64)) * 1000), 8, 9)) for _ in range(1000)]
found = sum(map(any, tables))
print("of 1000 layers", found, "have an expert twice on an NPU")
assert found > 0 and all(not any(table[:-1]) for table in tables)
END
echo 'vllm-ascend 0.23.0: an expert without a place goes to the last NPU'
