"""Who waits how long: the messages that wait, in the order in which they came, by order param.

Arrivals and services are even over stretches of time, so the n-th message of an order param came at a piecewise linear
function of n and is served at another one; its delay is the difference. Lines belong to order params and not to shards:
whoever is moved takes its line along, and is from then on served at its new shard's rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

NOTHING = 1e-9
Piece = tuple[float, float, float]
"""So many messages, whose delays in seconds lie evenly between the second and the third value."""


@dataclass
class _Came:
    """Messages that came evenly between two times."""

    began_s: float
    ended_s: float
    messages: float

    def first(self, messages: float) -> _Came:
        """Take so many off the front and return them; there must be as many."""
        share = messages / self.messages
        until_s = self.began_s + share * (self.ended_s - self.began_s)
        taken = _Came(self.began_s, until_s, messages)
        self.began_s, self.messages = until_s, self.messages - messages
        return taken


class Lines:
    """The lines of all order params, by row. An order param without a line has nothing waiting."""

    def __init__(self) -> None:
        self._lines: dict[int, deque[_Came]] = {}

    def come(self, row: int, began_s: float, ended_s: float, messages: float) -> None:
        """Let messages come evenly from one time to another."""
        if messages > NOTHING:
            self._lines.setdefault(row, deque()).append(_Came(began_s, ended_s, messages))

    def serve(self, row: int, began_s: float, ended_s: float, messages: float) -> list[Piece]:
        """Serve so many of a row, or as many as wait, evenly from one time to another; return their delays."""
        line, pieces, done = self._lines.get(row), [], 0.0
        while line and messages - done > NOTHING:
            taken = line[0].first(min(line[0].messages, messages - done))
            pieces.append(_delayed(taken, began_s, ended_s, done / messages, (done + taken.messages) / messages))
            done += taken.messages
            if line[0].messages <= NOTHING:
                line.popleft()
        if not line:
            self._lines.pop(row, None)
        return pieces

    def waiting(self, row: int, now_s: float, lasts_s: float) -> list[Piece]:
        """Return the delays of those that wait, if all of the row are served evenly within `lasts_s` from now on."""
        line = self._lines.get(row, ())
        total, before, pieces = sum(came.messages for came in line), 0.0, []
        for came in line:
            pieces.append(_delayed(came, now_s, now_s + lasts_s, before / total, (before + came.messages) / total))
            before += came.messages
        return pieces

    @property
    def rows(self) -> list[int]:
        """Those that have something waiting."""
        return list(self._lines)


def _delayed(came: _Came, began_s: float, ended_s: float, first: float, last: float) -> Piece:
    """Return the delays of messages that are served between two shares of a stretch of time."""
    lasts_s = ended_s - began_s
    begun, ended = began_s + first * lasts_s - came.began_s, began_s + last * lasts_s - came.ended_s
    return came.messages, max(0.0, begun), max(0.0, ended)
