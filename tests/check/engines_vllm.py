# engines_vllm.py LIBRARY WHEEL - eplb_transfers with DEALT and ONE_PEER beside vLLM's migration scheduler: the same flows
# in the same rounds, on 10,000 random pairs of expert maps; and what both take for fresh plans of a large model. LIBRARY
# is eplb.h as a shared one, WHEEL vLLM's package, of which one module is read.
import ctypes
import sys
import time
import types
import zipfile

import numpy as np

MODULE = "vllm/distributed/eplb/migration_scheduler.py"
DEALT, ONE_PEER = 1, 1
SAME_NODE, OTHER_NODE = 1, 2
MAPS = 10_000
TIMED = (58, 256, 288, 32)  # layers, experts, slots, GPUs

eplb = ctypes.CDLL(sys.argv[1])


class Problem(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("layers", "experts", "replicas", "groups", "nodes", "gpus", "samples")]
    _fields_ += [(name, ctypes.c_void_p) for name in ("gpu_slots", "gpu_speed", "gpu_node", "locked")]
    _fields_ += [("survive", ctypes.c_int32)]


TRANSFER = np.dtype([(name, np.int32) for name in ("layer", "expert", "from_slot", "to_slot", "kind", "round")])


def scheduler_of(wheel):
    module = types.ModuleType("migration_scheduler")
    sys.modules[module.__name__] = module  # where dataclasses look for it
    exec(compile(zipfile.ZipFile(wheel).read(MODULE), MODULE, "exec"), module.__dict__)
    return module


def address(array):
    return ctypes.c_void_p(array.ctypes.data)


def call(name, *arguments):
    result = getattr(eplb, name)(*arguments)
    assert result == 0, f"{name}: {result}"


def transfers(before, after, num_experts, num_gpus, num_nodes):
    """All transfers, and the seconds that took."""
    problem = Problem(layers=before.shape[0], experts=num_experts, replicas=before.shape[1], gpus=num_gpus, nodes=num_nodes)
    how, count = np.array([DEALT, ONE_PEER, 0], np.int32), ctypes.c_size_t()
    call("eplb_transfers_scratch_size", ctypes.byref(problem), ctypes.byref(count))
    scratch, listed = np.empty(count.value, np.uint8), np.empty(before.size, TRANSFER)
    start = time.perf_counter()
    call("eplb_transfers", ctypes.byref(problem), address(before), address(after), address(how), address(listed),
         ctypes.c_size_t(listed.size), ctypes.byref(count), address(scratch), ctypes.c_size_t(scratch.size))
    return listed[:count.value], time.perf_counter() - start


def rounds_of(listed, slots_per_gpu):
    """The flows of one layer's rounds: {(source, destination): experts}."""
    rounds = []
    for t in listed[np.isin(listed["kind"], (SAME_NODE, OTHER_NODE))]:
        while len(rounds) <= t["round"]:
            rounds.append({})
        flow = (int(t["from_slot"]) // slots_per_gpu, int(t["to_slot"]) // slots_per_gpu)
        rounds[t["round"]].setdefault(flow, []).append(int(t["expert"]))
    return [{flow: tuple(sorted(experts)) for flow, experts in r.items()} for r in rounds]


def wanted_rounds(batches):
    return [{(f.src_rank, f.dst_rank): tuple(f.expert_ids) for f in batch} for batch in batches]


def random_map(rng, num_slots, num_experts):
    """With empty slots, duplicates and experts that nobody holds, or each expert as often as can be."""
    if rng.random() < 0.5:
        return rng.integers(-1 if rng.random() < 0.5 else 0, num_experts, num_slots).astype(np.int32)
    return rng.permutation(np.arange(num_slots) % num_experts).astype(np.int32)


def next_map(rng, before, num_experts):
    """Unrelated; or a ring over all slots; or with some slots exchanged; or with some emptied and lost."""
    kind, after = rng.integers(4), before.copy()
    if kind == 0:
        return random_map(rng, before.size, num_experts)
    if kind == 1:
        return np.roll(before, int(rng.integers(before.size)))
    some = rng.permutation(before.size)[:max(2, before.size // 8)]
    after[some] = after[np.roll(some, 1)] if kind == 2 else rng.integers(-1, num_experts, some.size)
    return after


def compare(scheduler, rng, num_layers):
    num_gpus, slots_per_gpu = int(rng.integers(1, 41)), int(rng.integers(1, 11))
    num_slots = num_gpus * slots_per_gpu
    num_experts, num_nodes = int(rng.integers(1, num_slots + 1)), 1 if num_gpus % 2 else 2
    before = np.stack([random_map(rng, num_slots, num_experts) for _ in range(num_layers)])
    after = np.stack([next_map(rng, layer, num_experts) for layer in before])
    listed, _ = transfers(before, after, num_experts, num_gpus, num_nodes)
    flows = 0
    for layer, batches in enumerate(scheduler.schedule_migration_batches_for_layers(slots_per_gpu, before, after)):
        got, want = rounds_of(listed[listed["layer"] == layer], slots_per_gpu), wanted_rounds(batches)
        assert got == want, f"{num_experts} experts, {num_slots} slots, {num_gpus} GPUs: {before[layer]} {after[layer]}"
        flows += sum(map(len, want))
    return flows


def time_both(scheduler, rng):
    layers, experts, slots, gpus = TIMED
    plans = [np.stack([rng.permutation(np.arange(slots) % experts) for _ in range(layers)]).astype(np.int32) for _ in "01"]
    theirs, ours = [], []
    for _ in range(9):
        start = time.perf_counter()
        scheduler.schedule_migration_batches_for_layers(slots // gpus, *plans)
        theirs.append(time.perf_counter() - start)
        ours.append(transfers(*plans, experts, gpus, 4)[1])
    theirs, ours = np.median(theirs), np.median(ours)
    print(f"{layers} layers of {experts}/{slots}/{gpus}: {theirs * 1e3:.1f} ms, {ours * 1e3:.2f} here: {theirs / ours:.0f} times")


if __name__ == "__main__":
    their_scheduler = scheduler_of(sys.argv[2])
    generator = np.random.default_rng(1)
    maps = flows = 0
    while maps < MAPS:
        flows += compare(their_scheduler, generator, 20)
        maps += 20
    print(f"{maps} pairs of maps: all {flows} flows the same")
    time_both(their_scheduler, generator)
