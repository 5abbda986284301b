"""test_python.py - examples/python/eplb.py: its structs, golden plans, errors, memory that is not copied, threads,
windows, plans from the plan in force, shares, tensors; ends with a summary line. EPLB_SIZES has the sizes of the
structs, as a C compiler lays them out."""

import ctypes
import functools
import os
import pathlib
import sys
import threading

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from engines import ROOT, Tally, moves, torch_or_stand_in

import eplb

tally = Tally("test_python.py")
check = tally.check


def raises(what, kind, call, **wanted):
    try:
        call()
    except kind as error:
        got = {name: getattr(error, name) for name in wanted}
        check(f"{what}: {got}, not {wanted} ({error})", got == wanted)
        return str(error)
    check(f"{what}: no {kind.__name__}", False)
    return ""


def draw(seed, *shape):
    return np.random.default_rng(seed).lognormal(3, 1, shape).astype(np.float32)


# --------------------------------------------------------------------------------------- structs


def test_structs():
    sizes = dict(part.split("=") for part in os.environ["EPLB_SIZES"].split())
    mine = {"problem": eplb._Problem, "packing": eplb._Packing, "options": eplb._Options, "plan": eplb._Plan,
            "diagnosis": eplb._Diagnosis, "window": eplb._Window, "transfer_options": eplb._TransferOptions,
            "plan_fault": eplb._Fault, "switch_options": eplb._SwitchOptions}
    arrays = {"layer_report": eplb._REPORT, "transfer": eplb.TRANSFER, "lost_expert": eplb.LOST, "switch": eplb.SWITCH}
    check(f"all structs of the header: {sizes}", sizes.keys() == mine.keys() | arrays.keys())
    for name, size in sizes.items():
        got = ctypes.sizeof(mine[name]) if name in mine else arrays[name].itemsize
        check(f"eplb_{name} has {size} bytes, not {got}", got == int(size))


# ---------------------------------------------------------------------------------- golden plans


def golden():
    """(problem, weight, preset, width, the numbers of its lines) for each plan of tests/golden/plans.txt"""
    problem = weight = None
    for line in (ROOT / "tests" / "golden" / "plans.txt").read_text().splitlines():
        words = line.split()
        if words[0] == "case":
            problem, weight = [int(word) for word in words[2:]], []
        elif words[0] == "weight":
            weight.append([float(word) for word in words[1:]])
        elif words[0] == "plan":
            layers, rest = [], (words[1], int(words[2]))
        elif words[0] != "#":
            layers.append([int(word) for word in words[1:]])
            if len(layers) == 3 * problem[0]:
                yield problem, np.array(weight, np.float32), *rest, layers


def test_golden():
    equal = 0
    for (layers, experts, replicas, groups, nodes, gpus), weight, preset, width, want in golden():
        if preset != "deepseek":
            continue
        phy2log, log2phy, logcnt = eplb.rebalance_experts(weight, replicas, groups, nodes, gpus, preset=preset)
        same = all((phy2log[l] == want[3 * l]).all() and (logcnt[l] == want[3 * l + 1]).all() for l in range(layers))
        wide = np.full((layers, experts, width), -1)
        wide[:, :, :log2phy.shape[2]] = log2phy
        same = same and all((wide[l].ravel() == want[3 * l + 2]).all() for l in range(layers))
        check(f"golden {preset} {(layers, experts, replicas, groups, nodes, gpus)}", same)
        equal += same
    check("golden plans were read", equal > 5)


# ---------------------------------------------------------------------------------------- errors


def test_errors():
    weight = draw(1, 3, 12)
    plan = lambda weight=weight, replicas=16, groups=4, nodes=2, gpus=8, **how: eplb.rebalance_experts(
        weight, replicas, groups, nodes, gpus, **how)
    wrong = weight.copy()
    wrong[2, 7] = -1
    text = raises("negative load", eplb.EplbError, lambda: plan(wrong), name="EPLB_ERR_NEGATIVE", field="weight",
                  layer=2, sample=0, item=7)
    check(f"what the exception says: {text}", text == "EPLB_ERR_NEGATIVE: weight: layer 2, sample 0, item 7")
    wrong[2, 7] = np.nan
    raises("in a thread", eplb.EplbError, lambda: plan(wrong, threads=3), name="EPLB_ERR_NAN", layer=2, item=7)
    raises("slots", eplb.EplbError, lambda: plan(replicas=15), name="EPLB_ERR_DIVIDE", field="problem.num_replicas",
           layer=-1)
    raises("few", eplb.EplbError, lambda: plan(replicas=8), name="EPLB_ERR_TOO_FEW", field="problem.num_replicas")
    raises("cap", eplb.EplbError, lambda: plan(max_replicas=1), name="EPLB_ERR_MAX_REPLICAS")
    raises("negative count", eplb.EplbError, lambda: plan(replicas=-16), name="EPLB_ERR_COUNT")
    raises("effort", eplb.EplbError, lambda: plan(effort=-1), name="EPLB_ERR_OPTION", field="options.effort")
    raises("preset", ValueError, lambda: plan(preset="best of all"))
    raises("policy", ValueError, lambda: plan(policy="local"))
    raises("plan_for", ValueError, lambda: plan(plan_for="some"))
    raises("packing", ValueError, lambda: plan(gpu_packing={"swaps": 3}))
    raises("large", OverflowError, lambda: plan(replicas=2**40))
    raises("shape", ValueError, lambda: plan(weight[0]))
    raises("no layers", ValueError, lambda: plan(weight[:0]))
    raises("plan", eplb.EplbError, lambda: eplb.evaluate(weight, np.full((3, 16), 12, np.int32), num_gpus=8),
           name="EPLB_ERR_PLAN")
    raises("gpus", eplb.EplbError, lambda: eplb.evaluate(weight, np.zeros((3, 16), np.int32), num_gpus=0),
           name="EPLB_ERR_COUNT", field="problem.num_gpus")
    raises("float plan", TypeError, lambda: eplb.evaluate(weight, np.zeros((3, 16)), num_gpus=8))
    raises("tokens", eplb.EplbError, lambda: eplb.share([[0, 1]], [[-1, 3]], 2), name="EPLB_ERR_NEGATIVE")


# ---------------------------------------------------------------------------------------- memory


def test_zero_copy():
    weight = draw(2, 2, 3, 8)
    check("float32 in rows is not copied", np.shares_memory(eplb._samples(weight), weight))
    check("nor are layers alone", np.shares_memory(eplb._samples(weight[0]), weight))
    slots = np.zeros((2, 4), np.int32)
    check("nor int32", np.shares_memory(eplb._rows("slots", slots, np.int32, 2, 4), slots))
    window = eplb.Window(3, 8, 4)
    window.push(weight[0])
    samples, _ = window.view()
    check("a window's view is its memory", np.shares_memory(samples, window._memory))
    check("and goes on as it is", np.shares_memory(eplb._samples(samples), window._memory))
    flat = eplb.rebalance_experts(weight[0], 12, 1, 1, 4)
    for kind in (np.asfortranarray(weight[0]), weight[0].astype(np.float64), weight[0].tolist()):
        loads = np.asarray(kind)
        check("other types and layouts give the same plan",
              all((a == b).all() for a, b in zip(flat, eplb.rebalance_experts(loads, 12, 1, 1, 4))))


# ------------------------------------------------------------------------------------------ plans


def test_plans():
    weight = draw(3, 4, 9, 32)
    for preset in eplb.PRESETS:
        for loads in (weight[0], weight):
            plan = eplb.rebalance_experts(loads, 40, 8, 4, 8, preset=preset)
            split = eplb.rebalance_experts(loads, 40, 8, 4, 8, preset=preset, threads=4)
            check(f"{preset}: threads give the same plan", all((a == b).all() for a, b in zip(plan, split)))
            phy2log, log2phy, logcnt = plan
            check(f"{preset}: counts", (logcnt.sum(1) == 40).all() and (logcnt >= 1).all())
            held = np.take_along_axis(phy2log, log2phy.reshape(9, -1).clip(0), 1).reshape(log2phy.shape)
            check(f"{preset}: log2phy", ((log2phy < 0) | (held == np.arange(32)[:, None])).all() and
                  ((log2phy >= 0).sum(2) == logcnt).all())
    more = eplb.rebalance_experts(weight, 40, 1, 1, 8, preset="l2", gpu_packing={"max_swaps": 0})
    plain = eplb.rebalance_experts(weight, 40, 1, 1, 8, preset="deepseek")
    check("l2 without swaps is deepseek", (more[0] == plain[0]).all())
    noisy = [eplb.rebalance_experts(weight[0], 40, 1, 1, 8, preset="multi_start", seed=seed,
                                    gpu_packing={"noise_scale": 1.5})[0] for seed in (1, 2**63)]
    check("a seed counts", not np.array_equal(*noisy))
    check("a cap holds", eplb.rebalance_experts(weight, 64, 1, 1, 8, max_replicas=2)[2].max() == 2)


# ------------------------------------------------------------------------------ from plan to plan


def moves_of(old, new, per_gpu):
    """(expert, GPU) pairs of a layer that the GPU did not hold, though somebody did."""
    return sum(len(set(new[at:at + per_gpu]) - set(old[at:at + per_gpu]) - {-1} - (set(new) - set(old)))
               for at in range(0, len(new), per_gpu))


def test_previous():
    weight = draw(11, 5, 64)
    later = weight * draw(12, 5, 64) ** 0.2
    old = eplb.rebalance_experts(weight, 80, 8, 2, 8)[0]
    fresh = eplb.rebalance_experts(later, 80, 8, 2, 8)[0]
    kept = eplb.rebalance_experts(later, 80, 8, 2, 8, previous=old)[0]
    few = eplb.rebalance_experts(later, 80, 8, 2, 8, previous=old, max_moves=4, threads=3)
    moved = [[moves_of(a.tolist(), b.tolist(), 10) for a, b in zip(old, new)] for new in (fresh, kept, few[0])]
    check(f"relabelled plans move less, limited ones least: {moved}", sum(moved[0]) > sum(moved[1]) > sum(moved[2]))
    check("a limit holds", 0 < max(moved[2]) <= 4)
    check("without moves nothing changes", (eplb.rebalance_experts(later, 80, 8, 2, 8, previous=old, max_moves=-1)[0] ==
                                            old).all())
    dear = eplb.rebalance_experts(later, 80, 8, 2, 8, previous=old, move_cost=9)[0]
    check("a high price lets nothing move", all(moves_of(a.tolist(), b.tolist(), 10) == 0 for a, b in zip(old, dear)))
    balance = [eplb.evaluate(later, new, num_gpus=8).balancedness.mean() for new in (old, few[0], fresh)]
    check(f"four moves gain most: {balance}", balance[0] < balance[1] <= balance[2] + 1e-6)
    holes = old.copy()
    holes[:, 70:] = -1
    phy2log, log2phy, logcnt = eplb.rebalance_experts(later, 80, 1, 1, 8, previous=holes, max_moves=2)
    check("slots may stay empty", (phy2log < 0).any() and (logcnt >= 1).all() and
          ((log2phy >= 0).sum(2) == logcnt).all() and ((phy2log >= 0).sum(1) == logcnt.sum(1)).all())
    wrong = old.copy()
    wrong[3, 5] = 64
    raises("a plan in force that is none", eplb.EplbError,
           lambda: eplb.rebalance_experts(later, 80, 8, 2, 8, previous=wrong), name="EPLB_ERR_PLAN",
           field="options.previous_phy2log", layer=3, item=5)
    raises("a price without effort", eplb.EplbError, lambda: eplb.rebalance_experts(
        later, 80, 8, 2, 8, previous=old, preset="deepseek", move_cost=0.1), name="EPLB_ERR_OPTION")
    raises("another width", ValueError, lambda: eplb.rebalance_experts(later, 80, 8, 2, 8, previous=old[:, :72]))


def test_transfers():
    weight = draw(13, 3, 64)
    old = eplb.rebalance_experts(weight, 80, 1, 1, 8)[0]
    new = eplb.rebalance_experts(draw(14, 3, 64), 80, 1, 1, 8, previous=old)[0]
    sent = eplb.transfers(old, new, num_experts=64, num_gpus=8, num_nodes=2)
    held = old.copy()
    held[sent["layer"], sent["to_slot"]] = sent["expert"]
    check("transfers make the new plan", (held == new).all() and len(sent) == (old != new).sum())
    link = sent[sent["round"] >= 0]
    check("they come from holders", (old[link["layer"], link["from_slot"]] == link["expert"]).all())
    steps = eplb.transfers(old, new, num_experts=64, num_gpus=8, in_place=True, sources="dealt", rounds="one_peer")
    check("in place no fewer", len(steps) >= len(sent))
    check("a plan is right", eplb.check_plan(new, num_experts=64, num_gpus=8, previous=old) is None)
    fault = eplb.check_plan(new, num_experts=64, num_gpus=8, previous=old, max_moves=1)
    check(f"a limit that does not hold: {fault}", fault.reason == "moves" and fault.layer == 0 and fault.allowed == 1)
    missing = new.copy()
    missing[1][missing[1] == 7] = 8
    fault = eplb.check_plan(missing, num_experts=64, num_gpus=8)
    check(f"a missing expert: {fault}", (fault.reason, fault.layer, fault.expert) == ("missing", 1, 7))
    gone = np.arange(8) == 3
    lost = eplb.lost_experts(old, num_experts=64, num_gpus=8, gpu_lost=gone)
    alone = [(layer, e) for layer in range(3) for e in range(64)
             if set(np.nonzero(old[layer] == e)[0] // 10) == {3}]
    check("lost experts", [tuple(one) for one in lost.tolist()] == alone)
    verdict = eplb.weigh_switch(weight, old, new, num_gpus=8)
    check("a plan for other loads does not pay", not verdict["pays"].any())
    verdict = eplb.weigh_switch(weight, new, old, num_gpus=8, threshold=0.01)
    balance = eplb.evaluate(weight, old, num_gpus=8).balancedness
    scores = np.allclose(verdict["balancedness"], balance[verdict["layer"]])
    check("one for these does", verdict["pays"].all() and scores)
    check("in order", (np.diff(verdict["gain_per_move"]) <= 0).all())
    raises("sources", ValueError, lambda: eplb.transfers(old, new, num_experts=64, num_gpus=8, sources="odd"))
    raises("ids", eplb.EplbError, lambda: eplb.transfers(old, new, num_experts=63, num_gpus=8), name="EPLB_ERR_PLAN")


def test_follow():
    weight, trivial = draw(15, 3, 64), (np.arange(80) % 64)[None].repeat(3, 0)
    limits = {"max_gpu_moves": 1, "move_cost": 0.01}
    first = eplb.follow(weight, 80, 8, 2, 8, trivial, **limits)
    check("from a map that keeps no group on its node", (first == eplb.rebalance_experts(
        weight, 80, 8, 2, 8, previous=trivial)[0]).all())
    raises("which limits alone do not allow", eplb.EplbError, lambda: eplb.rebalance_experts(
        weight, 80, 8, 2, 8, previous=trivial, **limits), name="EPLB_ERR_PLAN", field="options.previous_phy2log")
    later = weight * draw(16, 3, 64) ** 0.2
    later[1] = 0
    second = eplb.follow(later, 80, 8, 2, 8, first, **limits)
    want = eplb.rebalance_experts(later, 80, 8, 2, 8, previous=first, **limits)[0]
    check("limits hold from then on", (second[::2] == want[::2]).all() and (moves(first, second, 8) <= 1).all())
    check("no load, no change", (second[1] == first[1]).all())
    holes = first.copy()
    holes[:, :20] = -1
    check("no slot stays empty", (eplb.follow(weight, 80, 8, 2, 8, holes, **limits) >= 0).all())
    check("without a map, a fresh plan", (eplb.follow(weight, 80, 8, 2, 8, **limits) ==
                                         eplb.rebalance_experts(weight, 80, 8, 2, 8)[0]).all())
    wrong = first.copy()
    wrong[0, 0] = 64
    raises("ids", eplb.EplbError, lambda: eplb.follow(weight, 80, 8, 2, 8, wrong, **limits), name="EPLB_ERR_PLAN",
           item=0)


def test_inverse():
    weight = draw(17, 3, 16)
    phy2log, log2phy, logcnt = eplb.rebalance_experts(weight, 24, 1, 1, 4)
    again, count = eplb.inverse_maps(phy2log, 16)
    check("the same slots, ascending", (count == logcnt).all() and
          all(sorted(a[a >= 0]) == b[b >= 0].tolist() for a, b in zip(log2phy.reshape(48, -1), again.reshape(48, -1))))
    gone = np.array([False, True, False, False])
    left = np.where(np.repeat(gone, 6), -1, phy2log)
    for name, by_mask, by_holes in zip(("log2phy", "logcnt"), eplb.inverse_maps(phy2log, 16, num_gpus=4, gpu_lost=gone),
                                       eplb.inverse_maps(left, 16)):
        check(f"{name} without a GPU", (by_mask == by_holes).all() and by_mask.shape[:2] == (3, 16))
    check("no slots at all", eplb.inverse_maps(np.full((2, 4), -1), 3)[0].shape == (2, 3, 0))
    raises("ids", ValueError, lambda: eplb.inverse_maps(phy2log, 15))


def test_as_vllm():
    """Worked by hand; tests/check/engines_vllm_preset.py has vLLM's own."""
    load, before = np.array([[9.0, 5.0, 4.0, 2.0, 1.0]]), np.array([[3, 1, 0, 4, 2, 0]])
    as_vllm = functools.partial(eplb.rebalance_experts, load, 6, 1, 1, 2, preset="vllm")
    check("a plan as vLLM's", as_vllm()[0].tolist() == [[1, 2, 3, 0, 0, 4]])
    check("slots kept as vLLM does", as_vllm(previous=before)[0].tolist() == [[3, 1, 2, 4, 0, 0]])
    raises("effort", eplb.EplbError, lambda: as_vllm(effort=1), name="EPLB_ERR_OPTION", field="options.effort")


def test_equal_maxima():
    """Samples whose two hottest experts are equal, where SGLang 0.5.23's deepseek_vec gives all replicas to expert 0:
    each preset gives them to hot experts, the same in any unit and for any number of such samples."""
    for seed in range(3):
        load = draw(seed, 64)
        load[np.argsort(load)[-2]] = load.max()
        samples = [np.repeat(load[None, None], number, 0) for number in (1, 2, 4, 8)]
        for preset in eplb.PRESETS:
            counts = [eplb.rebalance_experts(sample * np.float32(unit), 80, 1, 1, 8, preset=preset)[2][0]
                      for unit in (1, 100, 10**6) for sample in samples]
            check(f"{preset}, {seed}: the same replicas", all((count == counts[0]).all() for count in counts))
            check(f"{preset}, {seed}: hot experts have them", (counts[0][load < np.median(load)] == 1).all() and
                  (counts[0][load == load.max()] > 1).all())


def test_report():
    weight = draw(4, 5, 3, 16)
    phy2log, _, logcnt = eplb.rebalance_experts(weight, 24, 1, 1, 4)
    report = eplb.evaluate(weight, phy2log, num_gpus=4)
    shares = weight / logcnt
    loads = np.take_along_axis(shares, np.broadcast_to(phy2log, (5, *phy2log.shape)), 2).reshape(5, 3, 4, 6).sum(3)
    check("gpu_load", np.allclose(report.gpu_load, loads.mean(0), rtol=1e-5))
    check("max_load", np.allclose(report.max_load, loads.max(2).mean(0), rtol=1e-5))
    check("mean_load", np.allclose(report.mean_load, weight.sum(2).mean(0) / 4, rtol=1e-5))
    check("lower_bound", (report.mean_load <= report.lower_bound).all() and
          (report.lower_bound <= report.max_load).all())
    check("balancedness", np.allclose(report.balancedness, report.mean_load / report.max_load))
    check("max_logcnt", (report.max_logcnt == logcnt.max(1)).all())
    check("types", report.max_logcnt.dtype == np.int32 and report.gpu_load.dtype == np.float32)


def test_cluster():
    weight, slots = draw(8, 3, 16), np.array([6, 0, 6, 6, 5], np.int32)
    speed = np.array([1, 1, 0.5, 1, 1], np.float32)
    before, _, _ = eplb.rebalance_experts(weight, 30, 1, 1, 5)
    after, _, logcnt = eplb.rebalance_experts(weight, 30, 1, 1, 5, previous=before, gpu_slots=slots, gpu_speed=speed)
    unusable = np.concatenate([np.arange(6) >= n for n in slots])
    check("no slot that may not be used", (after[:, unusable] == -1).all() and (after[:, ~unusable] >= 0).all())
    check("all experts", (logcnt >= 1).all() and (logcnt.sum(1) == slots.sum()).all())
    cluster = eplb.Cluster(gpu_slots=slots, gpu_speed=speed)
    report = eplb.evaluate(weight, after, num_gpus=5, cluster=cluster)
    time = np.where(slots > 0, report.gpu_load / speed, 0).max(1)
    check("times", np.allclose(report.max_load, time, rtol=1e-5))
    moves = eplb.transfers(before, after, num_experts=16, num_gpus=5, cluster=cluster)
    dead = (moves["from_slot"] >= 6) & (moves["from_slot"] < 12)
    check("nothing comes from a dead GPU", not dead.any() and len(moves) > 0)
    check("a plan that may be", eplb.check_plan(after, num_experts=16, num_gpus=5, cluster=cluster) is None)
    tokens = (weight * 1000).astype(np.int32)
    served, _ = eplb.share(after, tokens, 5, cluster=cluster)
    check("served", (served[:, unusable] == 0).all() and served.sum() == tokens.sum())
    locked = np.zeros(before.shape, bool)
    locked[:, :3] = True
    kept, _, _ = eplb.rebalance_experts(draw(9, 3, 16), 30, 1, 1, 5, previous=before, locked=locked, survive="gpu")
    check("locked slots", (kept[:, :3] == before[:, :3]).all())
    raises("a wrong number of slots", ValueError, lambda: eplb.rebalance_experts(weight, 30, 1, 1, 5, gpu_slots=[6, 6]))


def test_window():
    counts = np.random.default_rng(5).integers(0, 1000, (7, 2, 16)).astype(np.int32)
    window, floats = eplb.Window(2, 16, 4, half_life=8), eplb.Window(2, 16, 4, decay=2 ** (-1 / 8))
    check("an empty window has no samples", len(window) == 0 and window.view()[0].shape == (0, 2, 16))
    raises("an empty window", ValueError, lambda: eplb.rebalance_experts(window, 24, 1, 1, 4))
    for count in counts:
        window.push(count)
        floats.push(count.astype(np.float32))
    samples, weights = window.view()
    newest = counts[3:].astype(np.float32)
    check("the newest samples are held", sorted(map(bytes, samples)) == sorted(map(bytes, newest)))
    check("weights", np.allclose(sorted(weights), sorted(2.0 ** (-np.arange(4) / 8))) and len(window) == 4)
    plan = eplb.rebalance_experts(window, 24, 1, 1, 4)
    for other in (eplb.rebalance_experts(floats, 24, 1, 1, 4),
                  eplb.rebalance_experts(samples, 24, 1, 1, 4, sample_weight=weights)):
        check("a window plans as its samples do", all((a == b).all() for a, b in zip(plan, other)))
    raises("decay", eplb.EplbError, lambda: eplb.Window(2, 16, 4, decay=2), name="EPLB_ERR_OPTION")
    raises("another shape", ValueError, lambda: window.push(counts[0, :1]))


def test_shares():
    rng = np.random.default_rng(6)
    phy2log, _, _ = eplb.rebalance_experts(draw(6, 3, 16), 24, 1, 1, 4)
    source = rng.integers(0, 50, (3, 4, 16)).astype(np.int32)
    count = source.sum(1, dtype=np.int32)
    for how in eplb.SHARES:
        slot_count, most = eplb.share(phy2log, count, 4, how)
        check(f"{how}: all tokens", (eplb.logical_counts(slot_count, phy2log, 16) == count).all())
        check(f"{how}: the heaviest GPU", (slot_count.reshape(3, 4, 6).sum(2).max(1) == most).all())
        quota = eplb.share_sources(phy2log, source, slot_count)
        check(f"{how}: quotas", (quota.sum(1) == slot_count).all() and (quota.sum(2) == source.sum(2)).all())
    check("int64 counts", (eplb.share(phy2log, count.astype(np.int64), 4)[1] == eplb.share(phy2log, count, 4)[1]).all())
    raises("beyond int32", OverflowError, lambda: eplb.share(phy2log, count.astype(np.int64) << 40, 4))


def test_lock():
    """Other threads run while the library plans: one that may not interrupt this one gets to run before it is done."""
    weight, may_go, done, seen = draw(7, 96, 256), threading.Lock(), [], []
    may_go.acquire()

    def look():
        with may_go:
            seen.append(not done)

    other, interval = threading.Thread(target=look), sys.getswitchinterval()
    other.start()
    sys.setswitchinterval(100)
    may_go.release()
    eplb.rebalance_experts(weight, 320, 1, 1, 64, preset="best")
    done.append(True)
    sys.setswitchinterval(interval)
    other.join()
    check("other threads run meanwhile", seen == [True])


# ---------------------------------------------------------------------------------------- tensors


def test_tensors():
    weight = draw(8, 2, 16)
    check("PyTorch is not imported for arrays", "torch" not in sys.modules)
    plan = eplb.rebalance_experts(weight, 24, 1, 1, 4)
    torch = torch_or_stand_in()
    tensor = torch.from_numpy(weight)
    check("a tensor is not copied", np.shares_memory(eplb._samples(tensor), weight))
    given = eplb.rebalance_experts(tensor, 24, 1, 1, 4)
    check("tensors give tensors", all(isinstance(part, torch.Tensor) for part in given))
    check("and the same plan", all((a == b.numpy()).all() for a, b in zip(plan, given)))
    report = eplb.evaluate(tensor, given[0], num_gpus=4)
    check("a report too", isinstance(report.gpu_load, torch.Tensor) and report.gpu_load.numpy().shape == (2, 4))
    double = torch.from_numpy(weight.astype(np.float64))
    check("of other types", (eplb.rebalance_experts(double, 24, 1, 1, 4)[0].numpy() == plan[0]).all())


for test in (test_structs, test_golden, test_errors, test_zero_copy, test_plans, test_previous, test_transfers,
             test_follow, test_inverse, test_as_vllm, test_equal_maxima, test_report, test_cluster, test_window,
             test_shares, test_lock, test_tensors):
    test()
tally.end()
