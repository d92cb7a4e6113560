"""Moves that take away overload which the past says will come again, though no forecast names its hour. Pure.

The mathematics (sample average approximation: Kleywegt, Shapiro and Homem-de-Mello, SIAM J. Optimization 12, 2002)
    What all order params brought together at N past moments are N scenarios of what they will bring together: with the
    moments all dependence between them is kept, and with the record heights the tails that quantiles of a forecast lack.

        J(mapping) = sum over s, c of lasts_s[c] x max(0, load of s in c - limit[s, c]) / capacity[s]

    over the columns c: now, the steps foreseen (if the forecast counts), and the past moments, in seconds of a whole shard.
    Now and what is foreseen count for SOON_S together, up to the limits that every plan keeps; a past moment for the time
    between it and the next one that was kept, up to the middle between headroom and capacity: what has not come yet
    deserves less room. The steepest descent (`plb_ray.domain.descent`) makes moves while each lowers J by
    `damping.hedge_gain_s` at least.

So a mapping is prepared in calm times, once, for peaks that come day after day; what is moved because of now goes where the
past says it can stay; and in traffic that never came near a limit nothing moves. With unchanged input J falls with every
move, so it ends.

Axes: K order params, N past moments, T steps from now on, R resources, S shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.views import Mode
from plb_ray.domain.descent import Slope, descend
from plb_ray.domain.load import RESOURCES
from plb_ray.domain.plan import NOWHERE, Move
from plb_ray.domain.sums import per_shard
from plb_ray.domain.words import DAY_S, in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.orders import Orders
    from plb_ray.control.stating import Course
    from plb_ray.domain.plan import PlanProblem
    from plb_ray.domain.rates import RateHistory
    from plb_ray.estimate.cost import CostModel
    from plb_ray.settings import BalancerSettings

SOON_S = 3600.0
MOMENTS_MAX = 1008
"""A week of ten minutes."""

CELLS_MAX = 3_000_000
"""Order params x moments x resources that are kept at most."""


@dataclass(frozen=True, eq=False)
class PastLoads:
    """What came together at past moments.

    Attributes:
        load: (K, N, R') of the resources that are told of, rows as the order params of the situation.
        resources: (R',) their positions in `RESOURCES`.
        lasts_s: seconds that each moment stands for.
    """

    load: NDArray[np.float32]
    resources: tuple[int, ...]
    lasts_s: float


def past_loads(history: RateHistory, cost: CostModel, days: float) -> PastLoads | None:
    """Return what the last days brought, at the highest moment of each stretch of steps; None if there is nothing to tell.

    Args:
        history: (K, T) rates.
        cost: of a message.
        days: how far to look back; 0 for not at all.
    """
    steps = min(history.messages_per_s.shape[1], int(days * DAY_S / history.step_s))
    count = len(history.order_params)
    if steps == 0 or count == 0:
        return None
    most = max(1, min(MOMENTS_MAX, CELLS_MAX // (count * len(RESOURCES))))
    stretch = -(-steps // most)
    recent = history.messages_per_s[:, -steps:]
    total = np.nan_to_num(recent.sum(axis=0))  # of the sums: a copy of all that is added up costs a hundred times as much
    total = np.pad(total, (0, -len(total) % stretch), constant_values=-1.0).reshape(-1, stretch)
    columns = total.argmax(axis=1) + stretch * np.arange(len(total))
    load = cost.load(history.order_params, np.nan_to_num(recent[:, columns].astype(np.float64))).astype(np.float32)
    told = tuple(np.flatnonzero(load.any(axis=(0, 1))).tolist())
    return PastLoads(np.ascontiguousarray(load[:, :, told]), told, float(stretch * history.step_s))


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
    over = [np.maximum(0.0, use / capacity[:, None, :] - past_limit(headroom)).max(axis=2).sum() for use in (before, moved)]
    return max(0.0, float(over[0] - over[1]) * past.lasts_s)


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
            _reason(problem, int(problem.current[step.row]), step.gain, past),
        )
        for step in steps
    )


def _slope(course: Course, past: PastLoads, problem: PlanProblem, settings: BalancerSettings) -> Slope:
    """Return J as columns: steps from now on, then past moments, each once per resource."""
    told = list(past.resources)
    capacity = problem.capacity[:, told]  # (S, R')
    shards, steps, moments = len(capacity), course.load.shape[1], past.load.shape[1]
    load = np.concatenate([course.load[:, :, told].astype(np.float32), past.load], axis=1).reshape(len(course.load), -1)
    use = per_shard(load, problem.current, shards)
    if course.held is not None:
        use[:, : steps * len(told)] += course.held[:, :, told].reshape(shards, -1)
    between = past_limit(settings.headroom)
    share = np.concatenate([np.repeat(problem.headroom[:, None], steps, 1), np.full((shards, moments), between)], axis=1)
    lasts_s = np.concatenate([np.full(steps, SOON_S / steps), np.full(moments, past.lasts_s)])
    per_unit = np.where(np.isfinite(capacity), 1 / capacity, 0.0)
    return Slope(
        load,
        use.astype(np.float32),
        (share[:, :, None] * capacity[:, None, :]).reshape(shards, -1).astype(np.float32),
        (lasts_s[None, :, None] * per_unit[:, None, :]).reshape(shards, -1).astype(np.float32),
        problem.current,
        _movable(problem),
        lambda rows: np.tile(~(problem.rules.draining | problem.rules.closed), (len(rows), 1)),
        tuple(len(told) * (steps + first) for first in _days(past)),
    )


def _days(past: PastLoads) -> list[int]:
    """Return the first moment of each day, counted back from now; the first day may be a part of one."""
    moments, of_a_day = past.load.shape[1], max(1, round(DAY_S / past.lasts_s))
    return sorted({0, *range(moments % of_a_day, moments, of_a_day)} - {moments})


def _movable(problem: PlanProblem) -> NDArray[np.bool_]:
    """Return (K,) what a hedge may move: it leaves alone whatever rules of its own say where it may be."""
    rules = problem.rules
    movable = ~rules.pinned & (rules.spread_group == NOWHERE) & (rules.zone_set < 0) & (problem.current != NOWHERE)
    movable[rules.forbidden[:, 0]] = False
    return np.asarray(movable)


def _reason(problem: PlanProblem, source: int, gain_s: float, past: PastLoads) -> str:
    span = in_words(past.load.shape[1] * past.lasts_s)
    return (
        f"what came together in the last {span} would fill {problem.shards[source]} beyond its limit again; "
        f"this takes {gain_s:,.0f} s of a whole shard's overload away"
    )
