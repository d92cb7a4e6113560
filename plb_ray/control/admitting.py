"""What an admitted move takes from those after it: room on its destination, and budgets; and who must leave before it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.views import Admission

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.damping import Memory
    from plb_ray.control.orders import Orders
    from plb_ray.control.stating import Course
    from plb_ray.control.views import AdmittedMove
    from plb_ray.domain.plan import Move
    from plb_ray.settings import BalancerSettings


def parted(moves: list[AdmittedMove], course: Course, orders: Orders) -> list[AdmittedMove]:
    """Return the moves, those held back that would come beside a member of their spread group that does not leave now.

    A plan keeps the groups as a whole, but not every move of it is sent in the same tick.
    """
    if not orders.spread_groups:
        return moves
    group_of = {name: members for members in orders.spread_groups.values() for name in members}
    ids = [shard.shard_id for shard in course.situation.shards]
    heading = {name: ids[at] for name, at in zip(course.situation.order_params, course.heading, strict=True)}
    while True:
        sent = {each.move.order_param: each.move.destination for each in moves if each.admission is Admission.ADMITTED}
        places = {**heading, **sent}
        crowding = {
            name
            for name, to in sent.items()
            if any(places.get(other) == to for other in group_of.get(name, ()) if other != name)
        }
        if not crowding:
            return moves
        moves = [
            replace(each, admission=Admission.WAITS_FOR_WAVE)
            if each.move.order_param in crowding and each.admission is Admission.ADMITTED
            else each
            for each in moves
        ]


class Rooms:
    """How full each shard is, by what was measured and by what is foreseen; taking keeps count."""

    def __init__(self, course: Course, headroom: float) -> None:
        situation = course.situation
        self._headroom = headroom
        self._row = {name: row for row, name in enumerate(situation.order_params)}
        self._column = {shard.shard_id: at for at, shard in enumerate(situation.shards)}
        self._measured, self._load, self._capacity = situation.measured, course.load, situation.capacity
        self._foreseen = course.shares.copy()  # (S, T, R), the first step as measured
        self._shares = self._foreseen[:, 0].copy()  # (S, R)

    def gains(self, move: Move) -> bool:
        """Return whether a move lessens the overload that is measured and foreseen, with what was taken before it.

        A move of a later wave does not if some of those that were to make room for it are not sent.
        """
        return self._over(self._with(move)) < self._over(self._foreseen[self._pair(move)])

    def take(self, move: Move) -> bool:
        """Return whether a move leaves its destination within the headroom, or both shards less over it; then count it."""
        pair = self._pair(move)
        load = self._measured[self._row[move.order_param]] / self._capacity[pair]  # (2, R)
        before = self._shares[pair]
        after = before + load * np.array([[-1.0], [1.0]])
        fits = (after[1] <= np.maximum(self._headroom, before[1])).all()
        if not fits and self._over(after) >= self._over(before):
            return False
        self._foreseen[pair] = self._with(move)
        self._shares[pair] = after
        return True

    def _pair(self, move: Move) -> list[int]:
        return [self._column[move.source], self._column[move.destination]]

    def _with(self, move: Move) -> NDArray[np.float64]:
        """Return (2, T, R) what is foreseen of source and destination with the move made."""
        pair = self._pair(move)
        load = self._load[self._row[move.order_param]] / self._capacity[pair][:, None, :]  # (2, T, R)
        return np.asarray(self._foreseen[pair] + load * np.array([-1.0, 1.0])[:, None, None])

    def _over(self, shares: NDArray[np.float64]) -> float:
        return float(np.maximum(0.0, shares - self._headroom).sum())


class Budgets:
    """How many moves may still be sent."""

    def __init__(self, settings: BalancerSettings, memory: Memory) -> None:
        self._tick = settings.budget_moves
        self._hour = settings.damping.moves_per_hour - len(memory.sent_s)
        self._of_shard = settings.damping.moves_per_shard
        self._touched: Counter[str] = Counter()

    def refusal(self, move: Move) -> Admission | None:
        """Return which budget forbids a move, if one does."""
        if self._tick <= 0:
            return Admission.TICK_BUDGET
        if self._hour <= 0:
            return Admission.HOUR_BUDGET
        if max(self._touched[move.source], self._touched[move.destination]) >= self._of_shard:
            return Admission.SHARD_BUDGET
        return None

    def spend(self, move: Move) -> None:
        """Count a move that is sent."""
        self._tick -= 1
        self._hour -= 1
        self._touched.update((move.source, move.destination))
