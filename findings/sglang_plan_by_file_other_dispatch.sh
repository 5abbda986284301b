#!/bin/sh
# SGLang 0.5.23, sglang/srt/eplb/expert_location.py: with static dispatch and an all-to-all backend a plan that comes
# from a file (--init-expert-location with physical_to_logical_map) is served by other tables than the same plan made
# inside (init_by_eplb, as in a rebalance), and shares that were to be fair are not.
#
# Which replica a rank uses is dealt over all ranks with one seed, so that each rank finds the same deal by itself.
# From a file each rank first narrows the experts that it holds to its own replica; for those nothing is dealt, so
# ranks draw different numbers from then on and no longer agree on one deal.
#
# Here: 16 ranks of three slots on one node, 16 experts with three replicas each. Seen, ranks that use each replica of
# expert 7: 6, 5, 5 when made inside and 8, 5, 3 from a file; of all experts never more than 6 or fewer than 5 inside,
# and up to 8 and down to 2 from a file.
#
# Who brings plans from outside is better served by the algorithm's hook than by a file.
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

# The module alone, with stand-ins for the rest of the engine: 16 experts, 48 slots, 16 ranks on one node.
for name in ("", ".srt", ".srt.eplb", ".srt.eplb.eplb_algorithms", ".srt.elastic_ep", ".srt.elastic_ep.elastic_ep",
             ".srt.model_loader", ".srt.runtime_context"):
    sys.modules["sglang" + name] = MagicMock(__path__=[])
engine = sys.modules["sglang.srt.runtime_context"]
engine.get_device.return_value.device = "cpu"
engine.get_parallel.return_value = types.SimpleNamespace(ep_size=16, nnodes=1, elastic_ep_initial_size=None)
moe = engine.get_exec.return_value.moe = types.SimpleNamespace(
    ep_num_redundant_experts=32, eplb_algorithm="auto", ep_join_mode=None, ep_dispatch_algorithm="static",
    moe_a2a_backend="deepep", init_expert_location=None)
sys.modules["sglang.srt.elastic_ep.elastic_ep"].elastic_expanded_world_enabled.return_value = False
model = MagicMock()
model.get_model_config_for_expert_location.return_value = types.SimpleNamespace(
    num_layers=1, num_logical_experts=16, num_groups=None)
sys.modules["sglang.srt.model_loader"].get_model_architecture.return_value = (model, None)
location = types.ModuleType("expert_location")
location.__dict__["__name__"] = "expert_location"
sys.modules["expert_location"] = location
path = pathlib.Path(sysconfig.get_paths()["purelib"], "sglang/srt/eplb/expert_location.py")
exec(compile(path.read_text(), str(path), "exec"), location.__dict__)

EXPERTS, SLOTS, RANKS = 16, 48, 16
plan = [slot % EXPERTS for slot in range(SLOTS)]
replicas = [list(range(expert, SLOTS, EXPERTS)) for expert in range(EXPERTS)]


def of_file(rank):
    moe.init_expert_location = json.dumps({"physical_to_logical_map": [plan]})
    return location.compute_initial_expert_location_metadata(types.SimpleNamespace(hf_config=None), rank)


def inside(rank):
    algorithms = sys.modules["sglang.srt.eplb"].eplb_algorithms
    algorithms.rebalance_experts.return_value = torch.tensor([plan]), torch.tensor([replicas]), None
    torch.distributed.get_rank = lambda: rank
    return location.ExpertLocationMetadata.init_by_eplb(types.SimpleNamespace(hf_config=None), torch.ones(1, EXPERTS))


def shares(make):
    """[experts][replicas] ranks that use each."""
    uses = [make(rank).logical_to_rank_dispatch_physical_map[0].tolist() for rank in range(RANKS)]
    return [[sum(use[expert] == slot for use in uses) for slot in replicas[expert]] for expert in range(EXPERTS)]


got = {make.__name__: shares(make) for make in (inside, of_file)}
for name, ranks in got.items():
    print(name, "expert 7:", ranks[7], "fewest and most of all:", min(map(min, ranks)), max(map(max, ranks)))
assert got["inside"][7] == [6, 5, 5] and got["of_file"][7] == [8, 5, 3]
assert [min(map(min, got["inside"])), max(map(max, got["inside"]))] == [5, 6]
assert [min(map(min, got["of_file"])), max(map(max, got["of_file"]))] == [2, 8]
END
echo 'SGLang 0.5.23: a plan from a file is served by other tables'
