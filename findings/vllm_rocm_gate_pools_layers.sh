#!/bin/sh
# vLLM 0.33.0, vllm/distributed/eplb/eplb_state.py, EplbState.rearrange: on ROCm, when EPLB is synchronous, a new map
# is thrown away unless it lowers the imbalance of the ranks by 5 %, and that imbalance is taken of loads that are
# added up over all layers first. Layers that are skewed towards different ranks cancel out.
#
# Here: two layers of four experts on two ranks, two slots each. In layer 0 experts 0 and 1, which rank 0 holds, have
# 100 tokens each and the others 1; in layer 1 it is the other way round. Each layer waits for a rank with 200 of 202
# tokens, and the new map would leave 101 on each rank of both. Seen: each rank has 202 tokens over both layers before
# and after, so the new map is dropped and the old one stays. When both layers are skewed towards rank 0 the same new
# map is put in force, as it is in both cases where the platform is not ROCm.
#
# Whether a map pays is to be judged layer by layer, as layers run one after the other.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps vllm==0.33.0
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import torch

# The module alone, with stand-ins for the rest of the engine: one process that is rank 1 of two.
for name in ("", ".config", ".config.utils", ".distributed", ".distributed.parallel_state",
             ".distributed.stateless_coordinator", ".distributed.utils", ".logger", ".model_executor",
             ".model_executor.models", ".model_executor.models.interfaces", ".platforms", ".utils",
             ".utils.gpu_sync_debug", ".utils.torch_utils", ".distributed.eplb", ".distributed.eplb.async_worker",
             ".distributed.eplb.eplb_communicator", ".distributed.eplb.eplb_utils", ".distributed.eplb.policy",
             ".distributed.eplb.rebalance_execute"):
    sys.modules["vllm" + name] = MagicMock(__path__=[])
name = "vllm.distributed.eplb.eplb_state"
state = sys.modules[name] = types.ModuleType(name)
state.__package__ = "vllm.distributed.eplb"
path = pathlib.Path(sysconfig.get_paths()["purelib"], "vllm/distributed/eplb/eplb_state.py")
exec(compile(path.read_text(), str(path), "exec"), state.__dict__)
state.all_reduce = lambda tensor, group: None  # this rank's counts are everybody's
state.PIN_MEMORY = False
state.get_ep_group().device_group.rank.return_value = 1
state.get_ep_group().device_group.size.return_value = 2
state.get_node_count.return_value = 1


OLD, NEW = [0, 1, 2, 3], [0, 2, 1, 3]


def in_force(loads, rocm):
    """The maps after a rebalance for these loads [layers, experts], under OLD, whose slot i holds expert i."""
    state.current_platform.is_rocm.return_value = rocm
    eplb = state.EplbState(MagicMock(), torch.device("cpu"))
    eplb.policy = types.SimpleNamespace(rebalance_experts=lambda *problem: torch.tensor([NEW, NEW]))
    eplb.expert_load_window_size = 1
    window = torch.tensor([loads], dtype=torch.int32)
    model = types.SimpleNamespace(num_moe_layers=2, num_logical_experts=4, num_physical_experts=4, num_expert_groups=1,
                                  expert_weights=None)
    eplb.model_states["model"] = of_model = types.SimpleNamespace(
        physical_to_logical_map=torch.tensor([OLD, OLD]), expert_load_window=window, model=model, expert_buffer=None,
        logical_to_physical_map=torch.full((2, 4, 1), -1), logical_replica_count=torch.ones(2, 4, dtype=torch.long),
        communicator=None, model_name="", rebalanced=False)
    eplb.rearrange()
    return of_model.physical_to_logical_map.tolist()


cancel, agree = [[100, 100, 1, 1], [1, 1, 100, 100]], [[100, 100, 1, 1], [100, 100, 1, 1]]
for loads, rocm, want in ((cancel, True, OLD), (agree, True, NEW), (cancel, False, NEW), (agree, False, NEW)):
    got = in_force(loads, rocm)
    print(loads, "ROCm" if rocm else "elsewhere", "the map that is then in force:", got[0])
    assert got == [want, want]
END
echo 'vLLM 0.33.0: on ROCm layers that are skewed to different ranks cancel out'
