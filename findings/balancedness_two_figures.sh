#!/bin/sh
# "Balancedness" is two figures: vLLM 0.33.0 (EplbState.step, with log_balancedness) divides the sum over layers of
# the mean rank load by the sum of the maximum, so that busy layers count for more; SGLang 0.5.23
# (compute_utilization_rate in expert_distribution.py, whose mean over layers it logs and compares with its threshold)
# divides in each layer, with 1e-5 added to both, and all layers count alike.
#
# Here: two layers on four ranks, of 4000 tokens spread evenly and of 40 that are all on one rank. Seen: 0.9712 in
# vLLM, and 0.625 in SGLang. Without a token vLLM says 0.0 and SGLang 1.0.
#
# Figures of the two engines cannot be compared, nor a threshold be taken over from one to the other.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0 einops==0.8.2
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps vllm==0.33.0 sglang==0.5.23
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import einops, torch

# The module alone, with stand-ins for the rest of the engine: one process that is rank 0 of four.
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
state.get_ep_group().device_group.rank.return_value = 0
state.get_ep_group().device_group.size.return_value = 4


def vllm(load):
    """What is logged of tokens in each slot [layers, ranks]."""
    settings = MagicMock()
    settings.eplb_config.log_balancedness_interval = 1
    eplb = state.EplbState(settings, torch.device("cpu"))
    eplb.expert_load_window_size, eplb.expert_rearrangement_step_interval = 1, 100
    window = torch.zeros(1, *load.shape, dtype=torch.int32)
    eplb.model_states["model"] = types.SimpleNamespace(expert_load_pass=load.clone(), model_name="",
                                                       expert_load_window=window)
    state.logger.info.reset_mock()
    eplb.step(log_stats=True)
    text, *figures = state.logger.info.call_args.args
    assert "balancedness=%.4f" in text
    return figures[4]


path = pathlib.Path(sysconfig.get_paths()["purelib"], "sglang/srt/eplb/expert_distribution.py")
source = path.read_text()
part = source[source.index("def compute_utilization_rate("):]  # the last function of the module
sglang_module = types.ModuleType("expert_distribution")
sglang_module.__dict__.update(torch=torch, einops=einops)
exec(part, sglang_module.__dict__)


def sglang(load):
    return float(torch.mean(sglang_module.compute_utilization_rate(load)))


skewed = torch.tensor([[1000, 1000, 1000, 1000], [40, 0, 0, 0]], dtype=torch.int32)
for load, wanted in ((skewed, (0.9712, 0.625)), (0 * skewed, (0.0, 1.0))):
    got = vllm(load), sglang(load)
    print(load.tolist(), "vLLM %.4f, SGLang %.4f" % got)
    assert [round(figure, 4) for figure in got] == list(wanted)
END
echo 'two figures of one name'
