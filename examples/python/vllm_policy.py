"""vLLM 0.33.0: plans by eplb.h. The options admit no policy but the default one, so this takes its place:

    from vllm_policy import EplbPolicy; EPLB_POLICIES["default"] = EplbPolicy

at the end of vllm/distributed/eplb/policy/__init__.py; README.md beside this file has more, a plugin among it.
"""

import logging
from typing import Any, List, Optional, Type

import numpy as np
import torch
from vllm.distributed.eplb.migration_scheduler import MigrationFlow
from vllm.distributed.eplb.policy.abstract import AbstractEplbPolicy

import eplb

logger = logging.getLogger(__name__)


class EplbPolicy(AbstractEplbPolicy):
    """Follows the map in force: few moves, each of which has to pay. `policy` makes one with other options."""

    options = {"max_gpu_moves": 2, "move_cost": 0.002, "threads": 4}  # keywords of eplb.rebalance_experts
    _window_seen = False

    @classmethod
    def rebalance_experts(cls, weight: torch.Tensor, num_replicas: int, num_groups: int, num_nodes: int, num_ranks: int,
                          old_global_expert_indices: Optional[torch.Tensor] = None) -> torch.Tensor:
        """weight: [layers, experts]; old_global_expert_indices: the map in force, [layers, slots], -1 in slots of
        new ranks. Returns the new map [layers, num_replicas], int64 on the CPU; each rank makes the same one."""
        cls._warn_of_window(weight.shape[0])
        if num_groups % num_nodes:
            num_groups = 1  # as vLLM does; nodes still tell which link a move takes
        old, wanted = old_global_expert_indices, (weight.shape[0], num_replicas)
        if old is not None and tuple(old.shape) != wanted:
            logger.warning("the map in force has shape %s, the new one %s: planned afresh", tuple(old.shape), wanted)
            old = None
        new = eplb.follow(weight, num_replicas, num_groups, num_nodes, num_ranks, old, **cls.options)
        return torch.from_numpy(new.numpy().astype(np.int64))

    @classmethod
    def _warn_of_window(cls, layers: int) -> None:
        """Once, at the first call, the profiling run's, when vLLM's settings are at hand."""
        from vllm.config import get_current_vllm_config_or_none
        config = get_current_vllm_config_or_none()
        if cls._window_seen or config is None:
            return
        cls._window_seen = True
        settings = config.parallel_config.eplb_config
        steps = settings.step_interval - (layers if settings.use_async else 0)  # async: a layer a step
        if settings.window_size > steps:
            logger.warning("eplb window_size %d is longer than the %d steps under one map: tokens counted under older "
                           "ones are credited to the experts that their slots hold now", settings.window_size, steps)


def policy(**options: Any) -> Type[EplbPolicy]:
    """EplbPolicy with these keywords of eplb.rebalance_experts and no others, such as preset="best", max_moves=16."""
    return type("EplbPolicy", (EplbPolicy,), {"options": options})


def schedule_migration_batches_for_layers(num_local_experts: int, old_indices: np.ndarray,
                                          new_indices: np.ndarray) -> List[List[List[MigrationFlow]]]:
    """vLLM's flows in vLLM's batches, sooner; in place of the function of this name in async_worker.

    old_indices, new_indices: [layers, slots], -1 for an empty slot. Returns the batches of each layer, in which each
    rank talks with one other.
    """
    experts, ranks = int(max(old_indices.max(), new_indices.max())) + 1, old_indices.shape[1] // num_local_experts
    sent = eplb.transfers(old_indices, new_indices, num_experts=experts, num_gpus=ranks, sources="dealt",
                          rounds="one_peer")
    sent = sent[sent["round"] >= 0]  # over a link
    flows: List[List[dict]] = [[] for _ in range(old_indices.shape[0])]
    for layer, at, source, target, expert in zip(sent["layer"].tolist(), sent["round"].tolist(),
                                                 (sent["from_slot"] // num_local_experts).tolist(),
                                                 (sent["to_slot"] // num_local_experts).tolist(),
                                                 sent["expert"].tolist()):
        batches = flows[layer]
        while len(batches) <= at:
            batches.append({})
        batches[at].setdefault((source, target), []).append(expert)
    return [[[MigrationFlow(*pair, tuple(sorted(held))) for pair, held in batch.items()] for batch in batches]
            for batches in flows]
