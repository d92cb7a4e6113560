"""What CP-SAT is used for: the whole of a small packing, goal after goal, with proof; and a part of a large one.

The model is in `cpsat`; this module decides which order params and shards it gets, and what its answers prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.cpsat import Effort, PartModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.packing import Packing

RULE_SHARE, OVERLOAD_SHARE = 0.2, 0.6  # of the effort that is left, for the first two goals
SINKS_LOOKED_AT = 20  # roomiest shards, of which some take part


@dataclass(frozen=True, eq=False)
class Exact:
    """What the exact stage found.

    Attributes:
        shard_of: (K,) no worse than the incumbent.
        bound: proven lower bound on the cost of allocations with as few broken rules and as little overload.
        least_overload: proven that no allocation with as few broken rules has less overload.
    """

    shard_of: NDArray[np.int64]
    bound: float
    least_overload: bool


def solve_exactly(
    packing: Packing,
    incumbent: NDArray[np.int64],
    *,
    lower: NDArray[np.float64] | None,
    floor: int,
    deterministic: float,
    left_s: Callable[[], float],
    seed: int,
    workers: int,
) -> Exact:
    """Solve the whole packing for each goal in turn.

    Args:
        packing: small.
        incumbent: (K,) the best allocation known; the first hint.
        lower: (S,) proven least cost of what leaves each shard if the incumbent has no overload and breaks no rule that can
            be kept; else None.
        floor: broken rules that no allocation mends.
        deterministic: CP-SAT's deterministic time for all goals together.
        left_s: wall seconds left.
        seed: of the search.
        workers: 1 to be deterministic.
    """
    rows, shards = np.flatnonzero(packing.movable), np.arange(packing.shards - 1)
    model = PartModel(packing, incumbent, rows, shards, overload=lower is None, lower=lower)
    best, proven = incumbent, True
    if lower is None:
        if packing.broken(best) > floor:
            outcome = model.least_broken(Effort(RULE_SHARE * deterministic, left_s(), seed, workers))
            if outcome.shard_of is None:
                return Exact(best, 0.0, least_overload=False)
            best, proven = outcome.shard_of, outcome.optimal
            model.hint(best)
        model.cap_broken(model.broken_of(best))
        outcome = model.least_overload(Effort(OVERLOAD_SHARE * deterministic, left_s(), seed, workers))
        if outcome.shard_of is None:
            return Exact(best, 0.0, least_overload=False)
        best, proven = outcome.shard_of, proven and outcome.optimal
        model.cap_overload(outcome.value)
        model.hint(best)
        deterministic *= 1 - OVERLOAD_SHARE
    else:
        model.cap_broken(model.broken_of(best))
    outcome = model.least_cost(Effort(deterministic, left_s(), seed, workers))
    if outcome.shard_of is not None:
        best = outcome.shard_of
    return Exact(best, outcome.bound if proven or lower is not None else 0.0, least_overload=proven)


def improve_part(
    packing: Packing,
    best: NDArray[np.int64],
    lower: NDArray[np.float64],
    random: np.random.Generator,
    shards_max: int,
    ways_max: int,
    deterministic: float,
    wall_s: float,
    seed: int,
) -> NDArray[np.int64]:
    """Return `best`, or a cheaper allocation without overload, found by solving the part around one costly shard."""
    sources, shards = _part(packing, best, lower, random, shards_max)
    if sources.size == 0:
        return best
    near = np.isin(best, sources) | (np.isin(packing.current, sources) & np.isin(best, shards))
    rows = np.flatnonzero(near & packing.movable)
    most = max(1, ways_max // shards.size)
    if rows.size > most:
        moved = rows[best[rows] != packing.current[rows]]
        rest = random.permutation(np.setdiff1d(rows, moved))[: max(0, most - moved.size)]
        rows = np.union1d(moved, rest)
    model = PartModel(packing, best, rows, shards, overload=False)
    model.cap_broken(model.broken_of(best))
    outcome = model.least_cost(Effort(deterministic, wall_s, seed))
    if outcome.shard_of is None or _cost(packing, outcome.shard_of) >= _cost(packing, best):
        return best
    return outcome.shard_of


def _cost(packing: Packing, shard_of: NDArray[np.int64]) -> float:
    return float(packing.cost[shard_of != packing.current].sum())


def _part(
    packing: Packing, best: NDArray[np.int64], lower: NDArray[np.float64], random: np.random.Generator, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose a shard that costs more than its bound, what its leavers and guests connect it with, and some roomy shards."""
    moved = best != packing.current
    spent = np.bincount(packing.current, weights=packing.cost * moved, minlength=packing.shards)
    excess = np.maximum(0.0, spent - lower)
    if excess.sum() <= 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    focus = int(random.choice(packing.shards, p=excess / excess.sum()))
    guests, leavers = np.flatnonzero(moved & (best == focus)), np.flatnonzero(moved & (packing.current == focus))
    near = np.concatenate([packing.current[guests], best[leavers], np.flatnonzero(excess > 0)])
    near = near[(near != focus) & (near != packing.nowhere)]
    weight = np.bincount(near, weights=np.ones(near.size), minlength=packing.shards)
    others = np.unique(near)
    if others.size > most - 1:
        chosen = random.choice(others.size, most - 1, replace=False, p=weight[others] / weight[others].sum())
        others = others[chosen]
    sources = np.concatenate([[focus], others]).astype(np.int64)
    use = packing.use(best)[:-1]
    limit = packing.limit[:-1]
    worst = np.divide(use, limit, out=np.zeros_like(use), where=limit > 0).max(axis=1, initial=0.0)
    takers = np.flatnonzero(packing.allowed[:, :-1].any(axis=0))  # the others are empty as well, and would hide these
    roomy = np.setdiff1d(takers[np.argsort(worst[takers], kind="stable")[:SINKS_LOOKED_AT]], sources)
    sinks = random.permutation(roomy)[:most]
    return sources, np.unique(np.concatenate([sources, sinks]))
