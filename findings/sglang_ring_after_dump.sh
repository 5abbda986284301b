#!/bin/sh
# SGLang 0.5.23, sglang/srt/eplb/expert_distribution.py: the recorder's ring of steps is filled with zeros when it has
# been dumped, but writing goes on at the old place, and a dump gives the ring as it lies in memory. So what a dump
# holds may begin anywhere, has rows of zeros anywhere, and says neither where it begins nor how many steps were
# recorded.
#
# Here: a ring of 8 steps, a layer of two experts; 6 steps, a dump, 4 steps, a dump. Step i counts i tokens for expert
# 0, from 1 on. Seen: 1 2 3 4 5 6 0 0, and then 9 10 0 0 0 0 7 8: the order is lost, and with it what is newest.
#
# A reader takes rows without tokens as not recorded, and no order among the others.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0 einops==0.8.2
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps sglang==0.5.23
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import torch

# The module alone, with stand-ins for the rest of the engine, and this process's counts for everybody's.
for name in ("", ".srt", ".srt.environ", ".srt.model_executor", ".srt.model_executor.forward_batch_info",
             ".srt.observability", ".srt.observability.metrics_collector", ".srt.runtime_context", ".srt.utils"):
    sys.modules["sglang" + name] = MagicMock(__path__=[])
engine = sys.modules["sglang.srt.runtime_context"]
engine.get_device.return_value.device = "cpu"
engine.reports_expert_balancedness.return_value = False
engine.get_exec.return_value.moe.expert_distribution_recorder_buffer_size = 8
engine.get_exec.return_value.moe.expert_distribution_recorder_mode = "stat"
torch.get_device_module = MagicMock()
torch.distributed.all_reduce = lambda tensor, op: None
recorder = sys.modules["recorder"] = types.ModuleType("recorder")
path = pathlib.Path(sysconfig.get_paths()["purelib"], "sglang/srt/eplb/expert_distribution.py")
exec(compile(path.read_text(), str(path), "exec"), recorder.__dict__)

experts = types.SimpleNamespace(num_layers=1, num_physical_experts=2, num_logical_experts=2, ep_size=1,
                                physical_to_logical_map=torch.tensor([[0, 1]]))
accumulator = recorder._Accumulator.init_new(experts, 0)


def dump(first, last):
    """What is dumped of expert 0 when steps first .. last were recorded; the recorder resets it each time, as here."""
    for step in range(first, last + 1):
        accumulator.append(step, "primary", {"global_physical_count": torch.tensor([[step, 0]])}, {})
    counts = accumulator.dump("object")["logical_count"][:, 0, 0].tolist()
    accumulator.reset()
    return counts


for steps, want in (((1, 6), [1, 2, 3, 4, 5, 6, 0, 0]), ((7, 10), [9, 10, 0, 0, 0, 0, 7, 8])):
    got = dump(*steps)
    print("steps", *steps, "are dumped as", *got)
    assert got == want
END
echo 'SGLang 0.5.23: after a dump the ring begins anywhere'
