"""When a move is sent. Pure.

Now, if its source is over, or will be before moves of the next tick could have ended. Later congestion waits for the last
tick from which it is still prevented, and is planned anew each tick: of what is foreseen for later much never comes, and
its moves would be made for nothing. A migration that takes longer than a step competes with service for long, so it goes at
the quietest step before that tick.

The waves of a plan are sent in one tick, each when the one before it is over, if they end well before the next tick: moves
that make room for others would else be made, and the others planned anew before they come.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.control.situation import Situation
    from plb_ray.control.stating import Course
    from plb_ray.domain.plan import Move
    from plb_ray.settings import BalancerSettings

WAVES, WAVES_MAX = 0.5, 16
"""Share of a tick in which the waves that are sent in it should end, and most of them."""

LATE = 0.1
"""Share of a step that may pass before a move has ended: less is no reason to send it a tick earlier."""


def ticks_of(moves: Sequence[Move], settings: BalancerSettings) -> int:
    """Return in how many ticks the budgets let these moves be sent, at least."""
    touched = Counter(shard_id for move in moves for shard_id in (move.source, move.destination))
    of_one_shard = max(touched.values(), default=0)
    return max(1, -(-len(moves) // settings.budget_moves), -(-of_one_shard // settings.damping.moves_per_shard))


def waves_in_a_tick(situation: Situation) -> int:
    """Return how many waves of a plan, one after the other, end within WAVES of a tick; the first always may."""
    return max(1, min(WAVES_MAX, int(WAVES * situation.step_s / max(situation.lead_s, 1e-3))))


def due_s(course: Course, move: Move, headroom: float, ticks: int) -> float | None:
    """Return when a move is to be sent; None for now.

    Args:
        course: what is and what is foreseen.
        move: of this tick's plan.
        headroom: above which its source is over.
        ticks: that the whole plan takes.
    """
    situation = course.situation
    position = {shard.shard_id: at for at, shard in enumerate(situation.shards)}
    source, destination = position.get(move.source), position.get(move.destination)
    if source is None or destination is None:
        return None
    over = np.flatnonzero(course.shares[source].max(axis=1) > headroom)
    if not over.size:
        return None
    step_s = situation.step_s
    spare_s = float(course.starts_s[over[0]]) + LATE * step_s - situation.lead_s - situation.at_s
    latest_s = situation.at_s + step_s * (spare_s // step_s - (ticks - 1))
    if latest_s <= situation.at_s:
        return None
    if situation.lead_s < step_s:
        return latest_s
    before = np.flatnonzero(course.starts_s <= latest_s)
    together = course.shares[[source, destination]].max(axis=2).sum(axis=0)[before]  # (T',)
    quietest_s = float(course.starts_s[int(together.argmin())])
    return quietest_s if quietest_s > situation.at_s else None
