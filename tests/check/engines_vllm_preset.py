"""engines_vllm_preset.py WHEEL - preset VLLM beside the default policy of vLLM's package, as it is published: the same
plans on 1000 random inputs without ties, global and hierarchical, with and without a map in force. On inputs with ties,
the same as that policy gives with a stable sort; and how many of them differ with NumPy's own."""

import sys

import numpy as np

sys.path.insert(0, "tests/support")
from engines import Tally, module, published, torch_or_stand_in

WHEEL = sys.argv[1]
INPUTS, TIED, LAYERS = 1000, 1000, 2

tally = Tally("engines_vllm_preset.py")
torch = torch_or_stand_in()
import eplb

module("vllm.config.parallel")
published(WHEEL, "vllm.distributed.eplb.policy.abstract")
default = published(WHEEL, "vllm.distributed.eplb.policy.default").DefaultEplbPolicy
stable = published(WHEEL, "vllm.distributed.eplb.policy.default")


class StableNumPy:
    """NumPy, but that it sorts equals by their indices."""

    def __getattr__(self, name):
        return getattr(np, name)

    def argsort(self, array, axis=-1):
        return np.argsort(array, axis=axis, kind="stable")


stable.np = StableNumPy()


def random_shape(rng):
    """experts, slots, groups, nodes, GPUs"""
    if rng.random() < 0.1:
        return [(256, 288, 8, 4, 32), (256, 320, 1, 1, 64), (512, 640, 16, 16, 128), (160, 192, 8, 8, 64)][rng.integers(4)]
    nodes = int(rng.choice([1, 1, 2, 4]))
    groups, size = nodes * int(rng.integers(1, 6)), int(rng.integers(1, 60 if rng.random() < 0.9 else 700))
    gpus, experts = nodes * int(rng.integers(1, 9)), groups * size
    slots = -(-experts // gpus) + int(rng.integers(0, 4))
    if rng.random() < 0.25:  # not hierarchical: nodes do not divide the groups
        nodes, groups = (2, 1) if gpus % 2 == 0 else (1, 1)
    return experts, slots * gpus, groups, nodes, gpus


def random_loads(rng, experts):
    sd = rng.choice([0.1, 1.0, 3.0])
    load = rng.lognormal(0, sd, (LAYERS, experts)) * 10.0 ** rng.integers(-3, 7)
    return load.astype(np.float32)


def tied_loads(rng, experts):
    load = rng.poisson(rng.choice([0.5, 3, 40]) * rng.lognormal(0, 1, (LAYERS, experts))).astype(np.float32)
    load[:, 0] += 1  # a layer without load is planned as if it were even
    return load


def random_map(rng, plan, experts):
    """A map in force that shares much with a plan: some slots have changed places, some hold others, or nothing."""
    before = plan.copy()
    for layer in before:
        some = rng.permutation(layer.size)[:rng.integers(0, layer.size + 1)]
        layer[some] = layer[rng.permutation(some)]
        some = rng.random(layer.size) < rng.choice([0, 0.1, 0.5])
        layer[some] = rng.integers(-1 if rng.random() < 0.3 else 0, experts, some.sum())
    return before


def is_free_of_ties(load, plan, groups, nodes):
    """Whether no two experts of a node tie by their loads over their replicas, nor groups by their loads."""
    experts = load.shape[1]
    hierarchical = groups % nodes == 0
    for row, slots in zip(load, plan):
        share = row / np.bincount(slots, minlength=experts)
        for node in np.split(slots, nodes if hierarchical else 1):
            mine = share[np.unique(node)]
            if len(set(mine.tolist())) < mine.size:
                return False
        sums = row.reshape(groups, -1).sum(-1) if hierarchical else row[:0]
        if len(set(sums.tolist())) < sums.size:
            return False
    return True


def theirs(policy, load, shape, before):
    _, slots, groups, nodes, gpus = shape
    old = None if before is None else torch.from_numpy(before)
    return np.array(policy.rebalance_experts(torch.from_numpy(load), slots, groups, nodes, gpus, old).numpy())


def ours(load, shape, before):
    _, slots, groups, nodes, gpus = shape
    return eplb.rebalance_experts(load, slots, groups, nodes, gpus, preset="vllm", previous=before)


def draw(rng, loads):
    shape = random_shape(rng)
    load = loads(rng, shape[0])
    plan = theirs(default, load, shape, None)
    return shape, load, plan, random_map(rng, plan, shape[0]) if rng.random() < 0.6 else None


def test_without_ties(rng):
    ran, kept, hierarchical = 0, 0, 0
    while ran < INPUTS:
        shape, load, plan, before = draw(rng, random_loads)
        if not is_free_of_ties(load, plan, shape[2], shape[3]):
            continue
        want, (got, log2phy, logcnt) = theirs(default, load, shape, before), ours(load, shape, before)
        tally.check(f"input {ran}: {shape}", np.array_equal(want, got))
        tally.check("as many replicas", np.array_equal(logcnt, [np.bincount(layer, minlength=shape[0]) for layer in want]))
        slots_of = [[np.flatnonzero(layer == e).tolist() for e in range(shape[0])] for layer in want]
        tally.check("slots of experts ascend", slots_of == [[[s for s in e if s >= 0] for e in layer]
                                                            for layer in log2phy.tolist()])
        ran, kept, hierarchical = ran + 1, kept + (before is not None), hierarchical + (shape[2] % shape[3] == 0)
    print(f"{ran} inputs without ties: the same plans; {hierarchical} hierarchical, {kept} from a map in force")


def test_with_ties(rng):
    other = 0
    for i in range(TIED):
        shape, load, _, before = draw(rng, tied_loads)
        got = ours(load, shape, before)[0]
        tally.check(f"tied input {i}: {shape}", np.array_equal(theirs(stable.DefaultEplbPolicy, load, shape, before), got))
        other += not np.array_equal(theirs(default, load, shape, before), got)
    print(f"{TIED} inputs with ties: the same plans as with a stable sort; with NumPy {np.__version__}'s own {other} others")


test_without_ties(np.random.default_rng(1))
test_with_ties(np.random.default_rng(2))
tally.end()
