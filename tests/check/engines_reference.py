"""engines_reference.py - eplb.py on tensors beside the reference algorithm in PyTorch (tests/bench/reference.py): the
same plans on loads without ties, and what both take, in turn, medians, one thread each. Needs PyTorch."""

import sys
import time

import numpy as np

sys.path.insert(0, "tests/support")
sys.path.insert(0, "tests/bench")
from engines import Tally

import torch

import eplb
import reference

tally = Tally("engines_reference.py")
torch.set_num_threads(1)
rng = np.random.default_rng(1)
SHAPES = (58, 256, 288, 4, 32, 8), (58, 256, 288, 1, 32, 1), (26, 64, 80, 2, 8, 8)
for layers, experts, slots, nodes, gpus, groups in SHAPES:
    seconds, equal = {"reference": [], "here": [], "here, default": []}, True
    for _ in range(5):
        load = torch.from_numpy(rng.lognormal(3, 1, (layers, experts)).astype(np.float32))
        for who in seconds:
            start = time.perf_counter()
            if who == "reference":
                want = reference.plan(load, slots, groups, nodes, gpus)
            else:
                preset = "default" if "default" in who else "deepseek"
                plan = eplb.rebalance_experts(load, slots, groups, nodes, gpus, preset=preset)
            seconds[who].append(time.perf_counter() - start)
            if who == "here":
                equal = equal and all(torch.equal(a.long(), b) for a, b in zip(plan, (want[0], want[3], want[2])))
    tally.check(f"the same plans for {experts} experts in {slots} slots of {gpus} GPUs", equal)
    took = {who: np.median(times) * 1e3 for who, times in seconds.items()}
    print(f"{layers} layers of {experts}/{slots}/{gpus}, {groups} groups, milliseconds: " +
          ", ".join(f"{who} {took[who]:.1f}" for who in took))
tally.end()
