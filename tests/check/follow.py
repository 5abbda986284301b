# follow.py - eplb_rebalance from the plan in force beside an independent assignment, on shapes of large models: SciPy's
# linear_sum_assignment of the fresh plan's GPUs to those in force, nodes to nodes and GPUs within them, has as few moves,
# and with so few as many slots kept. By examples/python/eplb.py and the library of EPLB_LIBRARY.
import pathlib
import sys

import numpy as np
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
import eplb  # noqa: E402

SHAPES = [  # experts, replicas, GPUs, nodes, groups
    (256, 288, 32, 4, 8), (256, 320, 64, 8, 8), (512, 640, 128, 8, 16), (1024, 2048, 512, 16, 32)]
LAYERS = 2


def copies(slots, experts, gpus):
    """[G, E] slots of each GPU with each expert."""
    count = np.zeros((gpus, experts), np.int64)
    gpu, held = np.repeat(np.arange(gpus), slots.size // gpus), slots >= 0
    np.add.at(count, (gpu[held], slots[held]), 1)
    return count


def moves_and_kept(before, after):
    """Of each new GPU in each old one's place: [new, old]."""
    nobody = before.sum(0) == 0
    wanted = ((after > 0) & ~nobody).astype(np.int64)
    moves = wanted.sum(1)[:, None] - wanted @ (before > 0).astype(np.int64).T
    kept = np.stack([np.minimum(row, before).sum(1) for row in after])
    return moves, kept


def least(before, fresh, nodes, slots):
    """The fewest moves of any relabelling within the hierarchy, and the most slots kept with these."""
    moves, kept = moves_and_kept(before, fresh)
    cost = moves * (slots + 1) - kept
    per_node = len(before) // nodes
    by_node = np.empty((nodes, nodes), np.int64)
    for a in range(nodes):
        for b in range(nodes):
            within = cost[a * per_node:(a + 1) * per_node, b * per_node:(b + 1) * per_node]
            by_node[a, b] = within[linear_sum_assignment(within)].sum()
    total = int(by_node[linear_sum_assignment(by_node)].sum())
    fewest = -(-total // (slots + 1))
    return fewest, fewest * (slots + 1) - total


def main():
    random = np.random.default_rng(1)
    for experts, replicas, gpus, nodes, groups in SHAPES:
        first = random.lognormal(0.0, 1.0, (LAYERS, experts)).astype(np.float32)
        second = (first * random.lognormal(0.0, 0.4, first.shape)).astype(np.float32)
        for preset in "default", "deepseek":
            for policy in "global", "hierarchical":
                def plan(load, previous=None):
                    return eplb.rebalance_experts(load, replicas, groups, nodes, gpus, preset=preset, policy=policy,
                                                  previous=previous)[0]

                previous = plan(first)
                previous[1, random.integers(0, replicas, replicas // 20)] = -1
                fresh, followed = plan(second), plan(second, previous)
                report = []
                for layer in range(LAYERS):
                    before, after, new = (copies(p[layer], experts, gpus) for p in (previous, followed, fresh))
                    moves, _ = moves_and_kept(before, after)
                    got = int(np.trace(moves)), int(((followed[layer] == previous[layer]) & (followed[layer] >= 0)).sum())
                    want = least(before, new, nodes if policy == "hierarchical" else 1, replicas)
                    assert got == want, f"layer {layer}: {got[0]} moves and {got[1]} slots kept, SciPy {want[0]} and {want[1]}"
                    report.append(f"{got[0]} moves {got[1]} kept")
                print(f"{experts} x {replicas} x {gpus}, {preset}, {policy}: equal: {', '.join(report)}")


main()
