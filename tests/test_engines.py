"""test_engines.py - the adapters of examples/python/ for vLLM, SGLang and vllm-ascend, with small modules that stand in
for the engines' own; ends with a summary line. make check-engines has them beside the published packages."""

import logging
import pathlib
import sys
import types

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from engines import Tally, module, moves, torch_or_stand_in

tally = Tally("test_engines.py")
check = tally.check
torch = torch_or_stand_in()
tensor = torch.from_numpy

import eplb

L, E, R, G, N, GROUPS = 3, 64, 80, 8, 2, 8
TRIVIAL = (np.arange(R) % E)[None].repeat(L, 0).astype(np.int64)  # an engine's first map


def draw(seed, *shape):
    return np.random.default_rng(seed).lognormal(3, 1, shape).astype(np.float32)


def whole(plan, experts=E):
    return all(set(layer) == set(range(experts)) for layer in np.asarray(plan).tolist())


def balance(load, plan):
    return float(eplb.evaluate(load, np.asarray(plan), num_gpus=G).balancedness.mean())


# ----------------------------------------------------------------------------------------- vLLM

config = types.SimpleNamespace(parallel_config=None)
warned = []
logging.getLogger("vllm_policy").addHandler(type("Keep", (logging.Handler,), {
    "emit": lambda self, record: warned.append(record.getMessage())})())
logging.getLogger("vllm_policy").propagate = False


class Flow(tuple):
    """A flow of vLLM's: source, target, experts."""

    def __new__(cls, src_rank, dst_rank, expert_ids):
        return super().__new__(cls, (src_rank, dst_rank, expert_ids))


module("vllm.config", get_current_vllm_config_or_none=lambda: config if config.parallel_config else None)
module("vllm.distributed.eplb.migration_scheduler", MigrationFlow=Flow)
module("vllm.distributed.eplb.policy.abstract", AbstractEplbPolicy=type("AbstractEplbPolicy", (), {}))
import vllm_policy


def vllm(load, old, policy=vllm_policy.EplbPolicy, replicas=R, groups=GROUPS, nodes=N, ranks=G):
    old = None if old is None else tensor(old)
    return policy.rebalance_experts(tensor(load), replicas, groups, nodes, ranks, old).numpy()


def test_vllm_plans():
    load, later = draw(1, L, E), draw(1, L, E) * draw(2, L, E) ** 0.2
    first = vllm(load, TRIVIAL)
    check("int64, as vLLM's maps are", first.dtype == np.int64)
    check("whole", whole(first))
    nodes = [[set(layer[at:at + R // N] // (E // GROUPS)) for at in (0, R // N)] for layer in first]
    check("from vLLM's first map to one with each group on one node", all(not a & b for a, b in nodes))
    second = vllm(later, first)
    check("two moves into a GPU at most", 0 < moves(first, second, G).max() <= 2)
    check("they pay", balance(later, second) > balance(later, first))
    check("again the same", (vllm(later, first) == second).all())
    check("no load, nothing moves", (vllm(0 * load, first) == first).all())
    later[1] = 0
    check("in that layer", (vllm(later, first)[1] == first[1]).all() and (vllm(later, first)[0] == second[0]).all())
    check("groups that the nodes do not divide: vLLM plans over all GPUs", whole(vllm(load, TRIVIAL, groups=5)))
    check("without a map", whole(vllm(load, None)))
    plain = vllm_policy.policy(preset="deepseek")
    fresh = eplb.rebalance_experts(load, R, GROUPS, N, G, preset="deepseek")[0]
    check("another preset", abs(balance(load, vllm(load, TRIVIAL, plain)) - balance(load, fresh)) < 1e-6)


def test_vllm_widths():
    """vLLM 0.33.0 compares no widths: it reads a wider map by position, and a narrower one raises in NumPy."""
    load, small, large = draw(3, L, E), TRIVIAL[:, :72], (np.arange(96) % E)[None].repeat(L, 0)
    for old in (small, large):
        del warned[:]
        new = vllm(load, old)
        check(f"a map of {old.shape[1]} slots", whole(new) and new.shape == (L, R))
        check("which is said", len(warned) == 1 and str(old.shape) in warned[0])
    del warned[:]
    grown = TRIVIAL.copy()
    grown[:, 70:] = -1  # two ranks are new
    check("new ranks are filled at once", whole(vllm(load, grown)) and not warned)


def test_vllm_window():
    """vLLM 0.33.0 keeps its window when the map changes, and credits all of it by the newest map."""
    load = draw(4, L, E)
    cases = (4, 4, False, 0), (8, 4, False, 1), (4, 4, True, 1), (4, 4 + L, True, 0)
    for window, interval, use_async, times in cases:
        del warned[:]
        fresh = vllm_policy.policy(**vllm_policy.EplbPolicy.options)
        settings = types.SimpleNamespace(window_size=window, step_interval=interval, use_async=use_async)
        config.parallel_config = types.SimpleNamespace(eplb_config=settings)
        vllm(load, TRIVIAL, fresh), vllm(load, TRIVIAL, fresh)
        check(f"a window of {window} for an interval of {interval}, {use_async}: {warned}", len(warned) == times)
    config.parallel_config = None


def test_vllm_schedule():
    old = np.array([[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]])
    new = np.array([[1, 0, 0, 4, 5, 2, 0, 6], [0, 1, 2, 3, 4, 5, 6, 7]])
    got = vllm_policy.schedule_migration_batches_for_layers(2, old, new)
    # Ranks 1 and 3 lack 0, rank 2 lacks 2, rank 1 lacks 4: in the order of experts 0 -> 1, 0 -> 3, 1 -> 2, 2 -> 1.
    check(f"flows {got}", [sorted(batch) for batch in got[0]] == [[(0, 1, (0,))], [(0, 3, (0,)), (1, 2, (2,))],
                                                                 [(2, 1, (4,))]] and got[1] == [])


# --------------------------------------------------------------------------------------- SGLang

metadata, elastic = [None], [None]
module("sglang.srt.eplb.expert_location", get_global_expert_location_metadata=lambda: metadata[0])
module("sglang.srt.elastic_ep.elastic_ep", ElasticEPStateManager=types.SimpleNamespace(instance=lambda: elastic[0]))
import sglang_algorithm


def sglang(load, old=None, algorithm="deepseek", active=None):
    metadata[0] = None if old is None else types.SimpleNamespace(physical_to_logical_map_cpu=tensor(old))
    elastic[0] = None if active is None else types.SimpleNamespace(active_ranks=tensor(np.array(active, np.int32)))
    name = types.SimpleNamespace(name=algorithm)
    return [part.numpy() for part in sglang_algorithm.rebalance_experts(tensor(load), R, R // G, GROUPS, N, name)]


def inverse_holds(phy2log, log2phy, logcnt):
    """Each slot is named once, by its expert; those of log2phy are first slots, then -1."""
    for layer, (slots, of) in enumerate(zip(phy2log, log2phy)):
        for expert, named in enumerate(of):
            mine = named[named >= 0]
            if not (slots[mine] == expert).all() or len(set(mine)) != logcnt[layer, expert]:
                return False
            if (named[len(mine):] >= 0).any():
                return False
    return True


def test_sglang():
    load = draw(5, 6, L, E)
    first = sglang(load)
    check("whole, int64", whole(first[0]) and all(part.dtype == np.int64 for part in first))
    check("maps agree", inverse_holds(*first) and (first[2].sum(1) == R).all())
    grouped = sglang(load, algorithm="deepseek_hierarchical")[0]
    check("groups stay on a node", all(not set(layer[:R // 2] // 8) & set(layer[R // 2:] // 8) for layer in grouped))
    ring = np.zeros((9, L, E), np.float32)
    ring[[7, 1, 2, 5, 0, 3]] = load  # what was recorded since the last dump, anywhere in a ring of zeros
    check("a ring's zeros and order", all((a == b).all() for a, b in zip(first, sglang(ring))))
    later = load * draw(6, L, E) ** 0.2
    second = sglang(later, first[0])[0]
    check("few moves", 0 < moves(first[0], second, G).max() <= 2 and balance(later, second) > balance(later, first[0]))
    check("a map of another shape is none", whole(sglang(load, first[0][:, :72])[0]))


def test_sglang_dead_ranks():
    """SGLang 0.5.23 elasticity_aware: a dead rank's slots say expert 0, and log2phy does not name them."""
    load = draw(7, 1, L, E)
    first = sglang(load)[0]
    active = [1, 1, 0, 1, 1, 1, 1, 1]
    dead = np.arange(2 * R // G, 3 * R // G)
    phy2log, log2phy, logcnt = sglang(load, first, "elasticity_aware", active)
    check("expert 0 on the dead rank", (phy2log[:, dead] == 0).all())
    left, alive = np.delete(first, dead, axis=1), np.delete(phy2log, dead, axis=1)
    check("all experts elsewhere", whole(alive) and (logcnt.sum(1) == R - R // G).all())
    check("no slot of it is named", not np.isin(log2phy, dead).any() and inverse_holds(phy2log, log2phy, logcnt))
    check("others hardly move", moves(left, alive, G - 1).sum() < alive.size / 2)
    lost = np.array(active) == 0
    again, counts = eplb.inverse_maps(phy2log, E, num_gpus=G, gpu_lost=lost)
    check("nor by who reads that map with the mask", (again == log2phy).all() and (counts == logcnt).all())
    check("without it expert 0 has slots there", np.isin(eplb.inverse_maps(phy2log, E)[0][:, 0], dead).any())
    back = sglang(load, phy2log, "elasticity_aware", [1] * G)
    check("a rank that is back is filled at once", whole(back[0]) and (back[0][:, dead] != 0).sum() > L * (R // G - 2))


# --------------------------------------------------------------------------------------- Ascend

module("vllm_ascend.eplb.core.policy.policy_abstract", EplbPolicy=type("EplbPolicy", (), {}))
import ascend_policy


def served(load, table):
    """Tokens of each slot, [..., L, G, S]: replicas share evenly."""
    flat = table.reshape(L, R)
    share = load / np.stack([np.bincount(layer, minlength=E) for layer in flat])
    slots = np.broadcast_to(flat, (*load.shape[:-1], R))
    return np.take_along_axis(share, slots, -1).reshape(*load.shape[:-1], G, -1)


def keeps_the_rules(old, new):
    """What vllm-ascend 0.23's worker checks of each NPU, read naively."""
    for a, b in zip(old.reshape(L * G, -1).tolist(), np.asarray(new).reshape(L * G, -1).tolist()):
        if len(set(b)) < len(b) or any(e in a and a.index(e) != b.index(e) for e in b):
            return False
    return whole(np.asarray(new).reshape(L, -1))


def test_ascend():
    load, policy = draw(8, L, E), ascend_policy.EplbPolicy()
    table = TRIVIAL.reshape(L, G, -1)
    tokens = served(load, table)
    check("tokens of slots are those of experts", np.allclose(ascend_policy._loads(table, tokens[None]), load[None]))
    changed, priority, new = policy.rebalance_experts(table, tokens)
    old_map, new_map = table.reshape(L, R), np.reshape(new, (L, R))
    check("rules", keeps_the_rules(table, new))
    check("two moves into an NPU", changed == 1 and 0 < moves(old_map, new_map, G).max() <= 2)
    gain = [balance(load[[l]], new_map[[l]]) / balance(load[[l]], old_map[[l]]) for l in priority]
    check(f"most gain first: {gain}", sorted(gain, reverse=True) == gain and gain[-1] > 1)
    samples = served(draw(9, 5, L, E), table)
    check("samples too", keeps_the_rules(table, policy.rebalance_experts(table, samples)[2]))
    still = policy.rebalance_experts(table, 0 * tokens)
    check("no load, no change", still[0] == 0 and (np.array(still[2]) == table).all())
    double = table.copy()
    double[1, 0, 5] = double[1, 0, 4]  # twice on an NPU, while the expert of that slot is on another one too
    new = np.array(policy.rebalance_experts(double, served(load, double))[2])
    check("a layer with an expert twice on an NPU stays, or is mended", (new[1] == double[1]).all() or
          len(set(new[1, 0].tolist())) == R // G)
    check("others are planned", keeps_the_rules(table, new[[0, 0, 2]]))


for test in (test_vllm_plans, test_vllm_widths, test_vllm_window, test_vllm_schedule, test_sglang,
             test_sglang_dead_ranks, test_ascend):
    test()
tally.end()
