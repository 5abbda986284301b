# follow.py LIBRARY - eplb_rebalance from the plan in force beside an independent assignment, on shapes of large models:
# SciPy's linear_sum_assignment of the fresh plan's GPUs to those in force, nodes to nodes and GPUs within them, has as few
# moves, and with so few as many slots kept. LIBRARY is eplb.h as a shared one.
import ctypes
import sys
import time

import numpy as np
from scipy.optimize import linear_sum_assignment

GLOBAL, HIERARCHICAL = 2, 1  # policies
PRESETS = {"default": 0, "deepseek": 1}
SHAPES = [  # experts, replicas, GPUs, nodes, groups
    (256, 288, 32, 4, 8), (256, 320, 64, 8, 8), (512, 640, 128, 8, 16), (1024, 2048, 512, 16, 32)]
LAYERS = 2

eplb = ctypes.CDLL(sys.argv[1])


class Problem(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("layers", "experts", "replicas", "groups", "nodes", "gpus", "samples")]


class Plan(ctypes.Structure):
    _fields_ = [("phy2log", ctypes.c_void_p), ("phyrank", ctypes.c_void_p), ("logcnt", ctypes.c_void_p),
                ("log2phy", ctypes.c_void_p), ("log2phy_width", ctypes.c_int32), ("layer_status", ctypes.c_void_p)]


class Packing(ctypes.Structure):
    _fields_ = [("numbers", ctypes.c_int32 * 6), ("noise_scale", ctypes.c_float), ("select", ctypes.c_int32)]


class Options(ctypes.Structure):
    _fields_ = [("policy", ctypes.c_int32), ("replication", ctypes.c_int32), ("fixup_steps", ctypes.c_int32),
                ("max_replicas", ctypes.c_int32), ("group_packing", Packing), ("gpu_packing", Packing),
                ("seed", ctypes.c_uint64), ("effort", ctypes.c_int32), ("allow_duplicates", ctypes.c_int32),
                ("sample_weight", ctypes.c_void_p), ("shares", ctypes.c_int32), ("previous_phy2log", ctypes.c_void_p),
                ("max_moves", ctypes.c_int32), ("max_gpu_moves", ctypes.c_int32), ("max_pair_moves", ctypes.c_int32),
                ("max_node_moves", ctypes.c_int32), ("move_cost", ctypes.c_float)]


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


def call(name, *arguments):
    result = getattr(eplb, name)(*arguments)
    assert result == 0, f"{name}: {result}"


def plan(problem, preset, policy, load, previous=None):
    """The plan, and the seconds that took."""
    options, bytes_needed = Options(), ctypes.c_size_t()
    call("eplb_options_preset", preset, ctypes.byref(options))
    options.policy = policy
    options.previous_phy2log = previous.ctypes.data if previous is not None else None
    call("eplb_scratch_size", ctypes.byref(problem), ctypes.byref(options), ctypes.byref(bytes_needed))
    scratch = np.empty(bytes_needed.value, np.uint8)
    phy2log = np.empty((problem.layers, problem.replicas), np.int32)
    out = Plan(phy2log=phy2log.ctypes.data)
    start = time.perf_counter()
    call("eplb_rebalance", ctypes.byref(problem), ctypes.byref(options), address(load), ctypes.byref(out), address(scratch),
         ctypes.c_size_t(scratch.size))
    return phy2log, time.perf_counter() - start


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
        problem = Problem(LAYERS, experts, replicas, groups, nodes, gpus, 1)
        first = random.lognormal(0.0, 1.0, (LAYERS, experts)).astype(np.float32)
        second = (first * random.lognormal(0.0, 0.4, first.shape)).astype(np.float32)
        for name, preset in PRESETS.items():
            for policy in GLOBAL, HIERARCHICAL:
                previous, _ = plan(problem, preset, policy, first)
                previous[1, random.integers(0, replicas, replicas // 20)] = -1
                fresh, without = plan(problem, preset, policy, second)
                followed, seconds = plan(problem, preset, policy, second, previous)
                report = []
                for layer in range(LAYERS):
                    before, after, new = (copies(p[layer], experts, gpus) for p in (previous, followed, fresh))
                    moves, _ = moves_and_kept(before, after)
                    got = int(np.trace(moves)), int(((followed[layer] == previous[layer]) & (followed[layer] >= 0)).sum())
                    want = least(before, new, nodes if policy == HIERARCHICAL else 1, replicas)
                    assert got == want, f"layer {layer}: {got[0]} moves and {got[1]} slots kept, SciPy {want[0]} and {want[1]}"
                    report.append(f"{got[0]} moves {got[1]} kept")
                print(f"{experts} x {replicas} x {gpus}, {name}, {'global' if policy == GLOBAL else 'hierarchical'}: equal: "
                      f"{', '.join(report)}; {seconds / LAYERS * 1e6:.0f} us a layer, {without / LAYERS * 1e6:.0f} without")


main()
