"""What the mode and the orders make of a tick: which steps count, whether there is anything to do, and what a plan is for.

    relief      only the steps that come before a migration and two ticks are over; a shard is relieved to the headroom
    predictive  every step; a shard that is or will be over is relieved to the inner margin
    balance     the same; and while the highest utilisation is more than two bands above the mean, it is lowered to one band
    filling     moves go onto the filled shards only, until the highest utilisation is about the mean

The mean is the utilisation of the whole fleet at its highest step and resource: no allocation has a lower highest one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.views import Mode
from plb_ray.domain.plan import NOWHERE, PlanMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.orders import Orders
    from plb_ray.control.stating import Course
    from plb_ray.domain.plan import PlacementRules

LEAD_TICKS = 2
"""What comes within so many ticks, besides what a migration takes, counts in mode relief."""

BAND, FILLING_BAND = 0.05, 0.02
"""How far above the mean the highest utilisation may be when a plan has evened the load out; twice that starts the next."""


@dataclass(frozen=True)
class Aim:
    """What a plan is for, in the words of `PlanProblem`; `evens` says whether lowering the highest utilisation is a gain."""

    mode: PlanMode = PlanMode.RELIEF
    focus: tuple[int, ...] = ()
    band: float = BAND

    @property
    def evens(self) -> bool:
        """Whether the plan is also to lower the highest utilisation."""
        return self.mode in (PlanMode.BALANCE, PlanMode.ADD)


def aim_of(course: Course, orders: Orders) -> Aim:
    """Return what the plan of this tick is for."""
    focus = tuple(at for at, shard in enumerate(course.situation.shards) if shard.shard_id in orders.filling)
    if focus:
        return Aim(PlanMode.ADD, focus, FILLING_BAND)
    return Aim(PlanMode.BALANCE) if orders.mode is Mode.BALANCE else Aim()


def latest_s(course: Course) -> float:
    """Return the last moment for which a move that is sent now would come in time, with two ticks to spare."""
    situation = course.situation
    return situation.at_s + situation.lead_s + LEAD_TICKS * situation.step_s


def in_sight_of(course: Course, mode: Mode) -> Course:
    """Return the part of the course that counts in a mode: in relief what comes soon, else all of it."""
    if mode is not Mode.RELIEF:
        return course
    soon = np.flatnonzero(course.starts_s <= latest_s(course))  # the first step is now, so there is one
    return replace(course, starts_s=course.starts_s[soon], lengths_s=course.lengths_s[soon], load=course.load[:, soon])


def uneven(course: Course, aim: Aim) -> bool:
    """Return whether the load is to be evened out."""
    return aim.evens and highest(course) > _mean(course) + 2 * aim.band


def highest(course: Course) -> float:
    """Return the highest utilisation of any shard, step and resource."""
    return float(course.shares.max(initial=0.0))


def breaks(rules: PlacementRules, current: NDArray[np.int64]) -> bool:
    """Return whether an order param is where a rule forbids; `current` is (K,) the shard of each."""
    if rules.draining[current].any():
        return True
    if len(rules.forbidden) and (current[rules.forbidden[:, 0]] == rules.forbidden[:, 1]).any():
        return True
    members = np.flatnonzero(rules.spread_group != NOWHERE)
    places = rules.spread_group[members] * (len(rules.draining) + 1) + current[members]
    return len(np.unique(places)) < len(members)


def _mean(course: Course) -> float:
    capacity = course.situation.capacity.sum(axis=0)  # (R,), infinite where a shard states no limit
    return float((course.load.sum(axis=0) / capacity).max(initial=0.0))
