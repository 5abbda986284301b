"""engines_vllm_policy.py WHEEL - examples/python/vllm_policy.py beside the policy and the scheduler of vLLM's package:
its place, its signature, what it moves and gains on windows that drift, and the same flows in the same batches."""

import inspect
import re
import sys
import time
import typing
import zipfile

import numpy as np

sys.path.insert(0, "tests/support")
from engines import Tally, module, moves, published, torch_or_stand_in

WHEEL = sys.argv[1]
LAYERS, EXPERTS, SLOTS, GROUPS, NODES, RANKS = 8, 256, 288, 8, 4, 32

tally = Tally("engines_vllm_policy.py")
check = tally.check
torch = torch_or_stand_in()
import eplb

# What the policy's package imports of vLLM's settings: the names that they admit.
settings = zipfile.ZipFile(WHEEL).read("vllm/config/parallel.py").decode()
names = re.search(r"^EPLBPolicyOption = (.*)$", settings, re.M).group(1)
module("vllm.config", get_current_vllm_config_or_none=lambda: None).__path__ = []
module("vllm.config.parallel", EPLBPolicyOption=eval(names, {"Literal": typing.Literal}))
abstract = published(WHEEL, "vllm.distributed.eplb.policy.abstract").AbstractEplbPolicy
default = published(WHEEL, "vllm.distributed.eplb.policy.default").DefaultEplbPolicy
scheduler = published(WHEEL, "vllm.distributed.eplb.migration_scheduler")
import vllm_policy


def test_place():
    path, line = "vllm/distributed/eplb/policy/__init__.py", vllm_policy.__doc__.splitlines()[2].strip()
    package = sys.modules["vllm.distributed.eplb.policy"]
    exec(zipfile.ZipFile(WHEEL).read(path).decode() + "\n" + line + "\n", package.__dict__)
    check("the line puts the policy in place", package.EPLB_POLICIES == {"default": vllm_policy.EplbPolicy})
    check("the settings admit that name alone", names == 'Literal["default"]')
    vllm_policy.EplbPolicy()  # raises where a method of the abstract class is missing
    arguments = lambda policy: list(inspect.signature(policy.rebalance_experts).parameters)
    check("the same arguments", arguments(vllm_policy.EplbPolicy) == arguments(abstract) == arguments(default))
    source = zipfile.ZipFile(WHEEL).read("vllm/distributed/eplb/async_worker.py").decode()
    check("the scheduler's name in the worker", "import schedule_migration_batches_for_layers" in source)


def windows(number):
    """[number, L, E] whole tokens: loads that drift, their logarithm AR(1)."""
    rng = np.random.default_rng(1)
    base, noise = rng.standard_normal((LAYERS, EXPERTS)), rng.standard_normal((LAYERS, EXPERTS))
    for _ in range(number):
        noise = 0.6 * noise + 0.8 * rng.standard_normal(noise.shape)
        yield np.exp(7 + base + 0.26 * noise).astype(np.int64)


def serve(policy, groups, nodes):
    """What each window moves, in a rank and layer, and the next one's balancedness, means but for the first."""
    plan, moved, even = (np.arange(SLOTS) % EXPERTS)[None].repeat(LAYERS, 0), [], []
    for window in windows(12):
        even.append(eplb.evaluate(window, plan, num_gpus=RANKS).balancedness.mean())
        load, old = torch.from_numpy(window), torch.from_numpy(plan)
        new = policy.rebalance_experts(load, SLOTS, groups, nodes, RANKS, old).numpy()
        check("int64", new.dtype == np.int64)
        check("whole", all(len(set(layer)) == EXPERTS for layer in new.tolist()))
        moved.append(moves(plan, new, RANKS))
        plan = new
    return np.array(moved[1:]), np.mean(even[2:])


def test_windows():
    for what, groups, nodes in (("global", 1, 1), ("8 groups on 4 nodes", GROUPS, NODES)):
        theirs, ours = serve(default, groups, nodes), serve(vllm_policy.EplbPolicy, groups, nodes)
        check("two moves into a rank at most", ours[0].max() <= 2)
        check("a tenth of theirs", ours[0].sum() * 10 < theirs[0].sum())
        check("at most 0.03 less even", ours[1] > theirs[1] - 0.03)
        print(f"{what}: experts that move in a window {theirs[0].mean() * RANKS / SLOTS:.1%} of slots, here "
              f"{ours[0].mean() * RANKS / SLOTS:.1%}; balancedness of the next {theirs[1]:.3f}, here {ours[1]:.3f}")


def test_time():
    """Of a large model's rebalances, one thread, by its CPU clock: the first, from vLLM's first map, and the next."""
    rng, one = np.random.default_rng(3), vllm_policy.policy(**{**vllm_policy.EplbPolicy.options, "threads": 1})
    fast, first = vllm_policy.policy(preset="deepseek"), (np.arange(SLOTS) % EXPERTS)[None].repeat(58, 0)
    policies = {"vLLM": default, "here": one, "here, preset DEEPSEEK, kept slots": fast}
    plans, seconds = dict.fromkeys(policies, first), {who: [] for who in policies}
    base = rng.standard_normal((58, EXPERTS))
    for _ in range(6):
        load = torch.from_numpy(np.exp(7 + base + 0.26 * rng.standard_normal(base.shape)).astype(np.int64))
        for who, policy in policies.items():
            start, old = time.thread_time(), torch.from_numpy(plans[who])
            plans[who] = policy.rebalance_experts(load, SLOTS, 1, 1, RANKS, old).numpy()
            seconds[who].append(time.thread_time() - start)
    print("58 layers, milliseconds, the first and the next: " +
          ", ".join(f"{who} {t[0] * 1e3:.0f} {np.median(t[1:]) * 1e3:.0f}" for who, t in seconds.items()))


def test_schedule():
    rng, flows = np.random.default_rng(2), 0
    for _ in range(100):
        ranks, local = int(rng.integers(1, 20)), int(rng.integers(1, 8))
        experts = int(rng.integers(1, ranks * local + 1))
        old, new = rng.integers(-1, experts, (2, 10, ranks * local))
        want = scheduler.schedule_migration_batches_for_layers(local, old, new)
        got = vllm_policy.schedule_migration_batches_for_layers(local, old, new)
        in_order = lambda layers: [[sorted(batch, key=lambda flow: (flow.src_rank, flow.dst_rank)) for batch in layer]
                                   for layer in layers]
        check("the same batches", in_order(want) == in_order(got))
        flows += sum(len(batch) for layer in want for batch in layer)
    print(f"all {flows} flows the same, as vLLM's own type")


def test_widths():
    load, wide = torch.from_numpy(np.ones((1, 4))), np.arange(12)[None] % 4
    try:
        default.rebalance_experts(load, 8, 1, 1, 4, torch.from_numpy(wide[:, :6]))
        check("a narrower map in force raises in vLLM's policy", False)
    except IndexError:
        check("it raises", True)
    kept = default.rebalance_experts(load, 8, 1, 1, 4, torch.from_numpy(wide)).numpy()
    check("a wider one does not", kept.shape == (1, 8))


test_place(), test_windows(), test_time(), test_schedule(), test_widths()
tally.end()
