"""engines_ascend.py WHEEL - examples/python/ascend_policy.py inside vllm-ascend's package: its worker, window after
window, takes each table that the policy makes, beside the policy that it replaces. Needs PyTorch."""

import sys
import types
import zipfile

import numpy as np

sys.path.insert(0, "tests/support")
from engines import Tally, module, moves, published, torch_or_stand_in

WHEEL = sys.argv[1]
LAYERS, EXPERTS, NPUS, LOCAL = 6, 64, 8, 9  # one more on each NPU than without replicas: the default policy's limit

tally = Tally("engines_ascend.py")
check = tally.check
torch = torch_or_stand_in()
import eplb

errors = []
log = types.SimpleNamespace(info=lambda *a: None, debug=lambda *a: None, warning=lambda *a: None,
                            error=lambda text, *a: errors.append(text % a))
module("vllm.logger", logger=log)
module("vllm.distributed", get_ep_group=lambda: types.SimpleNamespace(rank_in_group=0)).__path__ = []
module("vllm.model_executor.layers.fused_moe.expert_map_manager", determine_expert_map=None)
POLICIES = "vllm_ascend.eplb.core.policy"
module(f"{POLICIES}.policy_flashlb", FlashLB=None, warm_up=None)  # needs Numba
module(f"{POLICIES}.policy_swift_balancer", SwiftBalanceEplb=None)  # needs PyTorch for NPUs
for name in ("policy_abstract", "policy_default_eplb", "policy_random"):
    published(WHEEL, f"{POLICIES}.{name}")
utils = published(WHEEL, "vllm_ascend.eplb.core.eplb_utils")


def worker(line=""):
    """The worker of NPU 0 as published, but for this line after the imports of the module that makes policies."""
    source = zipfile.ZipFile(WHEEL).read(f"{POLICIES}.policy_factory".replace(".", "/") + ".py").decode()
    factory = module(f"{POLICIES}.policy_factory")
    exec(source.replace("\nclass PolicyFactory", f"\n{line}\n\nclass PolicyFactory"), factory.__dict__)
    return published(WHEEL, "vllm_ascend.eplb.core.eplb_worker").EplbWorker({}, 1)


def first_maps():
    """[layers, NPUs, experts] the place of each expert on each NPU, or -1, as the engine begins."""
    maps = torch.full((NPUS, EXPERTS), -1, dtype=torch.int32)
    for npu, held in enumerate(utils.generate_global_placement(EXPERTS, NPUS, NPUS * LOCAL - EXPERTS, 0)):
        maps[npu, held.long()] = torch.arange(LOCAL, dtype=torch.int32)
    return maps[None].repeat(LAYERS, 1, 1)


def windows(number):
    rng = np.random.default_rng(1)
    base, noise = rng.standard_normal((LAYERS, EXPERTS)), rng.standard_normal((LAYERS, EXPERTS))
    for _ in range(number):
        noise = 0.6 * noise + 0.8 * rng.standard_normal(noise.shape)
        yield np.exp(7 + base + 0.26 * noise).astype(np.int64)


def serve(line):
    del errors[:]
    engine, moved, even = worker(line), [], []
    engine.shared_dict["expert_maps"] = first_maps()
    table = engine.global2local(first_maps(), LOCAL)
    for load in windows(12):
        flat = table.numpy().reshape(LAYERS, -1)
        even.append(eplb.evaluate(load, flat, num_gpus=NPUS).balancedness.mean())
        share = load / np.stack([np.bincount(layer, minlength=EXPERTS) for layer in flat])
        tokens = np.take_along_axis(share, flat, 1).reshape(table.shape)
        engine.shared_dict["moe_load"] = torch.from_numpy(tokens)
        engine.do_update()
        table = engine.global2local(engine.shared_dict["expert_maps"], LOCAL)
        moved.append(moves(flat, table.numpy().reshape(LAYERS, -1), NPUS))
    return np.array(moved[1:]).mean() / LOCAL, np.mean(even[2:]), len(errors)


theirs, ours = serve(""), serve("from ascend_policy import EplbPolicy as DefaultEplb")
check(f"the worker takes all tables: {errors}", ours[2] == 0)
check("a quarter of their moves", ours[0] * 4 < theirs[0])
check("at most 0.03 less even", ours[1] > theirs[1] - 0.03)
print(f"experts that move in a window {theirs[0]:.1%} of slots, here {ours[0]:.1%}; balancedness of the next "
      f"{theirs[1]:.3f}, here {ours[1]:.3f}; layers that the worker refuses {theirs[2]}, here {ours[2]}")
tally.end()
