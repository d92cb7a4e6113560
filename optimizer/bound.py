"""A proven lower bound on the cost of ending all overload: what must leave each hot shard, whatever comes in.

Mathematics
    Let s be hot in column c, excess = (utilisation(s, c) - headroom - TOLERANCE) x capacity[s, c] > 0, and let M(s) be the
    movable order params on s. A plan that ends all overload moves some set L of M(s) away with

        sum of load[k, c] over k in L  >=  excess                     (what comes in only adds load)

    so its cost on s is at least the covering knapsack  min { cost(L) : L covers excess }, for every c; and as an order param
    leaves one shard only, the shards add up:

        cost  >=  LB0  =  sum over hot s of  max over c of  cover(s, c).

    cover(s, c) is bounded from below by the larger of two relaxations of the knapsack:
        LP        sort by cost/load, fill until covered, the last item in part (Dantzig 1957); rounded up when all costs are
                  whole numbers
        counting  n = least number of items that can cover (the n largest loads); cost >= the n smallest costs
    With equal costs the counting bound is exact.

LB0 speaks only of plans that end *all* overload. If M(s) as a whole cannot cover, no such plan exists and `cannot_end` says
so; then LB0 says nothing about the cost of a plan that leaves some overload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.packing import TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing

SAFETY = 1e-9  # relative; keeps the bound on the safe side of floating point


@dataclass(frozen=True, eq=False)
class EvictionBound:
    """Lower bounds on what must leave the hot shards in a plan that ends all overload.

    Attributes:
        cost: (S,) proven least cost of what leaves each shard; 0 for shards that are not hot.
        moves: (S,) proven least number of order params that leave each shard.
        cannot_end: (S,) hot shards whose movable order params together do not cover the excess.
    """

    cost: NDArray[np.float64]
    moves: NDArray[np.int64]
    cannot_end: NDArray[np.bool_]

    @property
    def total(self) -> float:
        """LB0: proven lower bound on the cost of every plan that ends all overload."""
        return float(self.cost.sum())

    @property
    def possible(self) -> bool:
        """Whether the excess could leave at all; it still needs a place to go to."""
        return not self.cannot_end.any()


def eviction_bound(packing: Packing) -> EvictionBound:
    """Return the bounds of every shard. Work: one sort per overloaded (shard, column)."""
    cost = np.zeros(packing.shards)
    moves = np.zeros(packing.shards, dtype=np.int64)
    cannot_end = np.zeros(packing.shards, dtype=np.bool_)
    excess = (packing.utilisation_now - packing.headroom - TOLERANCE) * (1 - SAFETY)
    for shard in np.flatnonzero(packing.hot):
        rows = np.flatnonzero(packing.movable & (packing.current == shard))
        for column in np.flatnonzero(packing.over_now[shard]):
            share = packing.load[rows, column] / packing.capacity[shard, column]
            least_cost, least_moves = cover_bound(share, packing.cost[rows], float(excess[shard, column]))
            cannot_end[shard] |= not np.isfinite(least_cost)
            if np.isfinite(least_cost):
                cost[shard] = max(cost[shard], least_cost)
                moves[shard] = max(moves[shard], least_moves)
    return EvictionBound(cost, moves, cannot_end)


def cover_bound(load: NDArray[np.float64], cost: NDArray[np.float64], excess: float) -> tuple[float, int]:
    """Return lower bounds on (cost, number) of items with a total load of at least `excess`.

    Args:
        load: (n,) >= 0.
        cost: (n,) > 0.
        excess: what is to be covered.

    Returns:
        (inf, n) if all items together do not cover.
    """
    if excess <= 0:
        return 0.0, 0
    largest_first = np.cumsum(np.sort(load)[::-1])
    if load.size == 0 or largest_first[-1] < excess:
        return float("inf"), int(load.size)
    moves = int(np.searchsorted(largest_first, excess)) + 1
    counting = float(np.sort(cost)[:moves].sum())
    linear = _dantzig(load, cost, excess) * (1 - SAFETY)
    whole = bool((cost == np.rint(cost)).all())
    return max(counting * (1 - SAFETY) if not whole else counting, float(np.ceil(linear)) if whole else linear), moves


def _dantzig(load: NDArray[np.float64], cost: NDArray[np.float64], excess: float) -> float:
    """Return the optimum of the linear relaxation; `load` covers `excess`."""
    useful = load > 0
    load, cost = load[useful], cost[useful]
    order = np.argsort(cost / load, kind="stable")
    covered = np.cumsum(load[order])
    last = min(int(np.searchsorted(covered, excess)), order.size - 1)
    before = float(covered[last - 1]) if last else 0.0
    part = min(1.0, (excess - before) / float(load[order[last]]))
    return float(cost[order[:last]].sum() + part * cost[order[last]])
