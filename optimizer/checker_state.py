"""What a mapping is worth, recomputed for the checker from the problem's own numbers: loads, overload, broken rules.

Tolerance. Of a resource whose loads are whole numbers sums are exact; there a cell (shard, step, resource) is over when its
load exceeds capacity x headroom at all (10^-9 of it, for the product). Else a planner may round: the cell is surely over
only from 10^-6 of the limit (or of the fleet's mean limit, if that is more), and between the two the claim decides. So the
overload is an interval: of the cells that are surely over, and of all that are above their limit.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.plan import NOWHERE, PlanMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.checker_moves import Moves
    from plb_ray.domain.plan import PlanProblem

NOISE = 1e-6  # share of a limit, and relative error of a sum, that rounding may cost
EXACT = 1e-9  # the same where the loads are whole numbers
WHOLE_MAX = 2.0**49  # sums of whole numbers up to here are exact


@dataclass(frozen=True, eq=False)
class State:
    """What a mapping is worth. D = steps x resources; column c is step c // R, resource c % R.

    Attributes:
        use: (S, D) load, running migrations included.
        over, near: (S, D) surely over the limit; surely or perhaps over it.
        overload_least, overload_most: weighted load above the limits, of the cells in `over` and in `near`.
        max_utilisation: highest share of a capacity in use; infinite if a capacity of 0 is used.
        broken: order params with no shard or where they may not be, plus members too many of a group on one shard.
        broken_most: the same if order params that fit no shard whole count up to `segments` times until they are split.
        misplaced: (order param, shard) of those with no shard (-1) or where they may not be.
        crowds: (order params, shard) that hold more than one member of a group.
    """

    use: NDArray[np.float64]
    over: NDArray[np.bool_]
    near: NDArray[np.bool_]
    overload_least: float
    overload_most: float
    max_utilisation: float
    broken: int
    broken_most: int
    misplaced: tuple[tuple[int, int], ...]
    crowds: tuple[tuple[tuple[int, ...], int], ...]


@dataclass(frozen=True, eq=False)
class Shares:
    """Who is where: N shares of order params; one that is not split is one share, one split has a share per part.

    Attributes:
        row, shard: (N,) positions; shard -1 for none.
        part: (N,) the share of the order param's load.
        group: (N,) spread group; parts of one order param outside any group are a group of their own; else -1.
    """

    row: NDArray[np.int64]
    shard: NDArray[np.int64]
    part: NDArray[np.float64]
    group: NDArray[np.int64]

    def crowded(self) -> NDArray[np.bool_]:
        """Return (N,): another member of the group is on the same real shard."""
        members = np.flatnonzero((self.group >= 0) & (self.shard != NOWHERE))
        key = self.group[members] * (self.shard.max(initial=0) + 1) + self.shard[members]
        _, place, count = np.unique(key, return_inverse=True, return_counts=True)
        crowded = np.zeros(self.row.size, dtype=np.bool_)
        crowded[members] = count[place] > 1
        return crowded


def shares_after(problem: PlanProblem, moves: Moves) -> Shares:
    """Return who is where after the moves: those that are not moved, each part moved, and each part that stays."""
    stays = np.ones(len(problem.order_params), dtype=np.bool_)
    stays[moves.row] = False
    whole = np.flatnonzero(stays)
    split, first, moved = np.unique(moves.row, return_index=True, return_counts=True)
    left = np.repeat(split, moves.parts[first] - moved)  # one entry for each part that stays
    parts = np.repeat(moves.parts[first], moves.parts[first] - moved)
    row = np.concatenate([whole, moves.row, left])
    shard = np.concatenate([problem.current[whole], moves.destination, problem.current[left]])
    part = 1.0 / np.concatenate([np.ones(whole.size), moves.parts, parts])
    group = problem.rules.spread_group[row]
    own = (group < 0) & (part < 1.0)
    group[own] = problem.rules.spread_group.max(initial=-1) + 1 + row[own]
    return Shares(row, shard, part, group)


def state_before(problem: PlanProblem) -> State:
    """Return what the current mapping is worth."""
    count = len(problem.order_params)
    return _state(problem, Shares(np.arange(count), problem.current, np.ones(count), problem.rules.spread_group))


def state_after(problem: PlanProblem, moves: Moves) -> State:
    """Return what the mapping after the moves is worth."""
    return _state(problem, shares_after(problem, moves))


def _state(problem: PlanProblem, shares: Shares) -> State:
    use, limit = use_of(problem, shares), limits(problem)
    beyond = use - limit
    over, near = beyond > tolerance(problem), beyond > np.where(_whole(problem), EXACT * limit, 0.0)
    weight = np.tile(problem.overload_weight, (1, problem.load.shape[1]))
    misplaced = np.flatnonzero(~may_be(problem, shares.row, shares.shard))
    crowds = _crowds(shares)
    broken = misplaced.size + sum(len(rows) - 1 for rows, _ in crowds)
    return State(
        use=use,
        over=over,
        near=over | near,
        overload_least=float((beyond * weight)[over].sum()),
        overload_most=float((beyond * weight)[over | near].sum()),
        max_utilisation=_max_utilisation(problem, use),
        broken=broken,
        broken_most=broken + _parts_more(problem, shares),
        misplaced=tuple(zip(shares.row[misplaced].tolist(), shares.shard[misplaced].tolist(), strict=True)),
        crowds=crowds,
    )


def use_of(problem: PlanProblem, shares: Shares) -> NDArray[np.float64]:
    """Return (S, D): the load on each shard, running migrations included."""
    shards, (_, steps, resources) = len(problem.shards), problem.load.shape
    use = np.zeros((shards, steps * resources))
    bucket = np.where(shares.shard == NOWHERE, shards, shares.shard)
    for column in range(steps * resources):
        weights = problem.load[:, column // resources, column % resources][shares.row] * shares.part
        use[:, column] = np.bincount(bucket, weights=weights, minlength=shards + 1)[:shards]
    return use if problem.in_flight is None else use + problem.in_flight.reshape(use.shape)


def limits(problem: PlanProblem) -> NDArray[np.float64]:
    """Return (S, D): capacity x headroom."""
    return np.tile(problem.capacity * problem.headroom[:, None], (1, problem.load.shape[1]))


def tolerance(problem: PlanProblem) -> NDArray[np.float64]:
    """Return (S, D): what a cell may be above its limit."""
    limit = problem.capacity * problem.headroom[:, None]
    finite = np.isfinite(limit)
    mean = np.where(finite, limit, 0.0).sum(axis=0) / np.maximum(1, finite.sum(axis=0))  # (R,)
    rounded = np.where(limit > 0, NOISE * np.maximum(limit, mean), 0.0)
    return np.where(_whole(problem), EXACT * limits(problem), np.tile(rounded, (1, problem.load.shape[1])))


def _whole(problem: PlanProblem) -> NDArray[np.bool_]:
    """Return (D,): the loads of the column's resource are whole numbers, and so are their parts and sums."""
    arrays = [problem.load] if problem.in_flight is None else [problem.load, problem.in_flight]
    whole = np.full(len(problem.resources), problem.segments == 1)
    for array in arrays:
        total = array.sum(axis=0).max(axis=0, initial=0.0)
        whole &= (array == np.rint(array)).all(axis=(0, 1)) & (total < WHOLE_MAX)
    return np.tile(whole, problem.load.shape[1])


def _max_utilisation(problem: PlanProblem, use: NDArray[np.float64]) -> float:
    capacity = np.tile(problem.capacity, (1, problem.load.shape[1]))
    share = np.divide(use, capacity, out=np.where(use > 0, np.inf, 0.0), where=capacity > 0)
    return float(share.max(initial=0.0))


def closing(problem: PlanProblem) -> NDArray[np.bool_]:
    """Return (S,): shards that are to be emptied, in this mode."""
    focus = np.isin(np.arange(len(problem.shards)), problem.focus)
    return problem.rules.draining | focus if problem.mode is PlanMode.DRAIN else problem.rules.draining


def may_be(problem: PlanProblem, row: NDArray[np.int64], shard: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,): the order param may be on the shard: it is real, not to be emptied, in a zone allowed, not forbidden."""
    good: NDArray[np.bool_] = shard != NOWHERE
    at, real_row, real_shard = np.flatnonzero(good), row[good], shard[good]
    good[at] = ~closing(problem)[real_shard] & zone_ok(problem, real_row, real_shard)
    good[at] &= ~forbidden(problem, real_row, real_shard)
    return good


def zone_ok(problem: PlanProblem, row: NDArray[np.int64], shard: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,): the shard's zone is in the order param's zone set."""
    rules = problem.rules
    allowed = [np.isin(rules.zone, list(zones)) for zones in rules.zone_sets]
    table = np.array([*allowed, np.ones(rules.zone.size, dtype=np.bool_)])  # the last row is for any zone (-1)
    ok: NDArray[np.bool_] = table[rules.zone_set[row], shard]
    return ok


def forbidden(problem: PlanProblem, row: NDArray[np.int64], shard: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (N,): the pair is forbidden."""
    pairs, shards = problem.rules.forbidden, len(problem.shards)
    found: NDArray[np.bool_] = np.isin(row * shards + shard, pairs[:, 0] * shards + pairs[:, 1])
    return found


def _crowds(shares: Shares) -> tuple[tuple[tuple[int, ...], int], ...]:
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for at in np.flatnonzero(shares.crowded()).tolist():
        places[int(shares.group[at]), int(shares.shard[at])].append(int(shares.row[at]))
    return tuple((tuple(rows), shard) for (_, shard), rows in places.items())


def _parts_more(problem: PlanProblem, shares: Shares) -> int:
    """Return how many parts more than one the order params that are whole, and fit no shard so, may be counted as."""
    if problem.segments == 1:
        return 0
    largest = (problem.capacity * problem.headroom[:, None]).max(axis=0, initial=0.0)  # (R,)
    usable = ~closing(problem) & ~problem.rules.closed
    if usable.any():
        largest = (problem.capacity * problem.headroom[:, None])[usable].max(axis=0)
    too_big = (problem.load.max(axis=1) > largest).any(axis=1)  # (K,)
    return int((too_big[shares.row] & (shares.part == 1.0)).sum()) * (problem.segments - 1)
