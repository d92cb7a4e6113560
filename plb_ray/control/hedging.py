"""Moves that take away overload which the past says may come, though no forecast names its hour. Pure.

The mathematics (sample average approximation: Kleywegt, Shapiro and Homem-de-Mello, SIAM J. Optimization 12, 2002)
    What all order params brought together at past moments are scenarios of what they will bring together: with the moments
    all dependence between them is kept. Surges of single order params are those of what has not come yet
    (`plb_ray.control.past_loads`).

        J(mapping) = sum over s, c of lasts_s[c] x max(0, load of s in c - limit[s, c]) / capacity[s]

    over the columns c: now, the steps foreseen (if the forecast counts), surges and past moments, in seconds of a whole
    shard. Now and what is foreseen count for SOON_S together, up to the limits that every plan keeps; the others for the
    time that each stands for, up to the middle between headroom and capacity: what has not come yet deserves less room.
    The steepest descent (`plb_ray.domain.descent`) makes moves while each lowers J by `damping.hedge_gain_s` at least.

So a mapping is prepared in calm times, once, for peaks that come day after day, and the largest order params have room to
grow; what is moved because of now goes where the past says it can stay; and in even traffic, well below the limits, nothing
moves. With unchanged input J falls with every move, so it ends.

Axes: K order params, C surges and moments, T steps from now on, R resources, S shards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.views import Mode
from plb_ray.domain.descent import Slope, descend
from plb_ray.domain.plan import NOWHERE, Move
from plb_ray.domain.sums import per_shard
from plb_ray.domain.words import in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.orders import Orders
    from plb_ray.control.past_loads import PastLoads
    from plb_ray.control.stating import Course
    from plb_ray.domain.descent import Descent
    from plb_ray.domain.plan import PlanProblem
    from plb_ray.settings import BalancerSettings

SOON_S = 3600.0


def hedges(course: Course, orders: Orders) -> bool:
    """Return whether to prepare for what came before: not where only what is over counts, or where moves have a focus."""
    return course.situation.past is not None and orders.mode is not Mode.RELIEF and not orders.filling


def past_limit(headroom: float) -> float:
    """Return the share of its capacity up to which the past may fill a shard."""
    return (1 + headroom) / 2


def prepared_s(course: Course, after: NDArray[np.int64], headroom: float) -> float:
    """Return how much less overload the past would bring with everything on these shards (K,), in seconds; never below 0.

    What makes the past worse is no reason against relieving what is over now.
    """
    past = course.situation.past
    if past is None or (after == course.heading).all():
        return 0.0
    capacity, changed = course.situation.capacity[:, past.resources], np.flatnonzero(after != course.heading)
    before = per_shard(past.load, course.heading, len(capacity))
    moved = before + per_shard(past.load[changed], after[changed], len(capacity))
    moved = moved - per_shard(past.load[changed], course.heading[changed], len(capacity))
    over = [
        np.maximum(0.0, use / capacity[:, None, :] - past_limit(headroom)).max(axis=2).sum(axis=0) for use in (before, moved)
    ]
    return max(0.0, float((over[0] - over[1]) @ past.lasts_s))


def hedged(course: Course, problem: PlanProblem, settings: BalancerSettings) -> tuple[Move, ...]:
    """Return the moves that lower J; none where the past is not known.

    Args:
        course: what is and what is foreseen.
        problem: of this tick, for its limits, rules and budget.
        settings: headroom, budgets, and what a move must gain.
    """
    past = course.situation.past
    if past is None:
        return ()
    slope = _slope(course, past, problem, settings)
    damping = settings.damping
    steps = descend(slope, problem.budget.moves, damping.hedge_gain_s, damping.moves_per_shard)
    return tuple(
        Move(
            problem.order_params[step.row],
            problem.shards[int(problem.current[step.row])],
            problem.shards[step.shard],
            _reason(problem, slope, step, past, course.load.shape[1]),
        )
        for step in steps
    )


def _slope(course: Course, past: PastLoads, problem: PlanProblem, settings: BalancerSettings) -> Slope:
    """Return J as columns: steps from now on, then surges and past moments, each once per resource."""
    told = list(past.resources)
    capacity = problem.capacity[:, told]  # (S, R')
    shards, steps, columns = len(capacity), course.load.shape[1], past.load.shape[1]
    load = np.concatenate([course.load[:, :, told].astype(np.float32), past.load], axis=1).reshape(len(course.load), -1)
    use = per_shard(load, problem.current, shards)
    if course.held is not None:
        use[:, : steps * len(told)] += course.held[:, :, told].reshape(shards, -1)
    between = past_limit(settings.headroom)
    share = np.concatenate([np.repeat(problem.headroom[:, None], steps, 1), np.full((shards, columns), between)], axis=1)
    lasts_s = np.concatenate([np.full(steps, SOON_S / steps), past.lasts_s])
    per_unit = np.where(np.isfinite(capacity), 1 / capacity, 0.0)
    return Slope(
        load,
        use.astype(np.float32),
        (share[:, :, None] * capacity[:, None, :]).reshape(shards, -1).astype(np.float32),
        (lasts_s[None, :, None] * per_unit[:, None, :]).reshape(shards, -1).astype(np.float32),
        problem.current,
        _movable(problem),
        lambda rows: np.tile(~(problem.rules.draining | problem.rules.closed), (len(rows), 1)),
        tuple(len(told) * (steps + first) for first in past.days),
    )


def _movable(problem: PlanProblem) -> NDArray[np.bool_]:
    """Return (K,) what a hedge may move: it leaves alone whatever rules of its own say where it may be."""
    rules = problem.rules
    movable = ~rules.pinned & (rules.spread_group == NOWHERE) & (rules.zone_set < 0) & (problem.current != NOWHERE)
    movable[rules.forbidden[:, 0]] = False
    return np.asarray(movable)


def _reason(problem: PlanProblem, slope: Slope, step: Descent, past: PastLoads, steps: int) -> str:
    """Return why a move is made: for the surge from which it takes most away, or for what came together, if that is more."""
    source, told = int(problem.current[step.row]), len(past.resources)
    over = np.maximum(0.0, slope.use[source] - slope.limit[source])
    left = np.maximum(0.0, slope.use[source] - slope.load[step.row] - slope.limit[source])
    gained_s = ((over - left) * slope.weight[source])[steps * told :].reshape(-1, told).sum(axis=1)
    surges_s, moments_s = gained_s[: len(past.surging)], gained_s[len(past.surging) :]
    shard, span = problem.shards[source], in_words(past.moments_s)
    why = f"what came together in the last {span} would fill {shard} beyond its limit again"
    if surges_s.sum() > moments_s.sum():
        who = problem.order_params[int(past.surging[surges_s.argmax()])]
        by = "by as much as that is above its usual day's peak"
        why = f"if {who} broke its record of the last {span} {by}, {shard} would be beyond its limit"
    return f"{why}; this takes {step.gain:,.0f} s of a whole shard's overload away"
