"""Search for the cheapest fleet: which numbers of shards to try, in which order, and when to stop.

    first fit                       a fleet at once, 10-20 % above the bound; not if an earlier fleet is given
    round r = 0, 1, ...             local search of BASE x 4^r steps per try
        sizes                       first from a guess up, at levels 0, 1, 4, 16, ... above it, until one holds everything,
                                    then bisect, or down from the guess; the guess is the bound, or what even mixtures of
                                    uncertain loads need; in later rounds down from the lowest level that succeeded;
                                    one type: level = shards above the bound; several: the cheapest counts with so much slack
        neighbours (several types)  one shard less, or one exchanged for a cheaper one, while that succeeds
    CP-SAT after round 0            if the problem is small: proves or improves

The order of tries depends on the problem and the seed; the clock only cuts it off. What lives here decides; a try is
`optimizer.fleet_try`, packing `optimizer.fleet_pack`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet_bound import cheapest_counts, need_of, unlimited
from optimizer.fleet_pool import used
from optimizer.fleet_try import Attempt, as_before, fitted_first
from plb_ray.domain.plan import Termination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from optimizer.fleet_bound import FleetBound
    from optimizer.fleet_parts import FleetParts
    from optimizer.fleet_problem import FleetBudget, FleetPlan

    Counts = tuple[int, ...]

ROUNDS = 5
LEVELS = 8  # no try with more slack than so many times the bound: first fit needs less
NEIGHBOURS = 12  # tries of neighbours per round
EXACT_CELLS = 1500  # parts x shards that CP-SAT gets
EXACT_SHARE, EXACT_WORK_S = 0.5, 8.0  # of the time left, and deterministic seconds


@dataclass(frozen=True, eq=False)
class Found:
    """The cheapest fleet found: (Y,) counts, (B,) kind, (P,) shard_of; without a fleet (`complete` False) they are empty."""

    complete: bool
    counts: Counts
    kind: NDArray[np.int64]
    shard_of: NDArray[np.int64]
    price_bound: float
    shards_bound: int
    termination: Termination
    work: int = 0

    @classmethod
    def nothing(cls, parts: FleetParts, price_bound: float, shards_bound: int, termination: Termination) -> Found:
        """Return that there is no fleet; for no parts, the empty fleet."""
        none = np.zeros(0, dtype=np.int64)
        return cls(parts.count == 0, (0,) * parts.price.size, none, none, price_bound, shards_bound, termination)

    def binding(self, parts: FleetParts) -> tuple[int, int]:
        """Return resource and step whose total load is closest to the fleet's total limit; (-1, -1) if there is none."""
        if not self.complete or not parts.column.size:
            return -1, -1
        total = np.array(self.counts, dtype=np.float64)
        limit = (np.where(total[:, None] > 0, parts.limit, 0.0) * total[:, None]).sum(axis=0)
        column = int(parts.column[int((parts.least.sum(axis=0) / limit).argmax())])
        return column % parts.resources, column // parts.resources


@dataclass(eq=False)
class _Search:
    """One search; `best` is the cheapest fleet so far, `price` its price, `level` the lowest that succeeded."""

    parts: FleetParts
    bound: FleetBound
    budget: FleetBudget
    now_s: Callable[[], float]
    end_s: float
    best: Found
    earlier: FleetPlan | None = None
    price: float = float("inf")
    work: int = 0
    level: int = 0
    tried: set[Counts] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Prepare what every try needs."""
        parts = self.parts
        size = (parts.alone * parts.inverse.max(axis=0, initial=0.0)).max(axis=1, initial=0.0)
        self.order = np.lexsort((-size, parts.fits.sum(axis=1))).astype(np.int64)
        large = max(int((size > 0.02).sum()), min(parts.count, 50))
        self.large = np.argsort(-size, kind="stable")[:large].astype(np.int64)

    @property
    def stopped(self) -> Termination | None:
        """Why the search must end now, or None."""
        if self.best.complete and self.price <= self.best.price_bound * (1 + 1e-12):
            return Termination.PROVEN
        if self.best.complete and self.price <= self.best.price_bound * (1 + self.budget.gap + 1e-12):
            return Termination.GAP
        if self.budget.work is not None and self.work >= self.budget.work:
            return Termination.WORK
        return Termination.DEADLINE if self.now_s() >= self.end_s else None

    def cost(self, counts: Counts) -> float:
        return float(self.parts.price @ np.array(counts))

    def keep(self, counts: Counts, kind: NDArray[np.int64], shard_of: NDArray[np.int64]) -> None:
        """Take a fleet that holds everything if it is cheaper; its shards become ordered by type."""
        if self.cost(counts) < self.price:
            rank = np.argsort(kind, kind="stable")
            position = np.empty_like(rank)
            position[rank] = np.arange(rank.size)
            self.price = self.cost(counts)
            self.best = replace(self.best, complete=True, counts=counts, kind=kind[rank], shard_of=position[shard_of])


def search_fleet(
    parts: FleetParts,
    bound: FleetBound,
    budget: FleetBudget,
    now_s: Callable[[], float],
    end_s: float,
    earlier: FleetPlan | None = None,
) -> Found:
    """Return the cheapest fleet found until the budget ends; first tries begin with the allocation of the earlier one."""
    nothing = Found.nothing(parts, bound.price, bound.shards, Termination.PROVEN)
    search = _Search(parts, bound, budget, now_s, end_s, nothing, earlier)
    if parts.count == 0:
        return search.best
    if earlier is None:
        _first_fit(search)
    for effort in range(ROUNDS):
        if search.stopped is None:
            search.tried.clear()
            (_down if effort and search.level else _up)(search, effort)
            _neighbours(search, effort)
        if effort == 0 and search.stopped is None and _exact(search):
            return replace(search.best, work=search.work, termination=Termination.PROVEN)
    if not search.best.complete:
        _first_fit(search)
    return replace(search.best, work=search.work, termination=search.stopped or Termination.EXHAUSTED)


def _first_fit(search: _Search) -> None:
    found = fitted_first(search.parts, search.order)
    if found is not None:
        search.keep(*found)


def _try(search: _Search, counts: Counts, effort: int) -> bool:
    """Pack into the fleet; a success becomes the best."""
    if counts in search.tried or search.cost(counts) >= search.price:
        return False
    search.tried.add(counts)
    begin = None if search.earlier is None or effort else as_before(search.parts, counts, search.earlier)
    attempt = Attempt(search.parts, counts, search.budget.seed, effort, begin)
    if not attempt.spread(search.order):
        return False
    for steps, hot, cold in attempt.chunks():
        left = steps if search.budget.work is None else min(steps, search.budget.work - search.work)
        search.work += attempt.anneal(left, hot, cold, search.large)
        if attempt.holds:
            search.keep(counts, attempt.kind, attempt.shard_of)
            return True
        if search.stopped is not None:
            break
    return False


def _at_level(search: _Search, level: int) -> Counts | None:
    """Return the counts of a level, or None if the types' limits do not allow it or it is beyond reason."""
    bound, parts = search.bound, search.parts
    if level > LEVELS * (1 + bound.shards):
        return None
    if parts.price.size == 1:
        count = bound.shards + level
        return (count,) if count <= parts.most[0] else None
    if level == 0:
        return bound.counts
    return cheapest_counts(bound.rows, parts.price, parts.most, level * 0.5 / max(1, bound.shards))[0]


def _up(search: _Search, effort: int) -> None:
    """Go up from the guess until a fleet holds everything, then bisect; or down from it, if it does."""
    guess = _guess(search)
    failed, level = guess - 1, guess
    while search.stopped is None:
        counts = _at_level(search, level)
        if counts is None:
            _largest(search, effort)
            return
        if search.cost(counts) >= search.price or _try(search, counts, effort):
            break
        failed, level = level, guess + max(1, 4 * (level - guess))
    search.level = level
    if level == guess:
        _down(search, effort)
    else:
        _between(search, failed, level, effort)


def _guess(search: _Search) -> int:
    """Return the level to begin with: of the earlier fleet, or of shards that each hold the same mixture."""
    parts, bound = search.parts, search.bound
    if parts.price.size > 1:
        return 0
    if search.earlier is not None:
        return max(0, search.earlier.counts[0] - bound.shards)
    total, level = parts.load.sum(axis=0), 0  # (D, M)
    while level < bound.shards and (used(total / (bound.shards + level)) > parts.limit[0]).any():
        level += 1
    return level


def _down(search: _Search, effort: int) -> None:
    """Go down from the lowest level that succeeded, in doubling strides, until one fails; then bisect."""
    failed, stride = -1, 1
    while search.level - stride > failed and search.stopped is None:
        level = search.level - stride
        counts = _at_level(search, level)
        if counts is not None and (search.cost(counts) >= search.price or _try(search, counts, effort)):
            search.level, stride = level, 2 * stride
        else:
            failed = level
    _between(search, failed, search.level, effort)


def _between(search: _Search, failed: int, level: int, effort: int) -> None:
    """Bisect between a level that failed and one that succeeded, or is as dear as the best fleet."""
    search.level = level
    while level - failed > 1 and search.stopped is None:
        middle = (level + failed) // 2
        counts = _at_level(search, middle)
        if counts is not None and (search.cost(counts) >= search.price or _try(search, counts, effort)):
            search.level = level = middle
        else:
            failed = middle


def _largest(search: _Search, effort: int) -> None:
    """Try all the shards that may be had, if that is a number."""
    if not unlimited(search.parts.most).any():
        _try(search, tuple(np.minimum(search.parts.most, search.parts.count).tolist()), effort)


def _neighbours(search: _Search, effort: int) -> None:
    """Try one shard less or cheaper than the best fleet, most saving first, again after each success."""
    if search.parts.price.size == 1 or not search.best.complete:
        return
    for _ in range(NEIGHBOURS):
        candidates = [counts for counts in _cheaper(search) if counts not in search.tried]
        if not candidates or search.stopped is not None:
            return
        _try(search, min(candidates, key=search.cost), effort)


def _cheaper(search: _Search) -> Iterator[Counts]:
    """Yield neighbours of the best counts that are cheaper and that no row excludes."""
    best, kinds = np.array(search.best.counts), len(search.best.counts)
    for out in np.flatnonzero(best > 0).tolist():
        for into in range(-1, kinds):
            counts = best.copy()
            counts[out] -= 1
            if into >= 0:
                counts[into] += 1
            rows_hold = all(float(row.weight @ counts) >= need_of(row, 0.0) for row in search.bound.rows)
            if rows_hold and (counts <= search.parts.most).all() and search.cost(tuple(counts.tolist())) < search.price:
                yield tuple(counts.tolist())


def _exact(search: _Search) -> bool:
    """Let CP-SAT close a small problem; return whether the answer is final."""
    parts = search.parts
    room = search.price if search.best.complete else float(parts.price.max()) * parts.count
    top = np.minimum(np.minimum(np.floor(room / parts.price * (1 + 1e-9)), parts.most), parts.count).astype(np.int64)
    if parts.count * int(top.sum()) > EXACT_CELLS or not parts.certain:
        return False
    from optimizer.fleet_exact import cheapest_fleet  # noqa: PLC0415 - loads OR-Tools, which few problems need

    wall_s = (search.end_s - search.now_s()) * (EXACT_SHARE if search.budget.work is None else 1.0)
    exact = cheapest_fleet(parts, tuple(top.tolist()), wall_s, EXACT_WORK_S, search.budget.seed)
    if exact.impossible:
        return not search.best.complete
    if exact.counts is not None and exact.shard_of is not None:
        kind = np.repeat(np.arange(len(exact.counts)), exact.counts).astype(np.int64)
        search.keep(exact.counts, kind, exact.shard_of)
    if exact.price_bound > search.best.price_bound:
        one = parts.price.size == 1
        shards = max(search.best.shards_bound, int(np.ceil(exact.price_bound / parts.price[0] - 1e-6)) if one else 0)
        search.best = replace(search.best, price_bound=exact.price_bound, shards_bound=shards)
    return exact.proven and search.best.complete
