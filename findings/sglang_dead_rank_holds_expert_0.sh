#!/bin/sh
# SGLang 0.5.23, sglang/srt/eplb/eplb_algorithms/elasticity_aware.py: where a rank is gone, its slots say expert 0 in
# the map of slots to experts, while the map of experts to slots, made before, does not name them. Whoever has the
# first map alone and inverts it finds replicas of expert 0 on a rank that is not there.
#
# Here: 4 experts on 8 slots of 4 ranks, of which rank 2 is gone. Seen: its slots 4 and 5 say expert 0 in each layer;
# the slots named for expert 0 are others; inverted, the first map has two slots more for expert 0 than the engine's
# count of its replicas says.
#
# A reader of such a map needs to be told which ranks are there.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps sglang==0.5.23
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
import torch

# Two modules alone, without the rest of the engine.
folder = pathlib.Path(sysconfig.get_paths()["purelib"], "sglang/srt/eplb/eplb_algorithms")
for name in ("sglang", "sglang.srt", "sglang.srt.eplb", "sglang.srt.eplb.eplb_algorithms"):
    sys.modules[name] = types.ModuleType(name)
for name in ("deepseek", "elasticity_aware"):
    made = sys.modules["sglang.srt.eplb.eplb_algorithms." + name] = types.ModuleType(name)
    exec(compile((folder / (name + ".py")).read_text(), name, "exec"), made.__dict__)

load = torch.tensor([[40.0, 30.0, 20.0, 10.0], [1.0, 2.0, 3.0, 4.0]])
active = torch.tensor([1, 1, 0, 1])
slot_to_expert, expert_to_slot, replicas = made.rebalance_experts(load, 8, 1, 1, 4, False, active)
for layer in range(2):
    named = [slot for slot in expert_to_slot[layer, 0].tolist() if slot >= 0]
    inverted = [slot for slot, expert in enumerate(slot_to_expert[layer].tolist()) if expert == 0]
    print("slots", slot_to_expert[layer].tolist(), "expert 0:", named, "inverted:", inverted)
    assert slot_to_expert[layer, 4:6].tolist() == [0, 0]
    assert sorted(named + [4, 5]) == inverted and len(named) == replicas[layer, 0]
END
echo 'SGLang 0.5.23: slots of a dead rank say expert 0'
