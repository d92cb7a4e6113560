"""The packing problem behind a plan, as arrays: what loads what, who may be where, and what an allocation is worth.

Data
    K order params (a split one counts once per segment), S shards, D columns; a column is one (step, resource), D = T x R
    load[k, c] >= 0         load of order param k in column c
    base[s, c] >= 0         load that running migrations hold on s besides
    limit[s, c] >= 0        capacity[s, c] x headroom[s]; infinite where the shard states no limit
    weight[s, c] > 0        what one unit above the limit counts
    cost[k] >= 0            cost of moving k away from its current shard; 0 for what has none
    current[k]              shard of k now; the last shard of the arrays, `nowhere`, holds what has no shard yet
Variables
    shard_of[k]             the shard of order param k
    over(s, c)              max(0, base[s, c] + sum of load[k, c] over k with shard_of[k] = s  -  limit[s, c])
Constraints
    shard_of[k] = current[k], or k is movable and allowed[rule[k], shard_of[k]] and no member of its group is there
    at most moves_max order params leave their current shard
Objective, lexicographic
    broken      order params that stay where they must not be, and members too many of a group on one shard
    overload    sum over s, c of weight[s, c] x over(s, c)
    cost        sum of cost[k] over k with shard_of[k] != current[k]
    balance     the highest utilisation; sought by lowering the limits (`optimizer.frontier`)

Loads of different steps are never merged: a shard is full when the *sum* at one step is, not when the sum of peaks is.

Units. Loads and limits are whole numbers held in float64, so that sums are exact whatever their order. Resources whose loads
are whole numbers already are taken as they are; others are multiplied by a power of two that brings the total near
2^24 x K x S (at most 2^49), and loads rounded down. So every allocation that keeps the true limits keeps the units', which
makes lower bounds proven in units true bounds; one that keeps the units' limits exceeds the true ones by less than a unit
per order param on the shard (some 10^-7 of a limit) and 10^-9 of the limit, what floating-point sums are worth.

What lives here is data and arithmetic. Cost of `pack`: O(K x D).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from plb_ray.domain.plan import NOWHERE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.plan import PlanProblem

TOLERANCE = 1e-9  # relative: a limit is kept if it is exceeded by no more than this share of it
TOTAL_UNITS = 2.0**49  # sums of whole numbers below 2^53 are exact in float64
UNITS_EACH = 2.0**24  # per order param and shard: fine enough to forget the rounding, small enough for a solver of integers


class Score(NamedTuple):
    """The lexicographic goal, in the problem's own overload units; smaller is better."""

    broken: int
    overload: float
    cost: float


@dataclass(frozen=True, eq=False)
class Packing:
    """One packing problem; see the module's mathematics. S counts `nowhere`, the last shard.

    Attributes:
        load: (K, D) whole units.
        limit, capacity, base, weight: (S, D).
        current: (K,) index of a shard.
        movable: (K,).
        must_leave: (K,) the current shard breaks a rule (draining, wrong zone, forbidden, nowhere).
        rule: (K,) row of `allowed`.
        allowed: (C, S) where order params of a rule may arrive.
        group: (K,) spread group or -1.
        group_start, group_member: (G + 1,), (M,) members of each group, as compressed rows.
        cost: (K,) >= 0.
        origin: (K,) index of the order param in the plan problem.
        resources: R; column c is step c // R and resource c % R.
        moves_max: most order params that may leave their shard.
    """

    load: NDArray[np.float64]
    limit: NDArray[np.float64]
    capacity: NDArray[np.float64]
    base: NDArray[np.float64]
    weight: NDArray[np.float64]
    current: NDArray[np.int64]
    movable: NDArray[np.bool_]
    must_leave: NDArray[np.bool_]
    rule: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    group: NDArray[np.int64]
    group_start: NDArray[np.int64]
    group_member: NDArray[np.int64]
    cost: NDArray[np.float64]
    origin: NDArray[np.int64]
    resources: int
    moves_max: int

    @property
    def shards(self) -> int:
        """S, with `nowhere`."""
        return int(self.limit.shape[0])

    @property
    def nowhere(self) -> int:
        """The shard that holds what has no shard."""
        return self.shards - 1

    @cached_property
    def grain(self) -> float:
        """1.0 if all costs are whole numbers, so that bounds may be rounded up; else 0.0."""
        return 1.0 if bool((self.cost == np.rint(self.cost)).all()) else 0.0

    @cached_property
    def has_place(self) -> NDArray[np.bool_]:
        """(K,) whether the rules, groups apart, let the order param arrive on any shard."""
        return np.asarray(self.allowed.any(axis=1), dtype=np.bool_)[self.rule]

    @cached_property
    def use_now(self) -> NDArray[np.float64]:
        """(S, D) at the current allocation."""
        return self.use(self.current)

    def use(self, shard_of: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (S, D): the load on each shard, running migrations included."""
        use = self.base.copy()
        for column in range(self.load.shape[1]):
            use[:, column] += np.bincount(shard_of, weights=self.load[:, column], minlength=self.shards)
        return use

    def over(self, use: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (S, D): units above the limit."""
        return np.maximum(0.0, use - self.limit)

    def broken(self, shard_of: NDArray[np.int64]) -> int:
        """Return how many order params break a rule where they are."""
        members = self.group_member[shard_of[self.group_member] != self.nowhere]
        places = self.group[members] * self.shards + shard_of[members]
        crowded = members.size - np.unique(places).size
        return int((self.must_leave & (shard_of == self.current)).sum()) + int(crowded)

    def score(self, shard_of: NDArray[np.int64]) -> Score:
        """Return what an allocation is worth."""
        over = self.over(self.use(shard_of))
        return Score(
            broken=self.broken(shard_of),
            overload=float((over * self.weight).sum()),
            cost=float(self.cost[shard_of != self.current].sum()),
        )

    def allows(self, shard_of: NDArray[np.int64]) -> bool:
        """Return whether an allocation keeps every constraint (and not only the goals)."""
        moved = np.flatnonzero(shard_of != self.current)
        placed = self.movable[moved] & self.allowed[self.rule[moved], shard_of[moved]]
        return bool(placed.all()) and moved.size <= self.moves_max and not self.joiners(shard_of).size

    def joiners(self, shard_of: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the order params that have moved to where another member of their group is."""
        members = self.group_member[shard_of[self.group_member] != self.nowhere]
        _, place, count = np.unique(
            self.group[members] * self.shards + shard_of[members], return_inverse=True, return_counts=True
        )
        moved = shard_of[members] != self.current[members]
        return np.asarray(members[moved & (count[place] > 1)], dtype=np.int64)

    def with_limit(self, limit: NDArray[np.float64]) -> Packing:
        """Return the same problem with other limits."""
        return replace(self, limit=limit)


def pack(problem: PlanProblem) -> Packing:
    """Return the packing of a plan problem that `optimizer.validate` found sound; its mode is not looked at here."""
    rules, shards = problem.rules, len(problem.shards)
    steps = problem.load.shape[1]
    origin, parts = _segments(problem)
    cells = _Cells.of(problem)
    current = np.where(problem.current == NOWHERE, shards, problem.current)[origin]
    rule, allowed, home_ok = _rules(problem)
    group, start, member = _groups(problem, origin, parts)
    return Packing(
        load=np.floor(cells.scaled_load[origin] / parts[:, None] if (parts > 1).any() else cells.scaled_load),
        limit=_with_nowhere(np.tile(cells.limit, (1, steps)), np.inf),
        capacity=_with_nowhere(np.tile(cells.capacity, (1, steps)), np.inf),
        base=_with_nowhere(cells.base, 0.0),
        weight=_with_nowhere(np.tile(cells.weight, (1, steps)), 1.0),
        current=current,
        movable=~rules.pinned[origin] | (current == shards),
        must_leave=~home_ok[origin],
        rule=rule[origin],
        allowed=allowed,
        group=group,
        group_start=start,
        group_member=member,
        cost=np.where(current == shards, 0.0, problem.move_cost[origin] / parts),
        origin=origin,
        resources=len(problem.resources),
        moves_max=problem.budget.moves,
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """Loads (K, D) in units; limits (S, R), base (S, D) in whole ones; capacities (S, R); weight (S, R) of one unit."""

    scaled_load: NDArray[np.float64]
    limit: NDArray[np.float64]
    capacity: NDArray[np.float64]
    base: NDArray[np.float64]
    weight: NDArray[np.float64]

    @classmethod
    def of(cls, problem: PlanProblem) -> _Cells:
        count, steps, resources = problem.load.shape
        scale = _scale(problem)  # (R,)
        base = np.zeros((len(problem.shards), steps * resources))
        if problem.in_flight is not None:
            base = np.floor(problem.in_flight * scale).reshape(base.shape)
        return cls(
            scaled_load=(problem.load * scale).reshape(count, steps * resources),
            limit=np.floor(problem.capacity * problem.headroom[:, None] * scale * (1 + TOLERANCE)),
            capacity=problem.capacity * scale,
            base=base,
            weight=problem.overload_weight / scale,
        )


def _scale(problem: PlanProblem) -> NDArray[np.float64]:
    """Return (R,): the power of two that each resource is multiplied by; 1 where loads are whole numbers already."""
    total = problem.load.sum(axis=0).max(axis=0, initial=0.0)  # (R,)
    if problem.in_flight is not None:
        total = total + problem.in_flight.sum(axis=0).max(axis=0, initial=0.0)
        moving = _whole(problem.in_flight)
    else:
        moving = np.ones(total.size, dtype=np.bool_)
    whole = _whole(problem.load) & (total < TOTAL_UNITS) & (problem.segments == 1) & moving
    units = min(TOTAL_UNITS, UNITS_EACH * max(1, len(problem.order_params)) * max(1, len(problem.shards)))
    scale: NDArray[np.float64] = np.ones(total.size)
    broken = ~whole & (total > 0)
    scale[broken] = 2.0 ** np.floor(np.log2(units / total[broken]))
    return scale


def _whole(amounts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (R,): whether all amounts (n, T, R) of a resource are whole numbers."""
    return np.asarray((amounts == np.floor(amounts)).all(axis=(0, 1)), dtype=np.bool_)


def _segments(problem: PlanProblem) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (K',) origin and (K',) number of parts: an order param that fits no shard is split, evenly, as far as allowed.

    A part must fit into 90 % of the limit of so many shards of those allowed to it as there are parts.
    """
    count = len(problem.order_params)
    parts = np.ones(count, dtype=np.int64)
    if problem.segments > 1:
        limit = problem.capacity * problem.headroom[:, None]  # (S, R)
        peak = problem.load.max(axis=1, initial=0.0)  # (K, R)
        usable = ~problem.rules.draining & ~problem.rules.closed
        largest = limit[usable].max(axis=0, initial=0.0)
        for row in np.flatnonzero((peak > largest).any(axis=1) & ~problem.rules.pinned):
            parts[row] = _parts_of(peak[row], limit[usable], problem.segments)
    origin = np.repeat(np.arange(count), parts)
    return origin, parts[origin]


def _parts_of(peak: NDArray[np.float64], limit: NDArray[np.float64], most: int) -> int:
    for parts in range(2, min(most, limit.shape[0]) + 1):
        if (peak / parts <= 0.9 * limit).all(axis=1).sum() >= parts:
            return parts
    return 1


def _rules(problem: PlanProblem) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return rule (K,), allowed (C, S + 1), and home_ok (K,): the current shard breaks no rule but those of groups."""
    rules, shards = problem.rules, len(problem.shards)
    zone_ok = np.ones((len(rules.zone_sets) + 1, shards), dtype=np.bool_)  # the last row is for any zone (-1)
    for position, zones in enumerate(rules.zone_sets):
        zone_ok[position] = np.isin(rules.zone, list(zones))
    rule, kept = rules.zone_set.copy(), zone_ok
    if len(rules.forbidden):
        rule, kept = _forbid(rules.zone_set, zone_ok, rules.forbidden)
    kept = np.concatenate([kept & ~rules.draining, np.zeros((kept.shape[0], 1), dtype=np.bool_)], axis=1)
    home = np.where(problem.current == NOWHERE, shards, problem.current)
    home_ok = kept[rule, home]
    open_too = np.append(~rules.closed, False)
    return np.where(rule < 0, kept.shape[0] + rule, rule), kept & open_too, home_ok


def _forbid(
    zone_set: NDArray[np.int64], zone_ok: NDArray[np.bool_], forbidden: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give order params with forbidden shards a rule of their own, shared by those with the same zones and shards."""
    shards_of: dict[int, set[int]] = {}
    for row, shard in forbidden.tolist():
        shards_of.setdefault(row, set()).add(shard)
    rule, rows = np.where(zone_set < 0, zone_ok.shape[0] - 1, zone_set), [*zone_ok]
    known: dict[tuple[int, frozenset[int]], int] = {}
    for row, shards in shards_of.items():
        key = int(rule[row]), frozenset(shards)
        if key not in known:
            known[key] = len(rows)
            rows.append(zone_ok[key[0]].copy())
            rows[-1][list(shards)] = False
        rule[row] = known[key]
    return rule, np.array(rows)


def _groups(
    problem: PlanProblem, origin: NDArray[np.int64], parts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return group (K',), and members as compressed rows; segments of one order param are a group."""
    group = problem.rules.spread_group[origin].copy()
    alone = (group < 0) & (parts > 1)
    group[alone] = group.max(initial=-1) + 1 + origin[alone]
    members = np.flatnonzero(group >= 0)
    _, dense = np.unique(group[members], return_inverse=True)
    group[members] = dense
    members = members[np.argsort(dense, kind="stable")]
    counts = np.bincount(dense) if dense.size else np.zeros(0, dtype=np.int64)
    return group, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), members.astype(np.int64)


def _with_nowhere(cells: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Append the row of `nowhere`."""
    return np.ascontiguousarray(np.concatenate([cells, np.full((1, cells.shape[1]), value)]))
