#!/bin/sh
# vLLM 0.33.0, vllm/distributed/eplb/eplb_state.py: the window of expert loads is kept for each slot, is neither
# cleared nor converted when a new map is put in force, and all of it is credited to the experts that the slots hold
# now.
#
# Here: four experts on four ranks, one slot each, a window of 8 steps (window_size) and an interval of 4
# (step_interval). Each step brings 10, 5, 2 and 1 tokens for experts 0 to 3. After 4 steps the map changes: experts 1
# and 2 change places. Four steps later the window has 8 steps, for which 80, 40, 16, 8 were demanded. Seen: 80, 28,
# 28, 8; the policy is told that experts 1 and 2 are equally busy. With a window of 4 it is told 40, 20, 8, 4, as was
# demanded.
#
# Who reads such a window needs the map of each step, or a window no longer than the interval.
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

# The module alone, with stand-ins for the rest of the engine: one process that is one of four ranks.
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
state.get_ep_group().device_group.size.return_value = 4
state.get_node_count.return_value = 1
state.current_platform.is_rocm.return_value = False

DEMAND, MAPS = [10, 5, 2, 1], ([0, 1, 2, 3], [0, 2, 1, 3])


def seen(window):
    """What the policy is told after 4 and after 8 steps."""
    told = []

    class Policy:
        @staticmethod
        def rebalance_experts(load, *rest):
            told.append(load[0].tolist())
            return torch.tensor([MAPS[1]])

    eplb = state.EplbState(MagicMock(), torch.device("cpu"))
    eplb.policy, eplb.expert_load_window_size, eplb.expert_rearrangement_step_interval = Policy, window, 4
    model = types.SimpleNamespace(num_moe_layers=1, num_logical_experts=4, num_physical_experts=4, num_expert_groups=1,
                                  expert_weights=None)
    replicas = torch.tensor([[[slot, -1] for slot in range(4)]])
    load = torch.zeros(1, 4, dtype=torch.int32)
    of_model = types.SimpleNamespace(
        physical_to_logical_map=torch.tensor([MAPS[0]]), logical_to_physical_map=replicas,
        logical_replica_count=torch.ones(1, 4, dtype=torch.long), expert_load_pass=load,
        expert_load_window=torch.zeros(window, 1, 4, dtype=torch.int32), model=model, model_name="", rebalanced=False,
        expert_buffer=None, communicator=None)
    eplb.model_states["model"] = of_model
    for _ in range(8):
        for slot, expert in enumerate(of_model.physical_to_logical_map[0].tolist()):
            load[0, slot] = DEMAND[expert]
        eplb.step()
    assert of_model.physical_to_logical_map[0].tolist() == MAPS[1]
    return told


first, second = seen(8)
print("window 8, interval 4: told", first, "then", second, "where", [8 * tokens for tokens in DEMAND], "was demanded")
assert first == [40, 20, 8, 4] and second == [80, 28, 28, 8]
assert seen(4) == [[40, 20, 8, 4]] * 2
END
echo 'vLLM 0.33.0: the window is credited by the newest map'
