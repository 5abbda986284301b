# shares.py LIBRARY - eplb_share beside a linear program, on shapes of large models: the heaviest GPU's tokens are
# SciPy's optimum (HiGHS), rounded up, and take less than a hundredth of its time. LIBRARY is eplb.h as a shared one.
import ctypes
import sys
import time

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

LEAST_MAX = 0
DEEPSEEK = 1  # preset
SHAPES = [(256, 288, 32), (256, 320, 64), (512, 640, 128), (1024, 2048, 512)]
LAYERS = 3
TOLERANCE = 1e-6  # of the solver, relative
LEAST_SPEEDUP = 100

eplb = ctypes.CDLL(sys.argv[1])


class Problem(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("layers", "experts", "replicas", "groups", "nodes", "gpus", "samples")]
    _fields_ += [(name, ctypes.c_void_p) for name in ("gpu_slots", "gpu_speed", "gpu_node", "locked")]
    _fields_ += [("survive", ctypes.c_int32)]


class Plan(ctypes.Structure):
    _fields_ = [("phy2log", ctypes.c_void_p), ("phyrank", ctypes.c_void_p), ("logcnt", ctypes.c_void_p),
                ("log2phy", ctypes.c_void_p), ("log2phy_width", ctypes.c_int32), ("layer_status", ctypes.c_void_p)]


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


def call(name, *arguments):
    result = getattr(eplb, name)(*arguments)
    assert result == 0, f"{name}: {result}"


def scratch_of(size, *arguments):
    bytes_needed = ctypes.c_size_t()
    call(size, *arguments, ctypes.byref(bytes_needed))
    return np.empty(bytes_needed.value, np.uint8)


def plan_for(problem, load):
    options = np.zeros(64, np.int64)  # more than eplb_options takes
    call("eplb_options_preset", DEEPSEEK, address(options))
    scratch = scratch_of("eplb_scratch_size", ctypes.byref(problem), address(options))
    phy2log = np.empty((problem.layers, problem.replicas), np.int32)
    plan = Plan(phy2log=phy2log.ctypes.data)
    call("eplb_rebalance", ctypes.byref(problem), address(options), address(load), ctypes.byref(plan), address(scratch),
         ctypes.c_size_t(scratch.size))
    return phy2log


def share(problem, phy2log, count):
    """The heaviest GPU's tokens in each layer, and the seconds that took."""
    slot_count, most = np.empty_like(phy2log), np.empty(problem.layers, np.int32)
    scratch = scratch_of("eplb_share_scratch_size", ctypes.byref(problem))
    start = time.perf_counter()
    call("eplb_share", ctypes.byref(problem), address(phy2log), address(count), LEAST_MAX, address(slot_count),
         address(most), address(scratch), ctypes.c_size_t(scratch.size))
    seconds = time.perf_counter() - start
    served = np.zeros_like(count)
    for layer in range(problem.layers):
        np.add.at(served[layer], phy2log[layer], slot_count[layer])
    assert (served == count).all() and (slot_count >= 0).all(), "shares do not sum to the counts"
    assert (slot_count.reshape(problem.layers, problem.gpus, -1).sum(2).max(1) == most).all(), "most is not the heaviest"
    return most, seconds


def least_maximum(problem, phy2log, count):
    """The same of one layer by a linear program: tokens of each expert on each of its GPUs, and the maximum, which is
    to be least. Experts on one GPU are constants."""
    slots = problem.replicas // problem.gpus
    links = sorted({(int(e), slot // slots) for slot, e in enumerate(phy2log)})
    homes = np.bincount([e for e, _ in links], minlength=problem.experts)
    fixed = np.zeros(problem.gpus)
    for e, gpu in links:
        if homes[e] == 1:
            fixed[gpu] += count[e]
    links = [(e, gpu) for e, gpu in links if homes[e] > 1]
    spread = {e: i for i, e in enumerate(sorted({e for e, _ in links}))}
    n = len(links)
    sums = coo_array((np.ones(n), ([spread[e] for e, _ in links], range(n))), shape=(len(spread), n + 1))
    below = coo_array((np.concatenate([np.ones(n), -np.ones(problem.gpus)]),
                       ([gpu for _, gpu in links] + list(range(problem.gpus)), list(range(n)) + [n] * problem.gpus)),
                      shape=(problem.gpus, n + 1))
    start = time.perf_counter()
    found = linprog(np.append(np.zeros(n), 1.0), A_ub=below.tocsr(), b_ub=-fixed, A_eq=sums.tocsr(),
                    b_eq=[float(count[e]) for e in spread], method="highs")
    assert found.status == 0, found.message
    return found.fun, time.perf_counter() - start


def main():
    random = np.random.default_rng(1)
    for experts, replicas, gpus in SHAPES:
        problem = Problem(LAYERS, experts, replicas, 1, 1, gpus, 1)
        base = random.lognormal(0.0, 1.0, (LAYERS, experts))
        phy2log = plan_for(problem, base.astype(np.float32))
        count = (200 * base * random.lognormal(0.0, 0.4, base.shape)).astype(np.int32)
        most, ours = min((share(problem, phy2log, count) for _ in range(20)), key=lambda got: got[1])
        theirs = 0.0
        for layer in range(LAYERS):
            optimum, seconds = least_maximum(problem, phy2log[layer], count[layer])
            theirs += seconds
            slack = TOLERANCE * max(optimum, 1.0)
            assert optimum - slack <= most[layer] < optimum + 1 + slack, f"{most[layer]} instead of {optimum}"
        print(f"{experts} x {replicas} x {gpus}: equal; {ours / LAYERS * 1e6:.1f} us a layer, HiGHS {theirs / ours:.0f} times that")
        assert theirs > LEAST_SPEEDUP * ours, "not so much faster"


main()
