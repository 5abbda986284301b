#!/usr/bin/env python3
"""The same algorithms in PyTorch on a GPU, beside which eplb_cuda is to be judged.

  bench_cuda --write FOLDER      leaves NAME.loads and NAME.plan for each of its shapes
  pytorch_gpu.py FOLDER          times PyTorch on them: DEEPSEEK, ENSEMBLE and L2, all layers at once

Each step works on all layers, nodes and candidates in one operation, as one would write it in PyTorch
without kernels of one's own; the steps themselves (items in LPT, spare slots, swaps) follow one another.
Times are medians in microseconds between two events, after a first call that is not timed. DEEPSEEK's
largest GPU load is held to that of the library's plan; the others draw their noise from PyTorch.
--device cpu tries the script where there is no GPU; its times then mean nothing.
"""
import argparse
import glob
import os
import re
import sys
import time

import numpy
import torch

REPS = 5
TINY = 1e-6  # of the mean pack load, as in eplb.h


def lightest_first(weight, order, packs):
    """LPT: weight [X, n] in the order [X, n] -> pack of each item and its rank there, both [X, n]."""
    rows, n = weight.shape
    room = n // packs
    pack = torch.empty_like(order)
    rank = torch.empty_like(order)
    load = weight.new_zeros(rows, packs)
    fill = torch.zeros(rows, packs, dtype=torch.int64, device=weight.device)
    for step in range(n):
        item = order[:, step : step + 1]
        best = load.masked_fill(fill >= room, float("inf")).argmin(dim=1, keepdim=True)
        pack.scatter_(1, item, best)
        rank.scatter_(1, item, fill.gather(1, best))
        load.scatter_add_(1, best, weight.gather(1, item))
        fill.scatter_add_(1, best, torch.ones_like(best))
    return pack, rank


def items_by_pack(pack, packs):
    """[X, m, n/m] the items of each pack."""
    return pack.argsort(dim=1, stable=True).view(pack.shape[0], packs, -1)


def exchange(pack, alive, a, b):
    """Items a and b, [X, 1] each, change packs in the rows that are alive."""
    pack_a, pack_b = pack.gather(1, a), pack.gather(1, b)
    pack.scatter_(1, a, torch.where(alive, pack_b, pack_a))
    pack.scatter_(1, b, torch.where(alive, pack_a, pack_b))


def pack_loads(weight, pack, packs):
    return weight.new_zeros(weight.shape[0], packs).scatter_add_(1, pack, weight)


def refine_max_min(weight, pack, packs, swaps):
    for _ in range(swaps):
        load = pack_loads(weight, pack, packs)
        heavy, light = load.argmax(1, keepdim=True), load.argmin(1, keepdim=True)
        held = items_by_pack(pack, packs)
        room = held.shape[2]
        u = held.gather(1, heavy.unsqueeze(2).expand(-1, 1, room)).squeeze(1)
        v = held.gather(1, light.unsqueeze(2).expand(-1, 1, room)).squeeze(1)
        moved = weight.gather(1, u).unsqueeze(2) - weight.gather(1, v).unsqueeze(1)
        apart = (load.gather(1, heavy) - load.gather(1, light)).unsqueeze(2)
        gain = torch.minimum(moved, apart - moved).flatten(1)
        best = gain.argmax(1, keepdim=True)
        alive = gain.gather(1, best) > TINY * load.mean(1, keepdim=True)
        exchange(pack, alive, u.gather(1, best // room), v.gather(1, best % room))


def refine_l2(weight, pack, packs, swaps):
    rows, n = weight.shape
    for _ in range(swaps):
        load = pack_loads(weight, pack, packs)
        own = load.gather(1, pack)
        moved = weight.unsqueeze(2) - weight.unsqueeze(1)
        fall = moved * (own.unsqueeze(2) - own.unsqueeze(1) - moved)
        fall = fall.masked_fill(moved <= 0, 0).flatten(1)
        best = fall.argmax(1, keepdim=True)
        alive = 2 * fall.gather(1, best) > (TINY * load.mean(1, keepdim=True)) ** 2
        exchange(pack, alive, best // n, best % n)


def rank_in_pack(weight, pack, packs):
    """Heaviest first within each pack."""
    order = weight.argsort(dim=1, descending=True, stable=True)
    by_pack = order.gather(1, pack.gather(1, order).argsort(dim=1, stable=True))
    places = torch.arange(weight.shape[1], device=weight.device) % (weight.shape[1] // packs)
    return torch.empty_like(by_pack).scatter_(1, by_pack, places.expand_as(by_pack))


def balanced_packing(weight, packs, preset):
    rows, n = weight.shape
    if n == packs:
        return torch.arange(n, device=weight.device).expand(rows, n), torch.zeros_like(weight, dtype=torch.int64)
    candidates = 64 if preset == "ensemble" else 1
    many = weight.repeat_interleave(candidates, 0)
    key = many
    if candidates > 1:
        scale = torch.linspace(0, 0.2, candidates, device=weight.device).repeat(rows).unsqueeze(1)
        key = many + torch.rand_like(many) * many * scale
    pack, rank = lightest_first(many, key.argsort(dim=1, descending=True, stable=True), packs)
    if preset == "deepseek":
        return pack, rank
    if preset == "ensemble":
        refine_max_min(many, pack, packs, 20)
        best = pack_loads(many, pack, packs).amax(1).view(rows, candidates).argmin(1)
        pack = pack.view(rows, candidates, n)[torch.arange(rows, device=weight.device), best].contiguous()
    else:
        refine_l2(weight, pack, packs, 50)
    return pack, rank_in_pack(weight, pack, packs)


def replicate(weight, slots):
    """D'Hondt: weight [X, e] -> expert and rank of each slot [X, slots], counts [X, e]."""
    rows, experts = weight.shape
    expert = torch.arange(slots, device=weight.device).repeat(rows, 1)
    rank = torch.zeros_like(expert)
    count = torch.ones(rows, experts, dtype=torch.int64, device=weight.device)
    for slot in range(experts, slots):
        best = (weight / count).argmax(1, keepdim=True)
        expert[:, slot : slot + 1] = best
        rank[:, slot : slot + 1] = count.gather(1, best)
        count.scatter_add_(1, best, torch.ones_like(best))
    return expert, rank, count


def rebalance(weight, slots, groups, nodes, gpus, preset):
    """weight [L, E] -> phy2log [L, R], phyrank [L, R], logcnt [L, E]."""
    layers, experts = weight.shape
    size, node_experts, node_slots, gpu_slots = experts // groups, experts // nodes, slots // nodes, slots // gpus
    node, place = balanced_packing(weight.view(layers, groups, size).sum(2), nodes, preset)
    start = ((node * (groups // nodes) + place) * size).unsqueeze(2)
    log2mlog = (start + torch.arange(size, device=weight.device)).view(layers, experts)
    mlog2log = torch.empty_like(log2mlog)
    mlog2log.scatter_(1, log2mlog, torch.arange(experts, device=weight.device).expand_as(log2mlog))
    by_node = weight.gather(1, mlog2log).view(layers * nodes, node_experts)
    expert, rank, count = replicate(by_node, node_slots)
    load = (by_node / count).gather(1, expert)
    gpu, place = balanced_packing(load, gpus // nodes, preset)
    at = gpu * gpu_slots + place
    first = torch.arange(nodes, device=weight.device).repeat(layers).unsqueeze(1) * node_experts
    phy2mlog = torch.empty_like(expert).scatter_(1, at, expert + first).view(layers, slots)
    phyrank = torch.empty_like(rank).scatter_(1, at, rank).view(layers, slots)
    logcnt = count.view(layers, experts).gather(1, log2mlog)
    return mlog2log.gather(1, phy2mlog), phyrank, logcnt


def largest_load(weight, phy2log, gpus):
    """[L] the heaviest GPU of each layer, in double precision."""
    weight = weight.double()
    count = torch.zeros_like(weight).scatter_add_(1, phy2log, torch.ones_like(phy2log, dtype=weight.dtype))
    return (weight / count).gather(1, phy2log).view(weight.shape[0], gpus, -1).sum(2).amax(1)


def timed(run, device):
    """Microseconds of the median, and the last result."""
    times = []
    for rep in range(REPS + 1):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            result = run()
            end.record()
            end.synchronize()
            us = 1000.0 * start.elapsed_time(end)
        else:
            before = time.perf_counter()
            result = run()
            us = 1e6 * (time.perf_counter() - before)
        if rep > 0:
            times.append(us)
    return sorted(times)[len(times) // 2], result


def bench(path, device):
    name = os.path.basename(path)[: -len(".loads")]
    parts = re.fullmatch(r"(\d+)x(\d+)x(\d+)x(\d+)_([gh])", name)
    layers, experts, slots, gpus = (int(part) for part in parts.groups()[:4])
    groups, nodes = (8, 4) if parts.group(5) == "h" else (1, 1)
    loads = numpy.fromfile(path, dtype=numpy.float32).reshape(-1, experts)
    plan = numpy.fromfile(path[: -len("loads")] + "plan", dtype=numpy.int32).reshape(-1, slots)
    weight = torch.from_numpy(loads).to(device)
    library = largest_load(weight, torch.from_numpy(plan).to(device).long(), gpus)
    print(f"\n{name}, {loads.shape[0]} layers")
    for preset in ("deepseek", "ensemble", "l2"):
        us, (phy2log, _, logcnt) = timed(lambda: rebalance(weight, slots, groups, nodes, gpus, preset), device)
        if not (logcnt.sum(1) == slots).all():
            sys.exit(f"{preset}: the counts do not add up")
        ratio = largest_load(weight, phy2log, gpus) / library
        if preset == "deepseek" and not torch.allclose(ratio, torch.ones_like(ratio), rtol=1e-5):
            sys.exit("deepseek: not as even as the library's plan")
        print(f"  {preset:10} {us:14.1f} us   largest GPU load over DEEPSEEK's {ratio.mean().item():.5f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", help="only this one")
    arguments = parser.parse_args()
    print("PyTorch", torch.__version__, torch.cuda.get_device_name() if arguments.device == "cuda" else "on the CPU")
    for path in sorted(glob.glob(os.path.join(arguments.folder, (arguments.shape or "*") + ".loads"))):
        bench(path, arguments.device)


if __name__ == "__main__":
    main()
