"""What capacity questions are answered from: rates of the past, what a message costs, and the shards there are. No IO.

Axes: K order params, T past steps, R resources, S shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.load import RESOURCES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.load import Shard
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.rates import RateHistory
    from plb_ray.estimate.cost import CostModel

BLOCK_S = 600  # finer steps are put together: the mean and the highest of each block are what counts
MESSAGES = "messages_per_s"


@dataclass(frozen=True, eq=False)
class CapacityBasis:
    """See the module.

    Attributes:
        history: (K, T) mean rates in blocks of `BLOCK_S` or in its own longer steps.
        highest: (K, T) the highest rate of a step within each block.
        resources: (R,) names.
        per_message: (K, R) load of one message per second.
        fixed: (K, R) load that does not follow the rate, such as memory.
        shards: (S,) ids of the shards there are; empty where nobody knows.
        capacity: (S, R) of each, infinite where it states no limit.
        owner: (K,) index of the shard of each order param; -1 where it has none.
    """

    history: RateHistory
    highest: NDArray[np.floating]
    resources: tuple[str, ...]
    per_message: NDArray[np.float64]
    fixed: NDArray[np.float64]
    shards: tuple[str, ...]
    capacity: NDArray[np.float64]
    owner: NDArray[np.int64]


def basis_of_rates(history: RateHistory) -> CapacityBasis:
    """Return the basis of a history alone: the one resource is messages per second, and there are no shards."""
    mean, highest = blocks(history)
    count = len(history.order_params)
    none = np.full(count, -1, dtype=np.int64)
    return CapacityBasis(mean, highest, (MESSAGES,), np.ones((count, 1)), np.zeros((count, 1)), (), np.zeros((0, 1)), none)


def basis_of_queue(history: RateHistory, cost: CostModel, shards: tuple[Shard, ...], mapping: Mapping) -> CapacityBasis:
    """Return the basis of a running queue: order params that have a placement, all resources, costs as learned so far."""
    placements = mapping.placements
    placed = history.rows(tuple(name for name in history.order_params if name in placements))
    mean, highest = blocks(placed)
    names = placed.order_params
    fixed = cost.load(names, np.zeros(len(names)))
    stated = np.array([shard.capacity.array() for shard in shards]).reshape(-1, len(RESOURCES))
    position = {shard.shard_id: index for index, shard in enumerate(shards)}
    owner = np.array([position.get(placements[name].owner, -1) for name in names], dtype=np.int64)
    return CapacityBasis(
        history=mean,
        highest=highest,
        resources=RESOURCES,
        per_message=cost.load(names, np.ones(len(names))) - fixed,
        fixed=fixed,
        shards=tuple(shard.shard_id for shard in shards),
        capacity=np.where(np.isfinite(stated) & (stated > 0), stated, np.inf),
        owner=owner,
    )


def blocks(history: RateHistory) -> tuple[RateHistory, NDArray[np.floating]]:
    """Return mean rates in blocks of `BLOCK_S`, and the highest within each; steps that long stay as they are."""
    step_s = history.step_s
    if step_s >= BLOCK_S or BLOCK_S % step_s:
        return history, history.messages_per_s
    mean = history.coarser(BLOCK_S)
    factor, (count, steps) = BLOCK_S // step_s, mean.messages_per_s.shape
    skip = (mean.start_s - history.start_s) // step_s
    block = history.messages_per_s[:, skip : skip + steps * factor]
    return mean, block.reshape(count, steps, factor).max(axis=2, initial=0.0)
