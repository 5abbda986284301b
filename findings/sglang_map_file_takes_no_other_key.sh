#!/bin/sh
# SGLang 0.5.23, sglang/srt/eplb/expert_location.py, compute_initial_expert_location_metadata: a file for
# --init-expert-location that has physical_to_logical_map may hold no other key, since each becomes an argument of a
# function; one that has logical_count may hold any, and takes counts of [layers, experts] or [steps, layers,
# experts].
#
# Here: a map of two experts on two slots. Seen: taken alone; with a "comment" beside it TypeError. Counts with the
# same comment are taken, in both shapes. The engine's own dump of logical counts has keys "rank" and others beside
# the counts.
#
# Who writes such files writes the map and nothing else, and keeps what else there is to say in another file.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps sglang==0.5.23
"$TMP/venv/bin/python" - <<'END'
import json, pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import torch

# The module alone, with stand-ins for the rest of the engine: 2 experts, 2 slots, 2 ranks on one node.
for name in ("", ".srt", ".srt.eplb", ".srt.eplb.eplb_algorithms", ".srt.elastic_ep", ".srt.elastic_ep.elastic_ep",
             ".srt.model_loader", ".srt.runtime_context"):
    sys.modules["sglang" + name] = MagicMock(__path__=[])
engine = sys.modules["sglang.srt.runtime_context"]
engine.get_device.return_value.device = "cpu"
engine.get_parallel.return_value = types.SimpleNamespace(ep_size=2, nnodes=1, elastic_ep_initial_size=None)
moe = engine.get_exec.return_value.moe = types.SimpleNamespace(
    ep_num_redundant_experts=0, eplb_algorithm="auto", ep_join_mode=None, ep_dispatch_algorithm="static",
    moe_a2a_backend="deepep", init_expert_location=None)
sys.modules["sglang.srt.elastic_ep.elastic_ep"].elastic_expanded_world_enabled.return_value = False
model = MagicMock()
model.get_model_config_for_expert_location.return_value = types.SimpleNamespace(
    num_layers=1, num_logical_experts=2, num_groups=None)
sys.modules["sglang.srt.model_loader"].get_model_architecture.return_value = (model, None)
location = types.ModuleType("expert_location")
location.__dict__["__name__"] = "expert_location"
sys.modules["expert_location"] = location
path = pathlib.Path(sysconfig.get_paths()["purelib"], "sglang/srt/eplb/expert_location.py")
exec(compile(path.read_text(), str(path), "exec"), location.__dict__)

algorithms = sys.modules["sglang.srt.eplb"].eplb_algorithms
algorithms.rebalance_experts.return_value = torch.tensor([[0, 1]]), torch.tensor([[[0], [1]]]), None
torch.distributed.get_rank = lambda: 0


def take(**file):
    moe.init_expert_location = json.dumps(file)
    made = location.compute_initial_expert_location_metadata(types.SimpleNamespace(hf_config=None), 0)
    return made.physical_to_logical_map.tolist()


assert take(physical_to_logical_map=[[1, 0]]) == [[1, 0]]
try:
    take(physical_to_logical_map=[[1, 0]], comment="of Monday")
    raise SystemExit("another key is taken")
except TypeError as error:
    print("physical_to_logical_map and a comment: TypeError,", error)
for count in ([[5, 7]], [[[5, 7]], [[6, 8]]]):
    assert take(logical_count=count, comment="of Monday") == [[0, 1]]
    asked = algorithms.rebalance_experts.call_args.kwargs["tokens_per_expert"]
    print("logical_count", count, "and a comment: taken as", list(asked.shape))
END
echo 'SGLang 0.5.23: a file with a map has no other key'
