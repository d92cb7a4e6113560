"""Which moves of a plan are worth making. Pure.

    a plan   must take away `move_cost_s` of overload above the headroom for each of its moves that is kept
    a move   must take away as much of what the plan is for: overload above the limits that it was made with

Overload is in seconds of a whole shard. What is foreseen counts as far as promises were kept so far; what a mapping prepares
for counts in full. A plan ends as much overload as it can with the fewest moves, so some of them may be there for a trickle:
those are left out here, beginning with the smallest. Ending a broken rule, or evening the load out, is worth any move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.aims import highest
from plb_ray.control.hedging import past_limit, prepared_s
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from plb_ray.control.aims import Aim
    from plb_ray.control.stating import Course
    from plb_ray.domain.plan import Move, Plan, PlanProblem
    from plb_ray.settings import BalancerSettings


def worthwhile(course: Course, problem: PlanProblem, plan: Plan, aim: Aim, settings: BalancerSettings) -> frozenset[str]:
    """Return the order params whose moves are worth it; none if the plan is not.

    Args:
        course: the load that is planned on.
        problem: that the plan solves.
        plan: whose moves are weighed.
        aim: what the plan is for.
        settings: headroom, and what a move costs.
    """
    everything = frozenset(move.order_param for move in plan.moves)
    if plan.broken_after < plan.broken_before or (aim.evens and highest(course) - plan.max_utilisation >= aim.band):
        return everything
    cost_s = max(settings.damping.move_cost_s, course.situation.experience.move_cost_s)
    kept = everything - _trifles(course, problem, plan.moves, settings.headroom, cost_s)
    gained_s = _gained_s(course, problem, [move for move in plan.moves if move.order_param in kept], settings.headroom)
    return kept if gained_s >= cost_s * len(kept) else frozenset()


def _gained_s(course: Course, problem: PlanProblem, moves: Sequence[Move], headroom: float) -> float:
    """Return how much overload above the headroom moves take away, in seconds."""
    after, experience = course.when_on(_after(problem, moves)), course.situation.experience
    gained_s = course.over_at_s(headroom) - after.over_at_s(headroom)  # (T,)
    counted_s = float(gained_s[0]) + experience.ratio * float(gained_s[1:].sum())  # what is measured is no promise
    return counted_s + prepared_s(course, after.heading, headroom)


def _after(problem: PlanProblem, moves: Sequence[Move]) -> NDArray[np.int64]:
    """Return (K,) the shard of each order param after these moves."""
    row_of = {name: row for row, name in enumerate(problem.order_params)}
    column_of = {shard_id: at for at, shard_id in enumerate(problem.shards)}
    after = problem.current.copy()
    for move in moves:
        after[row_of[move.order_param]] = column_of[move.destination]
    return after


def _trifles(course: Course, problem: PlanProblem, moves: Sequence[Move], headroom: float, cost_s: float) -> set[str]:
    """Return the order params whose moves do not each take away so much, given the others that are made."""
    row_of = {name: row for row, name in enumerate(problem.order_params)}
    after, rows = _after(problem, moves), [row_of[move.order_param] for move in moves]
    come, before = _coming(course, problem, after), _past(course, problem, after, headroom)
    rows.sort(key=lambda row: float((problem.load[row] / problem.capacity[after[row]]).max()))
    found = set()
    for row in rows:
        source, destination = int(problem.current[row]), int(after[row])
        gained_s = come.gained_s(row, source, destination)
        gained_s += max(0.0, before.gained_s(row, source, destination)) if before is not None else 0.0
        if gained_s < cost_s:
            for view in (come, before):
                if view is not None:
                    view.put_back(row, source, destination)
            found.add(problem.order_params[row])
    return found


@dataclass(eq=False)
class _View:
    """Shards at C moments, as a plan leaves them; putting back counts.

    Attributes:
        load: (K, C, R').
        capacity: (S, R').
        shares: (S, C, R') load / capacity.
        limit: (S,) of the shares.
        lasts_s: (C,) seconds that each moment counts for.
    """

    load: NDArray[np.floating]
    capacity: NDArray[np.float64]
    shares: NDArray[np.float64]
    limit: NDArray[np.float64]
    lasts_s: NDArray[np.float64]

    def gained_s(self, row: int, source: int, destination: int) -> float:
        """Return how much overload it takes away that an order param is not on its source, in seconds."""
        pair = [source, destination]
        return self._over_s(self._without(row, pair), pair) - self._over_s(self.shares[pair], pair)

    def put_back(self, row: int, source: int, destination: int) -> None:
        """Put an order param back on its source."""
        pair = [source, destination]
        self.shares[pair] = self._without(row, pair)

    def _without(self, row: int, pair: list[int]) -> NDArray[np.float64]:
        load = self.load[row] / self.capacity[pair][:, None, :]  # (2, C, R')
        return np.asarray(self.shares[pair] + load * np.array([1.0, -1.0])[:, None, None])

    def _over_s(self, shares: NDArray[np.float64], pair: list[int]) -> float:
        over = np.maximum(0.0, shares - self.limit[pair][:, None, None]).max(axis=2)  # (2, C)
        return float((over * self.lasts_s).sum())


def _coming(course: Course, problem: PlanProblem, after: NDArray[np.int64]) -> _View:
    """Return the steps from now on, up to the limits of the problem."""
    counted = np.where(np.arange(len(course.lengths_s)) == 0, 1.0, course.situation.experience.ratio)
    shares = course.when_on(after).shares.copy()
    return _View(problem.load, problem.capacity, shares, problem.headroom, course.lengths_s * counted)


def _past(course: Course, problem: PlanProblem, after: NDArray[np.int64], headroom: float) -> _View | None:
    """Return surges and past moments, up to the limit that hedging keeps."""
    past = course.situation.past
    if past is None:
        return None
    capacity = problem.capacity[:, past.resources]
    shares = per_shard(past.load, after, len(capacity)) / capacity[:, None, :]
    return _View(past.load, capacity, shares, np.full(len(capacity), past_limit(headroom)), past.lasts_s)
