"""Shards as fluids: messages arrive at the trace's rates, wait in order, and are served at each shard's rate.

The model, per sub-step of d seconds and shard s with service rate mu_s
    arrivals a_s spread evenly over the sub-step; with the backlog B_s before it
    served = min(B_s + a_s, mu_s d - what copying takes);     what is left waits
    the order params of a shard are served in proportion to what waits of each, as a fair consumer does
    each message waits until those before it in its order param's line are served (`lines`), on whichever shard that is

A migration waits for one of `in_flight` slots, then copies the backlog of its order param at `copy_messages_per_s`; each
copied message takes `copy_cost` of a service from both shards. Arrivals go to the destination from its end on; for `pause_s`
before they wait. That is the course of `plb_ray.migration`: pre-copy while messages go on, a short pause, the destination.

Axes: K order params, S shards. State is a few arrays; a step of K = 162, S = 8 costs some 50 microseconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError
from plb_ray.simulation.replay.lines import NOTHING, Lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from plb_ray.simulation.replay.lines import Piece

DELAY_EDGES_S = np.concatenate([[0.0], np.geomspace(1e-3, 1e7, 1001)])
"""Delays are counted in bins of 2.3 %; below a millisecond they are none."""

LAST = len(DELAY_EDGES_S) - 1
PARTS = 4
MIDDLES = (np.arange(PARTS) + 0.5) / PARTS


@dataclass(frozen=True)
class PhysicsParams:
    """How the modelled shards behave.

    Attributes:
        substeps: >= 1, parts of a bin; more make delays within a bin finer.
        copy_messages_per_s: > 0, how fast a backlog is copied.
        copy_cost: >= 0, what copying a message takes of either shard, in services.
        overhead_s: >= 0, what a migration takes besides copying.
        pause_s: >= 0, how long appends wait.
        in_flight: >= 1, migrations at once.
        message_bytes: > 0, of a message that is copied.
    """

    substeps: int = 10
    copy_messages_per_s: float = 40_000.0
    copy_cost: float = 0.05
    overhead_s: float = 0.05
    pause_s: float = 0.015
    in_flight: int = 2
    message_bytes: float = 256.0

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        for name, least in (("substeps", 1), ("copy_messages_per_s", 1e-9), ("in_flight", 1), ("message_bytes", 1e-9)):
            if not getattr(self, name) >= least:
                raise BadInputError(f"physics: {name} must be at least {least:g}")
        for name in ("copy_cost", "overhead_s", "pause_s"):
            if not getattr(self, name) >= 0:
                raise BadInputError(f"physics: {name} must not be negative")


@dataclass(eq=False)
class Totals:
    """What has happened so far.

    Attributes:
        overload_shard_s: shard-seconds in which messages arrived faster than the shard serves.
        excess_messages: messages that arrived beyond what their shard could serve at the time.
        moved_bytes, migrations: of migrations that have ended.
        delays: messages by delay, in the bins of DELAY_EDGES_S.
        shard_s: shard-seconds that were up.
    """

    overload_shard_s: float = 0.0
    excess_messages: float = 0.0
    moved_bytes: float = 0.0
    migrations: int = 0
    shard_s: float = 0.0
    delays: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(DELAY_EDGES_S)))

    def delay_s(self, share: float) -> float:
        """Return the delay that so large a share of the messages did not exceed; 0 without messages."""
        reached = np.cumsum(self.delays)
        return float(DELAY_EDGES_S[min(int(np.searchsorted(reached, share * reached[-1])), len(DELAY_EDGES_S) - 1)])


@dataclass(eq=False)
class _Moving:
    """A migration under way: row, destination, when it ends, and seconds of copying left to pay for."""

    row: int
    destination: int
    ends_s: float
    copied: float


class Fluid:
    """The shards. Time begins at 0 and is in seconds.

    Args:
        rates: (S,) messages each shard serves per second; 0 for one that is down.
        owner: (K,) shard of each order param at the beginning.
        params: see there.
    """

    def __init__(self, rates: NDArray[np.float64], owner: NDArray[np.int64], params: PhysicsParams) -> None:
        self.rates = np.asarray(rates, dtype=np.float64).copy()
        self.owner = owner.astype(np.int64).copy()
        self.backlog = np.zeros(len(owner))
        self.now_s = 0.0
        self._totals = Totals()
        self._params = params
        self._waiting: deque[tuple[int, int]] = deque()
        self._moving: list[_Moving] = []
        self._lines = Lines()

    @property
    def totals(self) -> Totals:
        """What has happened so far; who waits counts with the delay that it has when all goes on without arrivals."""
        totals = replace(self._totals, delays=self._totals.delays.copy())
        waiting = np.bincount(self.owner, weights=self.backlog, minlength=len(self.rates))
        lasts_s = waiting / np.maximum(self.rates, 1e-9)
        for row in self._lines.rows:
            _count(totals, self._lines.waiting(row, self.now_s, float(lasts_s[self.owner[row]])))
        return totals

    @property
    def moving(self) -> dict[int, int]:
        """Destination of each order param on its way or waiting for a slot, by row."""
        return {**{each.row: each.destination for each in self._moving}, **dict(self._waiting)}

    def migrate(self, moves: Iterable[tuple[int, int]]) -> None:
        """Order migrations: (row, destination) each; one of an order param that is on its way is not taken."""
        for row, destination in moves:
            if row not in self.moving and self.owner[row] != destination:
                self._waiting.append((row, destination))

    def run(self, messages: NDArray[np.floating], seconds: float) -> None:
        """Let (K,) messages arrive evenly over some seconds."""
        parts = self._params.substeps
        part = np.asarray(messages, dtype=np.float64) / parts
        for _ in range(parts):
            self._step(part, seconds / parts)

    def _step(self, messages: NDArray[np.float64], seconds: float) -> None:
        taken = self._move(messages, seconds)
        count = len(self.rates)
        arrivals = np.bincount(self.owner, weights=messages, minlength=count)
        waiting = np.bincount(self.owner, weights=self.backlog, minlength=count)
        able = self.rates * seconds
        could = np.maximum(0.0, able - taken)
        total = waiting + arrivals
        left = np.maximum(0.0, total - could)
        self._count(arrivals, able, seconds)
        kept = np.divide(left, total, out=np.zeros(count), where=total > 0)
        lined = (waiting > NOTHING) | (left > NOTHING)
        direct = arrivals.copy()  # (S,) served without having to wait
        for shard in np.flatnonzero(lined):
            share = 1.0 if left[shard] > NOTHING else _share_lined(waiting[shard], arrivals[shard], could[shard])
            self._serve(int(shard), messages, seconds, share, 1.0 - kept[shard])
            direct[shard] *= 1.0 - share
        self._totals.delays[0] += direct.sum()
        self.backlog = (self.backlog + messages) * kept[self.owner]
        self.now_s += seconds

    def _serve(self, shard: int, messages: NDArray[np.float64], seconds: float, share: float, served: float) -> None:
        """Let a shard serve its lines.

        Args:
            shard: whose.
            messages: (K,) that come in this sub-step.
            seconds: length of it.
            share: of it, in which the shard has a line; who comes later is served at once.
            served: share of what waits and comes that is served in the meantime; 1 if the line ends.
        """
        until_s = self.now_s + share * seconds
        for row in np.flatnonzero((self.owner == shard) & (self.backlog + messages > 0)).tolist():
            come = float(messages[row]) * share
            self._lines.come(row, self.now_s, until_s, come)
            count = (float(self.backlog[row]) + come) * served
            _count(self._totals, self._lines.serve(row, self.now_s, until_s, count))

    def _move(self, messages: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
        """End and begin migrations; return (S,) what copying takes of each shard in this sub-step, in messages."""
        taken = np.zeros(len(self.rates))
        end_s, free_s = self.now_s + seconds, [self.now_s] * (self._params.in_flight - len(self._moving))
        while self._moving or (self._waiting and free_s):
            while self._waiting and free_s and min(free_s) < end_s:
                at_s = min(free_s)
                free_s.remove(at_s)
                self._begin(*self._waiting.popleft(), at_s, taken)
            ended = [each for each in self._moving if each.ends_s < end_s]
            if not ended:
                break
            first = min(ended, key=lambda each: each.ends_s)
            self._moving.remove(first)
            self._end(first, messages, seconds)
            free_s.append(first.ends_s)
        return taken

    def _begin(self, row: int, destination: int, at_s: float, taken: NDArray[np.float64]) -> None:
        copied = float(self.backlog[row])
        lasts_s = self._params.overhead_s + copied / self._params.copy_messages_per_s
        taken[[self.owner[row], destination]] += copied * self._params.copy_cost
        self._moving.append(_Moving(row, destination, at_s + lasts_s, copied))

    def _end(self, move: _Moving, messages: NDArray[np.float64], seconds: float) -> None:
        self.owner[move.row] = move.destination
        self._totals.migrations += 1
        self._totals.moved_bytes += move.copied * self._params.message_bytes
        paused = messages[move.row] * min(1.0, self._params.pause_s / seconds)
        _count(self._totals, [(paused, 0.0, self._params.pause_s)])

    def _count(self, arrivals: NDArray[np.float64], able: NDArray[np.float64], seconds: float) -> None:
        beyond = np.maximum(0.0, arrivals - able * (1 + 1e-9))
        self._totals.overload_shard_s += seconds * int((beyond > 0).sum())
        self._totals.excess_messages += float(beyond.sum())
        self._totals.shard_s += seconds * int((self.rates > 0).sum())


def _share_lined(waiting: float, arrivals: float, could: float) -> float:
    """Return the share of a sub-step after which nothing waits any more, where all that comes can be served."""
    return 1.0 if could <= arrivals else min(1.0, waiting / (could - arrivals))


def _count(totals: Totals, pieces: Iterable[Piece]) -> None:
    """Add delays to the totals, each piece in PARTS."""
    for messages, first_s, last_s in pieces:
        delays_s = first_s + (last_s - first_s) * MIDDLES
        np.add.at(totals.delays, np.minimum(np.searchsorted(DELAY_EDGES_S, delays_s), LAST), messages / PARTS)
