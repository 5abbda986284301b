"""eplb.h from Python: one file over ctypes and NumPy; `make lib` builds the library that it loads.

    import eplb
    phy2log, log2phy, logcnt = eplb.rebalance_experts(weight, 288, 8, 4, 32)
    print(eplb.evaluate(weight, phy2log, num_groups=8, num_nodes=4, num_gpus=32).balancedness)

Arrays are NumPy's or PyTorch's, and results are of the kind of the first one given, on its device; PyTorch is not
imported unless it is there already. What has the right type and lies in rows, in the memory of the CPU, is not copied.
While the library works other Python threads run. In shapes T counts samples, L layers, E experts, R slots ("physical
experts", `num_replicas`), G GPUs; slots of GPU g are g*R/G .. (g+1)*R/G - 1.

The library is sought where the environment variable EPLB_LIBRARY says, then beside this file, then in build/ of the
repository that this file lies in.
"""

from __future__ import annotations

import ctypes
import operator
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from ctypes import POINTER, byref, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

Array = Any  # numpy.ndarray or torch.Tensor

POLICIES = {"auto": 0, "hierarchical": 1, "global": 2}
SHARES = {"least_max": 0, "fair": 1}
SURVIVE = {"none": 0, "gpu": 1, "node": 2}
PLAN_FOR = {"equal": 0, "exact": 1}
SOURCES = {"even": 0, "dealt": 1}
ROUNDS = {"duplex": 0, "one_peer": 1}
TRANSFER_KINDS = ("same_gpu", "same_node", "other_node", "lost")

# ------------------------------------------------------------------------------------ the library


def _struct(name: str, **fields: Any) -> type:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


def _all(kind: Any, names: str) -> Any:
    return dict.fromkeys(names.split(), kind)


_Problem = _struct("_Problem", **_all(
    c_int32, "num_layers num_experts num_replicas num_groups num_nodes num_gpus num_samples"),
    **_all(c_void_p, "gpu_slots gpu_speed gpu_node locked"), survive=c_int32)
_Packing = _struct("_Packing", **_all(c_int32, "init refine max_swaps heavy_packs num_candidates noise"),
                   noise_scale=c_float, select=c_int32)
_Options = _struct("_Options", **_all(c_int32, "policy replication fixup_steps max_replicas"),
                   group_packing=_Packing, gpu_packing=_Packing, seed=c_uint64,
                   effort=c_int32, allow_duplicates=c_int32, sample_weight=c_void_p, shares=c_int32,
                   previous_phy2log=c_void_p, **_all(c_int32, "max_moves max_gpu_moves max_pair_moves max_node_moves"),
                   move_cost=c_float, engine=c_int32)
_Plan = _struct("_Plan", **_all(c_void_p, "phy2log phyrank logcnt log2phy"),
                log2phy_width=c_int32, layer_status=c_void_p)
_Diagnosis = _struct("_Diagnosis", result=c_int32, field=c_char_p,
                     **_all(c_int32, "layer sample item width_needed"), bytes_needed=c_size_t)
_Window = _struct("_Window", **_all(c_int32, "num_layers num_experts capacity num_samples next"),
                  decay=c_float, weight=POINTER(c_float), sample_weight=POINTER(c_float))

_TransferOptions = _struct("_TransferOptions", **_all(c_int32, "sources rounds max_per_round"))
_Fault = _struct("_Fault", **_all(c_int32, "reason layer slot expert other count allowed"))
_SwitchOptions = _struct("_SwitchOptions", shares=c_int32, threshold=c_float, hysteresis=c_float,
                         in_force_score=c_void_p, max_moves=c_int64)

_SCRATCH = (c_void_p, c_size_t)
_PLANNING = (POINTER(_Problem), POINTER(_Options), c_void_p, POINTER(_Plan))
_FUNCTIONS = {
    "eplb_options_preset": (c_int32, POINTER(_Options)),
    "eplb_scratch_size": (POINTER(_Problem), POINTER(_Options), POINTER(c_size_t)),
    "eplb_rebalance_layers": (*_PLANNING, *_SCRATCH, c_int32, c_int32),
    "eplb_diagnose": (*_PLANNING, *_SCRATCH, POINTER(_Diagnosis)),
    "eplb_evaluate": (*_PLANNING, c_void_p, c_void_p, *_SCRATCH),
    "eplb_window_size": (c_int32, c_int32, c_int32, POINTER(c_size_t)),
    "eplb_window_init": (POINTER(_Window), c_int32, c_int32, c_int32, c_float, *_SCRATCH),
    "eplb_window_push": (POINTER(_Window), c_void_p),
    "eplb_window_push_counts": (POINTER(_Window), c_void_p),
    "eplb_logical_counts": (POINTER(_Problem), POINTER(_Plan), c_void_p, c_void_p),
    "eplb_transfers_scratch_size": (POINTER(_Problem), POINTER(c_size_t)),
    "eplb_transfers": (POINTER(_Problem), c_void_p, c_void_p, POINTER(_TransferOptions), c_void_p, c_size_t,
                       POINTER(c_size_t), *_SCRATCH),
    "eplb_transfers_in_place": (POINTER(_Problem), c_void_p, c_void_p, POINTER(_TransferOptions), c_void_p, c_size_t,
                                POINTER(c_size_t), c_void_p, *_SCRATCH),
    "eplb_check_plan": (POINTER(_Problem), POINTER(_Options), c_void_p, POINTER(_Fault), *_SCRATCH),
    "eplb_lost_experts": (POINTER(_Problem), c_void_p, c_void_p, c_void_p, c_size_t, POINTER(c_size_t)),
    "eplb_weigh_switch_scratch_size": (POINTER(_Problem), POINTER(c_size_t)),
    "eplb_weigh_switch": (POINTER(_Problem), c_void_p, c_void_p, c_void_p, POINTER(_SwitchOptions), c_void_p,
                          *_SCRATCH),
    "eplb_share_scratch_size": (POINTER(_Problem), POINTER(c_size_t)),
    "eplb_share": (POINTER(_Problem), c_void_p, c_void_p, c_int32, c_void_p, c_void_p, *_SCRATCH),
    "eplb_share_sources": (POINTER(_Problem), c_void_p, c_void_p, c_void_p, c_void_p, *_SCRATCH),
}


def _load() -> ctypes.CDLL:
    here = Path(__file__).resolve().parent
    places = [here / "libeplb.so", here.parents[1] / "build" / "libeplb.so"]
    named = os.environ.get("EPLB_LIBRARY")
    found = named or next((str(place) for place in places if place.exists()), None)
    if found is None:
        raise ImportError("libeplb.so is neither " + " nor ".join(map(str, places)) + "; make lib builds it")
    library = ctypes.CDLL(found)
    for name, arguments in _FUNCTIONS.items():
        getattr(library, name).argtypes = arguments
        getattr(library, name).restype = c_int32
    for name in ("eplb_result_name", "eplb_preset_name", "eplb_fault_name"):
        getattr(library, name).argtypes = (c_int32,)
        getattr(library, name).restype = c_char_p
    return library


_lib = _load()


def _preset_names() -> Tuple[str, ...]:
    names = []
    while (name := _lib.eplb_preset_name(len(names))) is not None:
        names.append(name.decode())
    return tuple(names)


PRESETS = _preset_names()


class EplbError(ValueError):
    """An error of the library.

    name: of the result, such as "EPLB_ERR_NEGATIVE"; result: its number; field: the argument at fault, such as
    "problem.num_replicas"; layer, sample, item: of the load at fault, or the slot of the plan in force. "" and -1 where
    they do not apply.
    """

    def __init__(self, result: int, field: str = "", layer: int = -1, sample: int = -1, item: int = -1) -> None:
        self.result, self.field, self.layer, self.sample, self.item = result, field, layer, sample, item
        self.name = _lib.eplb_result_name(result).decode()
        where = [f"{what} {at}" for what, at in (("layer", layer), ("sample", sample), ("item", item)) if at >= 0]
        super().__init__(": ".join(part for part in (self.name, field, ", ".join(where)) if part))


def _check(result: int) -> None:
    if result != 0:
        raise EplbError(result)


def _check_planning(result: int, *arguments: Any) -> None:
    """Says more of an error of what was called with these arguments: problem, options, weight, plan, scratch, bytes."""
    if result == 0:
        return
    why = _Diagnosis()
    if _lib.eplb_diagnose(*arguments, byref(why)) != result:
        raise EplbError(result)
    raise EplbError(result, why.field.decode(), why.layer, why.sample, why.item)


# ------------------------------------------------------------------------------------------ arrays


def _is_tensor(array: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def _rows(what: str, array: Array, dtype: type, *shape: Optional[int]) -> np.ndarray:
    """The array with this type, in rows; the same memory where that is so already. None in shape: any length."""
    if _is_tensor(array):
        torch = sys.modules["torch"]
        array = array.detach().to("cpu", {np.float32: torch.float32, np.int32: torch.int32}[dtype]).numpy()
    given = np.asarray(array)
    if dtype is np.int32 and given.dtype != np.int32:
        if given.dtype.kind not in "iu":
            raise TypeError(f"{what}: integers, not {given.dtype}")
        if given.size and not -2**31 <= int(given.min()) <= int(given.max()) < 2**31:
            raise OverflowError(f"{what}: beyond int32")
    if given.ndim != len(shape) or any(want is not None and want != is_ for want, is_ in zip(shape, given.shape)):
        wanted = ", ".join("*" if length is None else str(length) for length in shape)
        raise ValueError(f"{what}: shape [{wanted}], not {list(given.shape)}")
    return np.ascontiguousarray(given, dtype)


def _samples(weight: Array) -> np.ndarray:
    """[L, E] or [T, L, E] -> [T, L, E]"""
    if getattr(weight, "ndim", None) == 2:
        return _rows("weight", weight, np.float32, None, None)[None]
    return _rows("weight", weight, np.float32, None, None, None)


def _like(example: Array, result: np.ndarray) -> Array:
    """The result as what the example is: a tensor on its device, over the same memory on a CPU; or as it is."""
    if not _is_tensor(example):
        return result
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(result)).to(example.device)


def _int32(what: str, value: Any) -> int:
    number = operator.index(value)
    if not -2**31 <= number < 2**31:  # ctypes would cut it
        raise OverflowError(f"{what}: {number} is beyond int32")
    return number


class Cluster(NamedTuple):
    """GPUs that are not alike. What a plan has in slots that may not be used is not there."""

    gpu_slots: Optional[Array] = None  # [G] slots of each GPU that may be used, its first ones; 0 is a dead GPU
    gpu_speed: Optional[Array] = None  # [G] > 0: a GPU's load counts divided by it
    gpu_node: Optional[Array] = None  # [G] node of each GPU, ascending
    locked: Optional[Array] = None  # [L, R] true for slots that keep what the plan in force has in them
    survive: str = "none"  # one of SURVIVE: an expert with two replicas or more survives the loss of any one


def _problem(layers: int, experts: int, replicas: int, groups: int, nodes: int, gpus: int, samples: int = 1,
             cluster: Optional[Cluster] = None) -> Any:
    counts = (layers, experts, replicas, groups, nodes, gpus, samples)
    problem = _Problem(*(_int32(name, count) for (name, _), count in zip(_Problem._fields_, counts)))
    if cluster is None:
        return problem
    problem.survive = _one_of("survive", cluster.survive, SURVIVE)
    arrays = {name: _rows(name, value, kind, *shape) for name, value, kind, shape in (
        ("gpu_slots", cluster.gpu_slots, np.int32, (gpus,)), ("gpu_speed", cluster.gpu_speed, np.float32, (gpus,)),
        ("gpu_node", cluster.gpu_node, np.int32, (gpus,)),
        ("locked", None if cluster.locked is None else np.asarray(cluster.locked) != 0, np.uint8, (layers, replicas)))
        if value is not None}
    for name, array in arrays.items():
        setattr(problem, name, array.ctypes.data)
    problem.arrays = arrays  # as long as it points there
    return problem


def _scratch(size: Any, *arguments: Any) -> np.ndarray:
    bytes_needed = c_size_t()
    _check(size(*arguments, byref(bytes_needed)))
    return np.empty(bytes_needed.value, np.uint8)


# ------------------------------------------------------------------------------------------ window


class Window:
    """The last samples of load, each [L, E], with weights that fall by `decay`, or by half in `half_life` samples.

    Push what each step or interval counted, and give the window to `rebalance_experts` in place of `weight`.
    One window is for one thread at a time.
    """

    def __init__(self, num_layers: int, num_experts: int, capacity: int, *, decay: float = 1.0,
                 half_life: Optional[float] = None) -> None:
        if half_life is not None:
            decay = 2.0 ** (-1.0 / half_life)
        shape = [_int32(*count) for count in (("num_layers", num_layers), ("num_experts", num_experts),
                                              ("capacity", capacity))]
        self._memory = _scratch(_lib.eplb_window_size, *shape)
        self._window = _Window()
        _check(_lib.eplb_window_init(byref(self._window), *shape, decay, self._memory.ctypes.data, self._memory.size))

    def __len__(self) -> int:
        """Samples held."""
        return self._window.num_samples

    def push(self, load: Array) -> None:
        """load: [L, E], >= 0, float32 or whole tokens; takes the place of the oldest sample in a full window."""
        w = self._window
        whole = getattr(load, "dtype", None) == np.int32
        sample = _rows("load", load, np.int32 if whole else np.float32, w.num_layers, w.num_experts)
        push = _lib.eplb_window_push_counts if whole else _lib.eplb_window_push
        _check(push(byref(w), sample.ctypes.data))

    def view(self) -> Tuple[np.ndarray, np.ndarray]:
        """The samples [T, L, E], in the order of the ring, and what each counts for [T]: the window's own memory,
        which the next push changes."""
        w = self._window
        if w.num_samples == 0:
            return np.empty((0, w.num_layers, w.num_experts), np.float32), np.empty(0, np.float32)
        weight = np.ctypeslib.as_array(w.weight, (w.num_samples, w.num_layers, w.num_experts))
        return weight, np.ctypeslib.as_array(w.sample_weight, (w.num_samples,))


# ---------------------------------------------------------------------------------------- planning


def _options(preset: str, policy: str, sample_weight: Optional[np.ndarray], **changed: Any) -> Any:
    """A preset's options, but for what is changed: numbers, and for packings what to change in them."""
    options = _Options()
    if preset not in PRESETS:
        raise ValueError(f"preset: {preset!r} is none of {', '.join(PRESETS)}")
    if policy not in POLICIES:
        raise ValueError(f"policy: {policy!r} is none of {', '.join(POLICIES)}")
    _check(_lib.eplb_options_preset(PRESETS.index(preset), byref(options)))
    options.policy = POLICIES[policy]
    for name, value in changed.items():
        if isinstance(value, Mapping):
            packing, known = getattr(options, name), dict(_Packing._fields_)
            for item, number in value.items():
                if item not in known:
                    raise ValueError(f"{name}: {item!r} is none of {', '.join(known)}")
                setattr(packing, item, float(number) if item == "noise_scale" else _int32(item, number))
        elif value is not None:
            setattr(options, name, operator.index(value) if name == "seed" else _int32(name, value))
    if sample_weight is not None:
        options.sample_weight = sample_weight.ctypes.data
    return options


def _follow(options: Any, previous: Optional[np.ndarray], move_cost: float) -> None:
    if previous is not None:
        options.previous_phy2log = previous.ctypes.data
    options.move_cost = move_cost


def _planning_bytes(problem: Any, options: Any, weight: np.ndarray) -> int:
    """Of scratch, once problem and options are right."""
    needed, plan = c_size_t(), _Plan(phy2log=weight.ctypes.data)  # a plan is looked at after those, if at all
    result = _lib.eplb_scratch_size(byref(problem), byref(options), byref(needed))
    _check_planning(result, byref(problem), byref(options), weight.ctypes.data, byref(plan), None, 0)
    return needed.value


def _plan_layers(problem: Any, options: Any, weight: np.ndarray, plan: Any, bytes_needed: int, first: int,
                 count: int) -> None:
    scratch = np.empty(bytes_needed, np.uint8)
    arguments = (byref(problem), byref(options), weight.ctypes.data, byref(plan), scratch.ctypes.data, scratch.size)
    _check_planning(_lib.eplb_rebalance_layers(*arguments, first, count), *arguments)


def _slots_of_experts(phy2log: np.ndarray, phyrank: np.ndarray, logcnt: np.ndarray) -> np.ndarray:
    """[L, E, most replicas] the slots of each expert by rank, then -1"""
    log2phy = np.full((*logcnt.shape, int(logcnt.max())), -1, np.int32)
    layer, slot = np.nonzero(phy2log >= 0)
    log2phy[layer, phy2log[layer, slot], phyrank[layer, slot]] = slot
    return log2phy


def rebalance_experts(weight: Union[Array, Window], num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int,
                      *, preset: str = "default", policy: str = "auto", sample_weight: Optional[Array] = None,
                      max_replicas: Optional[int] = None, effort: Optional[int] = None,
                      allow_duplicates: Optional[bool] = None, replication: Optional[int] = None,
                      fixup_steps: Optional[int] = None, group_packing: Optional[Mapping[str, float]] = None,
                      gpu_packing: Optional[Mapping[str, float]] = None, seed: int = 0,
                      plan_for: str = "equal", previous: Optional[Array] = None, max_moves: int = 0,
                      max_gpu_moves: int = 0, max_pair_moves: int = 0, max_node_moves: int = 0,
                      move_cost: float = 0.0, gpu_slots: Optional[Array] = None, gpu_speed: Optional[Array] = None,
                      gpu_node: Optional[Array] = None, locked: Optional[Array] = None, survive: str = "none",
                      threads: int = 1) -> Tuple[Array, Array, Array]:
    """Plans which expert each slot of each layer holds.

    weight: [L, E], or [T, L, E] for a plan that serves T samples, loads >= 0 in any unit; or a Window.
    num_replicas: slots in a layer over all GPUs; num_groups: of consecutive experts, kept on a node where num_nodes
    divides them and policy is not "global".
    preset: one of PRESETS; policy: one of POLICIES; sample_weight: [T] what each sample counts for, which a Window
    knows; the other keywords are the fields of eplb_options, None being the preset's, packings as in
    {"max_swaps": 20}. plan_for: "exact" where shares will be chosen for each step, see `share`.
    previous: [L, R] the plan in force, -1 for an empty slot: without limits and price as many slots as possible keep
    their expert; max_moves (-1: none), max_gpu_moves, max_pair_moves, max_node_moves limit what moves in a layer, 0 not
    at all, and a move must lower the heaviest GPU's load by move_cost mean GPU loads.
    gpu_slots, gpu_speed, gpu_node, locked, survive: GPUs that are not alike, see Cluster.
    threads: layers are split over so many; the plan is the same.

    Returns, int32: phy2log [L, R] the expert of each slot, -1 where one stays empty under limits; log2phy [L, E, most
    replicas of an expert] the slots of each expert, then -1; logcnt [L, E] replicas of each expert. Raises EplbError.
    """
    example = weight
    if plan_for not in PLAN_FOR:
        raise ValueError(f"plan_for: {plan_for!r} is none of {', '.join(PLAN_FOR)}")
    if isinstance(weight, Window):
        if sample_weight is not None:
            raise ValueError("sample_weight: a Window has its own")
        weight, sample_weight = weight.view()
    loads = _samples(weight)
    samples, layers, experts = loads.shape
    if samples == 0 or layers == 0 or experts == 0:
        raise ValueError(f"weight: nothing in shape {list(loads.shape)}")
    if sample_weight is not None:
        sample_weight = _rows("sample_weight", sample_weight, np.float32, samples)
    problem = _problem(layers, experts, num_replicas, num_groups, num_nodes, num_gpus, samples,
                       Cluster(gpu_slots, gpu_speed, gpu_node, locked, survive))
    options = _options(preset, policy, sample_weight, max_replicas=max_replicas, effort=effort, seed=seed,
                       allow_duplicates=allow_duplicates, replication=replication, fixup_steps=fixup_steps,
                       group_packing=group_packing, gpu_packing=gpu_packing, shares=PLAN_FOR[plan_for],
                       max_moves=max_moves, max_gpu_moves=max_gpu_moves, max_pair_moves=max_pair_moves,
                       max_node_moves=max_node_moves)
    if previous is not None:
        previous = _rows("previous", previous, np.int32, layers, num_replicas)
    _follow(options, previous, move_cost)
    bytes_needed = _planning_bytes(problem, options, loads)
    phy2log, phyrank = np.empty((2, layers, num_replicas), np.int32)
    logcnt = np.empty((layers, experts), np.int32)
    plan = _Plan(phy2log=phy2log.ctypes.data, phyrank=phyrank.ctypes.data, logcnt=logcnt.ctypes.data)
    starts = np.linspace(0, layers, max(1, min(threads, layers)) + 1).astype(int).tolist()
    parts = [(first, end - first) for first, end in zip(starts, starts[1:])]
    if len(parts) == 1:
        _plan_layers(problem, options, loads, plan, bytes_needed, 0, layers)
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(lambda part: _plan_layers(problem, options, loads, plan, bytes_needed, *part), parts))
    log2phy = _slots_of_experts(phy2log, phyrank, logcnt)
    return _like(example, phy2log), _like(example, log2phy), _like(example, logcnt)


# ------------------------------------------------------------------------------ for engines' policies

_LIMITS = ("max_moves", "max_gpu_moves", "max_pair_moves", "max_node_moves", "move_cost")


def follow(weight: Array, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int,
           previous: Optional[Array] = None, **keywords: Any) -> Array:
    """The plan [L, R] that an engine's policy makes from the map in force; keywords as in `rebalance_experts`.

    Limits and price are left out where there is no map, and where they cannot hold: engines begin with a map that keeps
    no group on its node, and new GPUs come with empty slots, -1. A layer without load keeps a map that is whole.
    """
    loads = _samples(weight)
    free = {**keywords, **dict.fromkeys(_LIMITS, 0)}
    shape = (num_replicas, num_groups, num_nodes, num_gpus)
    if previous is None:
        return _like(weight, rebalance_experts(loads, *shape, **free)[0])
    old = _rows("previous", previous, np.int32, loads.shape[1], num_replicas)
    try:
        new = rebalance_experts(loads, *shape, previous=old, **(free if (old < 0).any() else keywords))[0]
    except EplbError as error:
        if error.field != "options.previous_phy2log":
            raise
        new = rebalance_experts(loads, *shape, previous=old, **free)[0]
    idle = ~loads.any((0, 2)) & (old >= 0).all(1) & (inverse_maps(old, loads.shape[2])[1] > 0).all(1)
    new[idle] = old[idle]
    return _like(weight, new)


def inverse_maps(phy2log: Array, num_experts: int, *, num_gpus: int = 1,
                 gpu_lost: Optional[Array] = None) -> Tuple[Array, Array]:
    """log2phy [L, E, most replicas], ascending slots and then -1, and logcnt [L, E], int32.

    phy2log: [L, R], -1 for an empty slot; gpu_lost: [G], true for GPUs that are gone, whatever their slots are said to
    hold: SGLang's elasticity_aware says expert 0.
    """
    slots = _rows("phy2log", phy2log, np.int32, None, None)
    if slots.size and not -1 <= slots.min() <= slots.max() < num_experts:
        raise ValueError(f"phy2log: ids of {num_experts} experts, or -1")
    held = slots >= 0
    if gpu_lost is not None:
        held &= np.repeat(np.asarray(gpu_lost) == 0, slots.shape[1] // num_gpus)
    layer, slot = np.nonzero(held)
    experts = slots[layer, slot]
    order = np.lexsort((slot, experts, layer))
    layer, slot, experts = layer[order], slot[order], experts[order]
    logcnt = np.zeros((slots.shape[0], num_experts), np.int32)
    np.add.at(logcnt, (layer, experts), 1)
    first = np.cumsum(logcnt) - logcnt.ravel()
    log2phy = np.full((*logcnt.shape, int(logcnt.max(initial=0))), -1, np.int32)
    log2phy[layer, experts, np.arange(slot.size) - first[layer * num_experts + experts]] = slot
    return _like(phy2log, log2phy), _like(phy2log, logcnt)


# ---------------------------------------------------------------------------- a plan that is there


class Report(NamedTuple):
    """Of each layer, [L]: loads in the unit of `weight`, means over the samples; see eplb_layer_report."""

    max_load: Array  # float32, of a GPU
    mean_load: Array  # float32
    balancedness: Array  # float32, mean_load / max_load
    lower_bound: Array  # float32: no plan of this problem and policy has a smaller max_load
    replica_balancedness: Array  # float32
    max_logcnt: Array  # int32, most replicas of one expert
    num_duplicates: Array  # int32, slots whose expert is in an earlier slot of the same GPU too
    num_split_groups: Array  # int32, groups whose experts are on several nodes
    gpu_load: Array  # float32, [L, G]


_REPORT = np.dtype([(name, np.float32) for name in Report._fields[:5]] + [(name, np.int32) for name in
                                                                        Report._fields[5:8]])


def evaluate(weight: Array, phy2log: Array, *, num_gpus: int, num_groups: int = 1, num_nodes: int = 1,
             policy: str = "auto", max_replicas: Optional[int] = None, cluster: Optional[Cluster] = None) -> Report:
    """How even a plan is, and how even any could be.

    weight: [L, E] or [T, L, E]; phy2log: [L, R] from anywhere, -1 for an empty slot; groups, nodes, policy and
    max_replicas matter to lower_bound alone. Raises EplbError.
    """
    loads = _samples(weight)
    samples, layers, experts = loads.shape
    slots = _rows("phy2log", phy2log, np.int32, layers, None)
    problem = _problem(layers, experts, slots.shape[1], num_groups, num_nodes, num_gpus, samples, cluster)
    options = _options("deepseek", policy, None, max_replicas=max_replicas)
    plan = _Plan(phy2log=slots.ctypes.data)
    report = np.empty(layers, _REPORT)
    scratch = np.empty(_planning_bytes(problem, options, loads), np.uint8)
    gpu_load = np.empty((layers, num_gpus), np.float32)
    arguments = (byref(problem), byref(options), loads.ctypes.data, byref(plan))
    result = _lib.eplb_evaluate(*arguments, report.ctypes.data, gpu_load.ctypes.data, scratch.ctypes.data, scratch.size)
    _check_planning(result, *arguments, scratch.ctypes.data, scratch.size)
    columns = (np.ascontiguousarray(report[name]) for name in _REPORT.names)
    return Report(*(_like(weight, column) for column in (*columns, gpu_load)))


def logical_counts(slot_count: Array, phy2log: Array, num_experts: int) -> Array:
    """[L, E] int32 tokens of each expert, from those that each slot served: slot_count, phy2log: [L, R]."""
    served = _rows("slot_count", slot_count, np.int32, None, None)
    slots = _rows("phy2log", phy2log, np.int32, *served.shape)
    problem = _problem(served.shape[0], num_experts, served.shape[1], 1, 1, 1)
    count = np.empty((served.shape[0], max(num_experts, 0)), np.int32)
    plan = _Plan(phy2log=slots.ctypes.data)
    _check(_lib.eplb_logical_counts(byref(problem), byref(plan), served.ctypes.data, count.ctypes.data))
    return _like(slot_count, count)


# ------------------------------------------------------------------------------ from plan to plan

TRANSFER = np.dtype([(name, np.int32) for name in ("layer", "expert", "from_slot", "to_slot", "kind", "round")])
LOST = np.dtype([("layer", np.int32), ("expert", np.int32)])
SWITCH = np.dtype([(name, np.int32) for name in ("layer", "moves", "lost", "pays")] +
                  [(name, np.float32) for name in ("before", "after", "balancedness", "gain_per_move")])


def _one_of(what: str, value: str, known: Mapping[str, int]) -> int:
    if value not in known:
        raise ValueError(f"{what}: {value!r} is none of {', '.join(known)}")
    return known[value]


def transfers(previous: Array, phy2log: Array, *, num_experts: int, num_gpus: int, num_nodes: int = 1,
              sources: str = "even", rounds: str = "duplex", max_per_round: int = 0,
              in_place: bool = False, cluster: Optional[Cluster] = None) -> np.ndarray:
    """What has to be sent where, and in which round, for a new plan to be in force: a NumPy array of TRANSFER.

    previous, phy2log: [L, R], -1 for an empty slot; sources: "even" or, as vLLM does, "dealt"; rounds: "duplex" or, as
    vLLM does, "one_peer"; max_per_round: 0 is no limit; in_place: steps in which no slot is overwritten before it has
    been read, slot R + g being a staging slot of GPU g. kind indexes TRANSFER_KINDS.
    """
    old = _rows("previous", previous, np.int32, None, None)
    new = _rows("phy2log", phy2log, np.int32, *old.shape)
    problem = _problem(old.shape[0], num_experts, old.shape[1], 1, num_nodes, num_gpus, 1, cluster)
    how = _TransferOptions(_one_of("sources", sources, SOURCES), _one_of("rounds", rounds, ROUNDS),
                           _int32("max_per_round", max_per_round))
    scratch, number = _scratch(_lib.eplb_transfers_scratch_size, byref(problem)), c_size_t()

    def call(found: Any, capacity: int) -> int:
        arguments = (byref(problem), old.ctypes.data, new.ctypes.data, byref(how), found, capacity, byref(number))
        if in_place:
            return _lib.eplb_transfers_in_place(*arguments, None, scratch.ctypes.data, scratch.size)
        return _lib.eplb_transfers(*arguments, scratch.ctypes.data, scratch.size)

    _check(call(None, 0))
    found = np.empty(number.value, TRANSFER)
    _check(call(found.ctypes.data, found.size))
    return found


class Fault(NamedTuple):
    """Why a plan may not be put in force; -1 where a field does not apply. See eplb_plan_fault."""

    reason: str  # such as "missing" or "moves"
    layer: int
    slot: int
    expert: int
    other: int
    count: int
    allowed: int


def check_plan(phy2log: Array, *, num_experts: int, num_gpus: int, num_groups: int = 1, num_nodes: int = 1,
               preset: str = "default", policy: str = "auto", max_replicas: Optional[int] = None,
               allow_duplicates: Optional[bool] = None, previous: Optional[Array] = None, max_moves: int = 0,
               max_gpu_moves: int = 0, max_pair_moves: int = 0, max_node_moves: int = 0,
               cluster: Optional[Cluster] = None) -> Optional[Fault]:
    """The first fault of a plan [L, R], -1 for an empty slot, or None; with previous, slots not kept and moves too."""
    slots = _rows("phy2log", phy2log, np.int32, None, None)
    problem = _problem(slots.shape[0], num_experts, slots.shape[1], num_groups, num_nodes, num_gpus, 1, cluster)
    options = _options(preset, policy, None, max_replicas=max_replicas, allow_duplicates=allow_duplicates,
                       max_moves=max_moves, max_gpu_moves=max_gpu_moves, max_pair_moves=max_pair_moves,
                       max_node_moves=max_node_moves)
    if previous is not None:
        previous = _rows("previous", previous, np.int32, *slots.shape)
    _follow(options, previous, 0.0)
    fault, scratch = _Fault(), _scratch(_lib.eplb_transfers_scratch_size, byref(problem))
    result = _lib.eplb_check_plan(byref(problem), byref(options), slots.ctypes.data, byref(fault), scratch.ctypes.data,
                                  scratch.size)
    if result == 0:
        return None
    if fault.reason == 0:
        raise EplbError(result)
    numbers = (getattr(fault, name) for name, _ in _Fault._fields_[1:])
    return Fault(_lib.eplb_fault_name(fault.reason).decode(), *numbers)


def lost_experts(phy2log: Array, *, num_experts: int, num_gpus: int, gpu_lost: Optional[Array] = None) -> np.ndarray:
    """The experts that nobody holds any more, a NumPy array of LOST: phy2log: [L, R], -1 for an empty slot; gpu_lost:
    [G], true for GPUs that are gone."""
    slots = _rows("phy2log", phy2log, np.int32, None, None)
    problem = _problem(slots.shape[0], num_experts, slots.shape[1], 1, 1, num_gpus)
    gone = None if gpu_lost is None else np.ascontiguousarray(np.asarray(gpu_lost) != 0, np.uint8)
    if gone is not None and gone.shape != (num_gpus,):
        raise ValueError(f"gpu_lost: shape [{num_gpus}], not {list(gone.shape)}")
    number, at = c_size_t(), None if gone is None else gone.ctypes.data
    _check(_lib.eplb_lost_experts(byref(problem), slots.ctypes.data, at, None, 0, byref(number)))
    lost = np.empty(number.value, LOST)
    _check(_lib.eplb_lost_experts(byref(problem), slots.ctypes.data, at, lost.ctypes.data, lost.size, byref(number)))
    return lost


def weigh_switch(weight: Array, previous: Array, phy2log: Array, *, num_gpus: int, num_nodes: int = 1,
                 shares: str = "equal", threshold: float = 0.0, hysteresis: float = 0.0,
                 in_force_score: Optional[Array] = None, max_moves: int = 0,
                 cluster: Optional[Cluster] = None) -> np.ndarray:
    """Which layers of a new plan to put in force, and in which order: a NumPy array [L] of SWITCH.

    weight: [L, E] or [T, L, E]; previous, phy2log: [L, R]; threshold: the least relative gain that pays;
    in_force_score: [L] balancedness of each layer's plan when it was put in force, below which it must have fallen by
    more than hysteresis; max_moves: of all layers together, 0 is no limit.
    """
    loads = _samples(weight)
    samples, layers, experts = loads.shape
    old = _rows("previous", previous, np.int32, layers, None)
    new = _rows("phy2log", phy2log, np.int32, *old.shape)
    problem = _problem(layers, experts, old.shape[1], 1, num_nodes, num_gpus, samples, cluster)
    how = _SwitchOptions(_one_of("shares", shares, PLAN_FOR), threshold, hysteresis, None, operator.index(max_moves))
    if in_force_score is not None:
        in_force_score = _rows("in_force_score", in_force_score, np.float32, layers)
        how.in_force_score = in_force_score.ctypes.data
    found = np.empty(layers, SWITCH)
    scratch = _scratch(_lib.eplb_weigh_switch_scratch_size, byref(problem))
    _check(_lib.eplb_weigh_switch(byref(problem), loads.ctypes.data, old.ctypes.data, new.ctypes.data, byref(how),
                                  found.ctypes.data, scratch.ctypes.data, scratch.size))
    return found


# ------------------------------------------------------------------------------------------ shares


def share(phy2log: Array, count: Array, num_gpus: int, how: str = "least_max",
          cluster: Optional[Cluster] = None) -> Tuple[Array, Array]:
    """How many of a step's tokens each replica serves, so that no choice has a lighter heaviest GPU.

    phy2log: [L, R], -1 for an empty slot; count: [L, E] whole tokens; how: "least_max", or "fair", which makes the
    other GPUs as even as can be too. Returns slot_count [L, R] and the tokens of the heaviest GPU [L], int32.
    """
    slots = _rows("phy2log", phy2log, np.int32, None, None)
    tokens = _rows("count", count, np.int32, slots.shape[0], None)
    if how not in SHARES:
        raise ValueError(f"how: {how!r} is none of {', '.join(SHARES)}")
    nodes = 1 if cluster is None or cluster.gpu_node is None else num_gpus  # whose number does not matter here
    problem = _problem(slots.shape[0], tokens.shape[1], slots.shape[1], 1, nodes, num_gpus, 1, cluster)
    slot_count, most = np.empty_like(slots), np.empty(slots.shape[0], np.int32)
    scratch = _scratch(_lib.eplb_share_scratch_size, byref(problem))
    _check(_lib.eplb_share(byref(problem), slots.ctypes.data, tokens.ctypes.data, SHARES[how], slot_count.ctypes.data,
                           most.ctypes.data, scratch.ctypes.data, scratch.size))
    return _like(phy2log, slot_count), _like(phy2log, most)


def share_sources(phy2log: Array, source_count: Array, slot_count: Array, num_nodes: int = 1,
                  cluster: Optional[Cluster] = None) -> Array:
    """[L, G, R] int32 tokens from each GPU to each slot, as many as the shares allow on their GPU, then on their node.

    phy2log: [L, R]; source_count: [L, G, E] tokens that wait on each GPU; slot_count: [L, R] as `share` gives it.
    """
    slots = _rows("phy2log", phy2log, np.int32, None, None)
    waiting = _rows("source_count", source_count, np.int32, slots.shape[0], None, None)
    shares = _rows("slot_count", slot_count, np.int32, *slots.shape)
    _, gpus, experts = waiting.shape
    problem = _problem(slots.shape[0], experts, slots.shape[1], 1, num_nodes, gpus, 1, cluster)
    quota = np.empty((slots.shape[0], gpus, slots.shape[1]), np.int32)
    scratch = _scratch(_lib.eplb_share_scratch_size, byref(problem))
    _check(_lib.eplb_share_sources(byref(problem), slots.ctypes.data, waiting.ctypes.data, shares.ctypes.data,
                                   quota.ctypes.data, scratch.ctypes.data, scratch.size))
    return _like(phy2log, quota)
