"""What a loop remembers of its predecessor's moves: from the decisions in the journal. Pure.

So a restart frees nobody from the cooldown, nor the hour's budget. A move of a decision counts if its order param is where
it was to go, or on its way there; what was decided and never begun, or rolled back, is free. Whether the forecast holds has
to be seen anew: that takes one step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.control.damping import THRASH_S, Memory
from plb_ray.control.views import Admission
from plb_ray.domain.plan import Move

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def recalled(decisions: Iterable[Mapping[str, Any]], now_s: float, heading: Mapping[str, str]) -> Memory:
    """Return the memory that these decisions leave.

    Args:
        decisions: documents of the last THRASH_S or more, oldest first.
        now_s: in the clock of the decisions.
        heading: the shard that each order param is on, or on its way to.
    """
    memory, last = Memory(), _last_destinations(decisions := tuple(decisions))
    for document in decisions:
        at_s = float(document["at_s"])
        moves = [
            move
            for move in _sent(document)
            if at_s > now_s - THRASH_S and heading.get(move.order_param) == last[move.order_param]
        ]
        memory = memory.with_sent(moves, at_s)
    return memory.at(now_s)


def _last_destinations(decisions: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {move.order_param: move.destination for document in decisions for move in _sent(document)}


def _sent(document: Mapping[str, Any]) -> list[Move]:
    return [Move(**each["move"]) for each in document["moves"] if each["admission"] == Admission.ADMITTED]
