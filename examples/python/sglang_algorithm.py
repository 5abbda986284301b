"""SGLang 0.5.23: plans by eplb.h in place of its algorithms. One line at the end of
sglang/srt/eplb/eplb_algorithms/__init__.py:

    from sglang_algorithm import rebalance_experts

README.md beside this file has more. The names of --eplb-algorithm keep their meaning: those that end in _hierarchical
keep groups on their nodes, elasticity_aware ones plan for the ranks that are there, and auto chooses as before.
"""

from typing import Any, Dict, Optional, Tuple

import numpy as np
import torch

import eplb

OPTIONS: Dict[str, Any] = {"max_gpu_moves": 2, "move_cost": 0.002, "threads": 4}  # keywords of eplb.rebalance_experts


def _map_in_force(layers: int, ranks: int, local: int) -> Optional[np.ndarray]:
    """[layers, slots], -1 on ranks that were gone, whose slots all say expert 0; None before there is one."""
    from sglang.srt.eplb.expert_location import get_global_expert_location_metadata
    metadata = get_global_expert_location_metadata()
    if metadata is None or tuple(metadata.physical_to_logical_map_cpu.shape) != (layers, ranks * local):
        return None
    slots = metadata.physical_to_logical_map_cpu.numpy().astype(np.int32).reshape(layers, ranks, local)
    slots[:, (slots == 0).all((0, 2)) & (local > 1)] = -1
    return slots.reshape(layers, -1)


def _lost_ranks(ranks: int) -> np.ndarray:
    """[ranks] true where one is gone."""
    from sglang.srt.elastic_ep.elastic_ep import ElasticEPStateManager
    state = ElasticEPStateManager.instance()
    if state is None or state.active_ranks is None:
        return np.zeros(ranks, bool)
    return state.active_ranks.cpu().numpy()[:ranks] == 0


def rebalance_experts(tokens_per_expert: torch.Tensor, num_physical_experts: int, num_local_physical_experts: int,
                      num_groups: Optional[int], num_nodes: int,
                      algorithm: Any) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """tokens_per_expert: [steps, layers, experts], planned for as samples; rows of zeros, which the recorder's ring has
    after a dump, count for nothing, nor does the order of the others.

    Returns, int64 on the CPU: the expert of each slot [layers, slots]; the slots of each expert [layers, experts, most
    replicas], then -1; replicas of each expert [layers, experts]. The slots of ranks that are gone say expert 0, as
    SGLang's do, and no expert's slots name them.
    """
    local, ranks = num_local_physical_experts, num_physical_experts // num_local_physical_experts
    load = tokens_per_expert.float().cpu().numpy()
    old = _map_in_force(load.shape[1], ranks, local)
    lost = _lost_ranks(ranks) if algorithm.name.startswith("elasticity_aware") else np.zeros(ranks, bool)
    there = np.repeat(~lost, local)
    if lost.any() or not algorithm.name.endswith("_hierarchical"):
        num_groups, num_nodes = 1, 1  # as SGLang does
    phy2log = np.zeros((load.shape[1], num_physical_experts), np.int32)
    phy2log[:, there] = eplb.follow(load, int(there.sum()), num_groups or 1, num_nodes, int((~lost).sum()),
                                    None if old is None else old[:, there], **OPTIONS)
    log2phy, logcnt = eplb.inverse_maps(phy2log, load.shape[2], num_gpus=ranks, gpu_lost=lost)
    return tuple(torch.from_numpy(part.astype(np.int64)) for part in (phy2log, log2phy, logcnt))
