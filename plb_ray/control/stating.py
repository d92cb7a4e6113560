"""A situation, stated as a plan problem. Decides nothing but which loads count and up to where a shard may be filled.

steps    now, as measured; then those of the estimate, if it is trusted: the plan fits the peak over all of them
limits   a shard above the headroom at any step is relieved to `inner_margin` below it; any other one may be filled up to
         there, and is left alone where it is between the two: the dead band. In mode relief: to the headroom
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.aims import aim_of
from plb_ray.control.views import Mode
from plb_ray.domain.load import RESOURCE_WORDS, RESOURCES
from plb_ray.domain.plan import NOWHERE, PlacementRules, PlanBudget, PlanProblem, PlanWords
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from plb_ray.control.orders import Orders
    from plb_ray.control.situation import Situation
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.settings import BalancerSettings


@dataclass(frozen=True, eq=False)
class Course:
    """The load that is planned on, now and to come.

    Attributes:
        situation: of now.
        starts_s: (T,) start of each step; the first is the measured one, whose load is taken to go on for a step from now.
        lengths_s: (T,) seconds that each step stands for.
        load: (K, T, R).
        heading: (K,) shard that each order param is on, or on its way to.
    """

    situation: Situation
    starts_s: NDArray[np.float64]
    lengths_s: NDArray[np.float64]
    load: NDArray[np.float64]
    heading: NDArray[np.int64]

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """(S, T, R) load of each shard as order params are heading, those on their way counted on both sides."""
        total = per_shard(self.load, self.heading, len(self.situation.shards))
        return total if self.held is None else np.asarray(total + self.held)

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """(S, T, R) `total` / capacity."""
        return np.asarray(self.total / self.situation.capacity[:, None, :])

    @cached_property
    def held(self) -> NDArray[np.float64] | None:
        """(S, T, R) what order params on their way still hold on their sources; None if none is on its way."""
        away = np.flatnonzero(self.heading != self.situation.owner)
        if not away.size:
            return None
        return per_shard(self.load[away], self.situation.owner[away], len(self.situation.shards))

    def when_on(self, shard_of: NDArray[np.int64]) -> Course:
        """Return the course as it would be with the order params on these shards (K,): moved, and nothing left behind."""
        moved = shard_of != self.heading
        owner = np.where(moved, shard_of, self.situation.owner)
        return replace(self, situation=replace(self.situation, owner=owner), heading=shard_of)

    def over_at_s(self, limit: float) -> NDArray[np.float64]:
        """Return (T,) the overload above a share of capacity: seconds of a whole shard, the worst resource of each step."""
        return np.asarray((np.maximum(0.0, self.shares - limit).max(axis=2) * self.lengths_s).sum(axis=0))


def course_of(situation: Situation, estimate: LoadEstimate | None) -> Course:
    """Return the load to plan on; without an estimate the measured one alone."""
    now = situation.measured[:, None, :]
    step_s = float(situation.step_s)
    heading = situation.heading()
    if estimate is None:
        return Course(situation, np.array([situation.at_s]), np.array([step_s]), now, heading)
    starts_s = np.concatenate([[situation.at_s], estimate.starts_s.astype(np.float64)])
    lengths_s = np.concatenate([[step_s], np.diff(estimate.starts_s), [0.0]])
    lengths_s[-1] = max(step_s, lengths_s[-2])
    return Course(situation, starts_s, lengths_s, np.concatenate([now, estimate.target], axis=1), heading)


def plan_problem(
    course: Course, orders: Orders, staying: Collection[str], settings: BalancerSettings, level: float | None
) -> PlanProblem:
    """Return the problem of this tick.

    A shard that does not answer takes nothing; a capacity of 0 states no limit; overload counts as a share of the capacity,
    so that resources add up; every move costs the same.

    Args:
        course: what is planned on.
        orders: of the operator.
        staying: order params that may not be moved now, beside those on their way and those pinned.
        settings: headroom, dead band and budgets.
        level: quantile level that the foreseen load stands for, for the words; None: its mean.
    """
    situation, aim = course.situation, aim_of(course, orders)
    capacity = situation.capacity
    return PlanProblem(
        order_params=situation.order_params,
        shards=tuple(shard.shard_id for shard in situation.shards),
        resources=RESOURCES,
        load=course.load,
        capacity=capacity,
        headroom=limits(course, settings, orders.mode),
        current=course.heading,
        move_cost=np.ones(len(situation.order_params)),
        rules=rules_of(course, orders, staying),
        overload_weight=np.where(np.isfinite(capacity), 1 / capacity, 1.0),
        in_flight=course.held,
        mode=aim.mode,
        focus=aim.focus,
        band=aim.band,
        budget=PlanBudget(wall_s=settings.solver_budget_s, moves=settings.budget_moves),
        words=_words(course, level),
    )


def limits(course: Course, settings: BalancerSettings, mode: Mode) -> NDArray[np.float64]:
    """Return (S,) the share of its capacity up to which each shard may be filled."""
    if mode is Mode.RELIEF:
        return np.full(len(course.situation.shards), settings.headroom)
    highest = course.shares.max(axis=(1, 2), initial=0.0)
    inner = settings.headroom - settings.damping.inner_margin
    return np.where(highest > settings.headroom, inner, np.clip(highest, inner, settings.headroom))


def rules_of(course: Course, orders: Orders, staying: Collection[str]) -> PlacementRules:
    """Return what an allocation must keep; `staying` may not be moved, beside those on their way and those pinned.

    Nor may an order param that no shard could take as it is now: wherever it went, those beside it would have to leave, so
    they leave where it is. Who is on a draining shard need not stay there: it goes once, whenever it came.
    """
    situation, names = course.situation, course.situation.order_params
    ids = [shard.shard_id for shard in situation.shards]
    draining = np.array([s.draining or s.shard_id in orders.draining for s in situation.shards], dtype=np.bool_)
    leaving = {names[row] for row in np.flatnonzero(draining[course.heading])} if draining.any() else set()
    large = {names[row] for row in np.flatnonzero(_fits_nowhere(course))}
    kept = {*({*staying, *large} - leaving), *situation.moving, *orders.pinned}
    rules = PlacementRules.none(len(names), len(ids))
    return replace(
        rules,
        pinned=np.array([name in kept for name in names], dtype=np.bool_),
        draining=draining,
        closed=np.array([shard_id in situation.silent for shard_id in ids], dtype=np.bool_),
        forbidden=_forbidden(names, ids, orders),
        spread_group=_spread_groups(names, orders),
    )


def _fits_nowhere(course: Course) -> NDArray[np.bool_]:
    """Return (K,) which order params are by themselves, as measured, as large as any shard or larger, their own included."""
    capacity = course.situation.capacity  # (S, R)
    over = course.load[:, 0] > capacity.max(axis=0, initial=0.0)  # (K, R)
    own = capacity[course.heading] >= capacity.max(axis=0, initial=0.0)
    return np.asarray((over & own).any(axis=1))


def _forbidden(names: tuple[str, ...], ids: list[str], orders: Orders) -> NDArray[np.int64]:
    if not orders.forbidden:
        return np.zeros((0, 2), dtype=np.int64)
    row_of, column_of = {name: row for row, name in enumerate(names)}, {shard_id: at for at, shard_id in enumerate(ids)}
    pairs = [
        (row_of[name], column_of[shard_id])
        for name, shards in sorted(orders.forbidden.items())
        for shard_id in sorted(shards)
        if name in row_of and shard_id in column_of
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _spread_groups(names: tuple[str, ...], orders: Orders) -> NDArray[np.int64]:
    groups = enumerate(orders.spread_groups.values())
    group_of = {name: number for number, members in groups for name in members}
    return np.array([group_of.get(name, NOWHERE) for name in names], dtype=np.int64)


def _words(course: Course, level: float | None) -> PlanWords:
    times = (datetime.fromtimestamp(int(start_s), UTC).strftime("%H:%M") for start_s in course.starts_s[1:])
    foreseen = "expected load" if level is None else f"p{level * 100:g}"
    load = foreseen if len(course.starts_s) > 1 else "measured load"
    return PlanWords(steps=("now", *times), load=load, resources=RESOURCE_WORDS)
