"""Time the host's part of a rebalance in vLLM beside this library's, in the same run.

    engine_vllm.py LIBRARY WHEEL [REPETITIONS]

LIBRARY is eplb.h as a shared one (make lib), WHEEL vLLM's package, of which the modules of the default policy and of
the migration scheduler are read. They need NumPy, and of PyTorch only what turns arrays into tensors and back, which a
few lines here stand in for, so that its cost is left out.

Both start from the same plan in force and the same loads, make a new plan (vLLM's default policy, preset DEEPSEEK), keep
slots (within a GPU; GPUs too are named for the fewest moves here) and schedule the transfers: one peer a round, dealt
sources, as vLLM does; and duplex rounds, even sources. In turn within each repetition, by the thread's CPU clock, on
one core. Both then schedule the other's map too, so that the same pair of maps is timed in both.
"""
import ctypes
import sys
import time
import types
import zipfile

import numpy as np

LAYERS, EXPERTS, SLOTS, GPUS = 58, 256, 288, 32
SHAPES = {"global": (1, 1), "8 groups on 4 nodes": (8, 4)}
DEEPSEEK = 1  # EPLB_PRESET_DEEPSEEK
EVEN_DUPLEX, DEALT_ONE_PEER = (0, 0, 0), (1, 1, 0)


# ------------------------------------------------------------------------------------------------ vLLM

class Tensor:
    """What the policy asks of torch."""

    def __init__(self, array):
        self.array = array

    def float(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.array


def modules_of(wheel):
    """The policy's class and the scheduler's module."""
    torch = types.ModuleType("torch")
    torch.Tensor, torch.from_numpy = Tensor, Tensor
    sys.modules["torch"] = torch
    for name in ("engine", "engine.policy"):
        sys.modules[name] = types.ModuleType(name)
    loaded = {}
    for name, path in (("engine.policy.abstract", "policy/abstract.py"), ("engine.policy.default", "policy/default.py"),
                       ("engine.migration_scheduler", "migration_scheduler.py")):
        module = types.ModuleType(name)
        module.__package__ = name.rpartition(".")[0]
        sys.modules[name] = loaded[name] = module  # where dataclasses look for it
        source = zipfile.ZipFile(wheel).read("vllm/distributed/eplb/" + path)
        exec(compile(source, path, "exec"), module.__dict__)
    return loaded["engine.policy.default"].DefaultEplbPolicy, loaded["engine.migration_scheduler"]


class Vllm:
    def __init__(self, wheel, groups, nodes):
        self.policy, self.scheduler = modules_of(wheel)
        self.shape = (SLOTS, groups, nodes, GPUS)

    def fresh(self, load):
        return self.policy.rebalance_experts(Tensor(load), *self.shape).numpy()

    def keep(self, fresh, before):
        return self.policy.preserve_intragpu_slots(fresh, GPUS, before)

    def schedule(self, before, after):
        return self.scheduler.schedule_migration_batches_for_layers(SLOTS // GPUS, before, after)


# ---------------------------------------------------------------------------------------- this library

class Problem(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("layers", "experts", "replicas", "groups", "nodes", "gpus", "samples")]
    _fields_ += [(name, ctypes.c_void_p) for name in ("gpu_slots", "gpu_speed", "gpu_node", "locked")]
    _fields_ += [("survive", ctypes.c_int32)]


class Packing(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("init", "refine", "max_swaps", "heavy_packs", "num_candidates", "noise")]
    _fields_ += [("noise_scale", ctypes.c_float), ("select", ctypes.c_int32)]


class Options(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("policy", "replication", "fixup_steps", "max_replicas")]
    _fields_ += [("group_packing", Packing), ("gpu_packing", Packing), ("seed", ctypes.c_uint64), ("effort", ctypes.c_int32),
                 ("allow_duplicates", ctypes.c_int32), ("sample_weight", ctypes.c_void_p), ("shares", ctypes.c_int32),
                 ("previous_phy2log", ctypes.c_void_p)]
    _fields_ += [(name, ctypes.c_int32) for name in ("max_moves", "max_gpu_moves", "max_pair_moves", "max_node_moves")]
    _fields_ += [("move_cost", ctypes.c_float), ("engine", ctypes.c_int32)]


class Plan(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("phy2log", "phyrank", "logcnt", "log2phy")]
    _fields_ += [("log2phy_width", ctypes.c_int32), ("layer_status", ctypes.c_void_p)]


TRANSFER = np.dtype([(name, np.int32) for name in ("layer", "expert", "from_slot", "to_slot", "kind", "round")])
OVER_A_LINK = (1, 2)


class Eplb:
    def __init__(self, library, groups, nodes):
        self.eplb = ctypes.CDLL(library)
        self.problem = Problem(LAYERS, EXPERTS, SLOTS, groups, nodes, GPUS, 0)
        self.phy2log = np.empty((LAYERS, SLOTS), np.int32)
        self.plan = Plan(phy2log=self.phy2log.ctypes.data)
        self.listed, self.count = np.empty(LAYERS * SLOTS, TRANSFER), ctypes.c_size_t()
        self.how = {how: np.array(how, np.int32) for how in (EVEN_DUPLEX, DEALT_ONE_PEER)}
        self.scratch = np.empty(max(self.bytes("eplb_scratch_size", ctypes.byref(self.options(self.phy2log))),
                                    self.bytes("eplb_transfers_scratch_size")), np.uint8)

    def call(self, name, *arguments):
        result = getattr(self.eplb, name)(ctypes.byref(self.problem), *arguments)
        assert result == 0, f"{name}: {result}"

    def bytes(self, name, *arguments):
        count = ctypes.c_size_t()
        self.call(name, *arguments, ctypes.byref(count))
        return count.value

    def options(self, before):
        options = Options()
        result = self.eplb.eplb_options_preset(DEEPSEEK, ctypes.byref(options))
        assert result == 0, f"eplb_options_preset: {result}"
        options.previous_phy2log = None if before is None else before.ctypes.data
        return options

    def rebalance(self, load, before):
        self.call("eplb_rebalance", ctypes.byref(self.options(before)), ctypes.c_void_p(load.ctypes.data),
                  ctypes.byref(self.plan), ctypes.c_void_p(self.scratch.ctypes.data), ctypes.c_size_t(self.scratch.size))
        return self.phy2log

    def transfers(self, before, after, how):
        self.call("eplb_transfers", *(ctypes.c_void_p(a.ctypes.data) for a in (before, after, self.how[how], self.listed)),
                  ctypes.c_size_t(self.listed.size), ctypes.byref(self.count),
                  ctypes.c_void_p(self.scratch.ctypes.data), ctypes.c_size_t(self.scratch.size))
        return self.listed[:self.count.value]


# ------------------------------------------------------------------------------------------------ times

def loads(rng):
    """Of two windows, as in the other benchmarks."""
    base, noise = np.exp(rng.standard_normal((LAYERS, EXPERTS))), rng.standard_normal((2, LAYERS, EXPERTS))
    noise[1] = 0.8 * noise[0] + 0.6 * noise[1]
    return (base * np.exp(0.26 * noise)).astype(np.float32)


class Clock:
    """Seconds of each repetition, by what was done."""

    def __init__(self):
        self.seconds = {}

    def time(self, name, function, *arguments):
        start = time.thread_time()
        result = function(*arguments)
        self.seconds.setdefault(name, []).append(time.thread_time() - start)
        return result

    def add_up(self, name, parts):
        self.seconds[name] = list(map(sum, zip(*(self.seconds[part] for part in parts))))

    def show(self, name, base):
        times = np.array(self.seconds[name])
        q1, median, q3 = np.percentile(times, (25, 50, 75)) * 1e3
        ratio = np.percentile(np.array(self.seconds[base]) / times, (25, 50, 75))
        print(f"{name:<44}{median:9.3f}{q1:9.3f}{q3:9.3f}{ratio[1]:9.1f}{ratio[0]:9.1f}{ratio[2]:9.1f}")


def time_shape(library, wheel, name, repetitions):
    theirs, ours = Vllm(wheel, *SHAPES[name]), Eplb(library, *SHAPES[name])
    first, second = loads(np.random.default_rng(1))
    before = ours.rebalance(first, None).copy()
    before_wide, clock = before.astype(np.int64), Clock()
    for _ in range(repetitions):
        fresh = clock.time("vLLM: plan", theirs.fresh, second)
        kept = clock.time("vLLM: keep slots", theirs.keep, fresh, before_wide)
        clock.time("vLLM: schedule", theirs.schedule, before_wide, kept)
        narrow = kept.astype(np.int32)
        clock.time("here: plan alone", ours.rebalance, second, None)
        after = clock.time("here: plan from the one in force", ours.rebalance, second, before).copy()
        clock.time("here: dealt, one peer", ours.transfers, before, after, DEALT_ONE_PEER)
        clock.time("here: even, duplex", ours.transfers, before, after, EVEN_DUPLEX)
        clock.time("here: dealt, one peer, vLLM's map", ours.transfers, before, narrow, DEALT_ONE_PEER)
        clock.time("vLLM: schedule, this library's map", theirs.schedule, before_wide, after.astype(np.int64))
    clock.add_up("vLLM: all", ("vLLM: plan", "vLLM: keep slots", "vLLM: schedule"))
    clock.add_up("here: all, dealt, one peer", ("here: plan from the one in force", "here: dealt, one peer"))
    clock.add_up("here: all, even, duplex", ("here: plan from the one in force", "here: even, duplex"))
    print(f"{LAYERS} layers of {EXPERTS}/{SLOTS}/{GPUS}, {name}; slots that change: vLLM {np.mean(kept != before):.1%}, "
          f"here {np.mean(after != before):.1%}")
    print(f"{'milliseconds, and vLLM: all / this':<44}{'median':>9}{'q1':>9}{'q3':>9}{'median':>9}{'q1':>9}{'q3':>9}")
    for part in clock.seconds:
        clock.show(part, "vLLM: all")
    print()


if __name__ == "__main__":
    for shape in SHAPES:
        time_shape(sys.argv[1], sys.argv[2], shape, int(sys.argv[3]) if len(sys.argv) > 3 else 21)
