"""vllm-ascend 0.23: plans by eplb.h in place of its default policy, policy_type 1. One line after the imports of
vllm_ascend/eplb/core/policy/policy_factory.py:

    from ascend_policy import EplbPolicy as DefaultEplb

README.md beside this file has more. In place of FlashLB, policy_type 3, it is given samples, and plans for them.
"""

from typing import Any, Dict, List, Tuple

import numpy as np
from vllm_ascend.eplb.core.policy.policy_abstract import EplbPolicy as AbstractPolicy

import eplb


def _loads(table: np.ndarray, served: np.ndarray) -> np.ndarray:
    """Tokens of each slot [samples, layers, NPUs, slots] to those of each expert [samples, layers, experts]."""
    loads = np.zeros((*served.shape[:2], int(table.max()) + 1), np.float64)
    layers = np.arange(table.shape[0])[:, None]
    for sample, tokens in zip(loads, served):
        np.add.at(sample, (layers, table.reshape(len(table), -1)), tokens.reshape(len(table), -1))
    return loads.astype(np.float32)


class EplbPolicy(AbstractPolicy):
    options: Dict[str, Any] = {"max_gpu_moves": 2, "move_cost": 0.002, "threads": 4}  # of eplb.rebalance_experts
    num_nodes = 1  # hosts; with more, sources on the NPU's own come first, and max_node_moves counts

    def rebalance_experts(self, current_expert_table: Any, expert_workload: Any) -> Tuple[int, np.ndarray, List]:
        """current_expert_table: [layers, NPUs, slots] experts; expert_workload: tokens of each slot, [layers, NPUs,
        slots] or [samples, layers, NPUs, slots].

        Returns whether anything changes; the layers, those that gain most first; the new table. It keeps what
        vllm-ascend asks of one: all experts, none twice on an NPU, and what stays on an NPU stays in its slot.
        """
        table = np.ascontiguousarray(current_expert_table, np.int32)
        layers, npus, local = table.shape
        loads = _loads(table, np.asarray(expert_workload).reshape(-1, *table.shape))
        old = table.reshape(layers, npus * local)
        new = eplb.follow(loads, npus * local, 1, self.num_nodes, npus, old, **self.options)
        for layer in range(layers):
            if eplb.check_plan(new[layer:layer + 1], num_experts=loads.shape[2], num_gpus=npus, allow_duplicates=False,
                               previous=old[layer:layer + 1]):
                new[layer] = old[layer]
        before, after = (eplb.evaluate(loads, plan, num_gpus=npus).max_load for plan in (old, new))
        priority = np.argsort(after / np.maximum(before, 1e-30), kind="stable")
        return int((new != old).any()), priority, new.reshape(table.shape).tolist()
