"""What a decision was made from, small enough to be kept with every decision, large enough to check it by. Pure.

Shards are kept as columns, the fullest first, at most SHARDS_MOST of them and those that moves touch; how full the fullest
is that is left out is told. Lists of names are cut at NAMES_MOST, their length is told. So what one tick keeps has a bound
whatever the size of the queue, beside its moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from plb_ray.control.damping import Memory
    from plb_ray.control.orders import Orders
    from plb_ray.control.situation import Situation
    from plb_ray.control.stating import Course
    from plb_ray.domain.plan import Move
    from plb_ray.settings import BalancerSettings

SHARDS_MOST = 200
NAMES_MOST = 20
DIGITS = 4


@dataclass(frozen=True)
class Names:
    """Some names, and how many there are."""

    some: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class ShardInputs:
    """The load of shards that a decision was made on, as shares of capacity of the worst resource; N of them are kept.

    Attributes:
        shard_ids: (N,) the fullest first.
        now: (N,) as measured.
        peak: (N,) the highest of now and all steps planned on.
        peak_at_s: (N,) start of the step of the peak.
        left_out: how many shards are not among them.
        left_out_peak: the highest peak of those; 0 if there are none.
    """

    shard_ids: tuple[str, ...]
    now: tuple[float, ...]
    peak: tuple[float, ...]
    peak_at_s: tuple[float, ...]
    left_out: int = 0
    left_out_peak: float = 0.0


@dataclass(frozen=True)
class OrdersInForce:
    """What the operator had ordered, as far as it fits."""

    paused: bool
    approval: bool
    pinned: Names
    forbidden: Names
    draining: Names
    filling: Names
    spread_groups: int


@dataclass(frozen=True)
class Remembered:
    """What the damping and the guard remembered.

    Attributes:
        sent_last_hour: moves that were sent within it.
        moves, returns: since the process started; `returns` brought an order param back.
        cooling: order params that might not move again yet.
        forecast_trusted: whether the forecast had held.
        forecast_loss, persistence_loss: the guard's sums F and P; see `plb_ray.control.guard`.
        ratio, move_cost_s: what earlier moves taught; see `plb_ray.domain.effects`.
    """

    sent_last_hour: int
    moves: int
    returns: int
    cooling: Names
    forecast_trusted: bool
    forecast_loss: float
    persistence_loss: float
    ratio: float
    move_cost_s: float


@dataclass(frozen=True)
class Inputs:
    """What a decision was made from.

    Attributes:
        step_end_s: end of the last step that was measured.
        order_params: how many were considered.
        headroom: usable share of capacity.
        level: quantile level of what was foreseen; None where nothing was.
        first_step_s, last_step_s, steps: what was planned on, the measured step included.
        shards: their load.
        silent: shards that did not answer.
        moving: order params on their way, as "name -> destination".
        lead_s: how long a migration was taken to last.
        orders, memory: see there.
    """

    step_end_s: float
    order_params: int
    headroom: float
    level: float | None
    first_step_s: float
    last_step_s: float
    steps: int
    shards: ShardInputs
    silent: Names
    moving: Names
    lead_s: float
    orders: OrdersInForce
    memory: Remembered


def inputs_of(course: Course, moves: Sequence[Move], orders: Orders, memory: Memory, settings: BalancerSettings) -> Inputs:
    """Return what a decision was made from.

    Args:
        course: the load that was planned on.
        moves: what was planned; their shards are always kept.
        orders: of the operator.
        memory: from before the decision.
        settings: of the balancer.
    """
    situation = course.situation
    foreseen = len(course.starts_s) > 1 and situation.estimate is not None
    return Inputs(
        step_end_s=situation.at_s,
        order_params=len(situation.order_params),
        headroom=settings.headroom,
        level=situation.estimate.level if foreseen and situation.estimate is not None else None,
        first_step_s=float(course.starts_s[0]),
        last_step_s=float(course.starts_s[-1]),
        steps=len(course.starts_s),
        shards=_shards(course, {shard_id for move in moves for shard_id in (move.source, move.destination)}),
        silent=_names(situation.silent),
        moving=_names(_ways(situation.moving)),
        lead_s=situation.lead_s,
        orders=_orders(orders),
        memory=_remembered(situation, memory, settings.damping.cooldown_s),
    )


def _shards(course: Course, touched: set[str]) -> ShardInputs:
    ids = [shard.shard_id for shard in course.situation.shards]
    worst = course.shares.max(axis=2, initial=0.0)  # (S, T)
    peaks = worst.max(axis=1, initial=0.0)
    rows, left_out = fullest(peaks, ids, touched)
    return ShardInputs(
        shard_ids=tuple(ids[row] for row in rows.tolist()),
        now=_rounded(worst[rows, 0]),
        peak=_rounded(peaks[rows]),
        peak_at_s=tuple(course.starts_s[worst[rows].argmax(axis=1)].astype(np.float64).tolist()),
        left_out=len(left_out),
        left_out_peak=round(float(peaks[left_out].max(initial=0.0)), DIGITS),
    )


def fullest(
    peaks: NDArray[np.float64], shard_ids: Sequence[str], touched: Collection[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of shards that are kept, the fullest by `peaks` (S,) first, and of those that are left out."""
    order = np.argsort(-peaks, kind="stable")
    kept = [place < SHARDS_MOST or shard_ids[row] in touched for place, row in enumerate(order.tolist())]
    chosen = np.array(kept, dtype=np.bool_)
    return order[chosen], order[~chosen]


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(np.round(values, DIGITS).tolist())


def _ways(moving: Mapping[str, str]) -> Iterable[str]:
    return (f"{name} -> {destination}" for name, destination in moving.items())


def _names(names: Iterable[str]) -> Names:
    ordered = sorted(names)
    return Names(tuple(ordered[:NAMES_MOST]), len(ordered))


def _orders(orders: Orders) -> OrdersInForce:
    return OrdersInForce(
        paused=orders.paused,
        approval=orders.approval,
        pinned=_names(orders.pinned),
        forbidden=_names(orders.forbidden),
        draining=_names(orders.draining),
        filling=_names(orders.filling),
        spread_groups=len(orders.spread_groups),
    )


def _remembered(situation: Situation, memory: Memory, cooldown_s: float) -> Remembered:
    return Remembered(
        sent_last_hour=len(memory.sent_s),
        moves=memory.moves,
        returns=memory.returns,
        cooling=_names(memory.cooling(situation.at_s, cooldown_s)),
        forecast_trusted=memory.guard.trusted,
        forecast_loss=round(memory.guard.foreseen_loss, DIGITS),
        persistence_loss=round(memory.guard.measured_loss, DIGITS),
        ratio=round(situation.experience.ratio, DIGITS),
        move_cost_s=round(situation.experience.move_cost_s, DIGITS),
    )
