"""Shards as fluids: messages arrive at the trace's rates, wait in order, and are served at each shard's rate.

The model, per sub-step of d seconds and shard s with service rate mu_s
    arrivals a_s spread evenly over the sub-step; with the backlog B_s before it
    served = min(B_s + a_s, mu_s d - what copying takes);     what is left waits
    a message that arrives waits until all before it on its shard are served: B_s / mu_s at the start, B'_s / mu_s at the end
    the order params of a shard are served in proportion to what waits of each, as a fair consumer does

A migration waits for one of `in_flight` slots, then copies the backlog of its order param at `copy_messages_per_s`; each
copied message takes `copy_cost` of a service from both shards. Arrivals go to the destination from its end on; for `pause_s`
before they wait. That is the course of `plb_ray.migration`: pre-copy while messages go on, a short pause, the destination.

Axes: K order params, S shards. State is a few arrays; a step of K = 162, S = 8 costs some 50 microseconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

DELAY_EDGES_S = np.concatenate([[0.0], np.geomspace(1e-3, 1e7, 1001)])
"""Delays are counted in bins of 2.3 %; below a millisecond they are none."""


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
        self.totals = Totals()
        self.now_s = 0.0
        self._params = params
        self._waiting: deque[tuple[int, int]] = deque()
        self._moving: list[_Moving] = []

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
        served = np.minimum(waiting + arrivals, np.maximum(0.0, able - taken))
        left = waiting + arrivals - served
        self._count(arrivals, able, waiting, left, seconds)
        total = waiting + arrivals
        kept = np.divide(left, total, out=np.zeros(count), where=total > 0)
        self.backlog = (self.backlog + messages) * kept[self.owner]
        self.now_s += seconds

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
        self.totals.migrations += 1
        self.totals.moved_bytes += move.copied * self._params.message_bytes
        paused = messages[move.row] * min(1.0, self._params.pause_s / seconds)
        self._wait(np.array([paused]), np.array([self._params.pause_s / 2]))

    def _count(
        self,
        arrivals: NDArray[np.float64],
        able: NDArray[np.float64],
        before: NDArray[np.float64],
        after: NDArray[np.float64],
        seconds: float,
    ) -> None:
        beyond = np.maximum(0.0, arrivals - able * (1 + 1e-9))
        self.totals.overload_shard_s += seconds * int((beyond > 0).sum())
        self.totals.excess_messages += float(beyond.sum())
        self.totals.shard_s += seconds * int((self.rates > 0).sum())
        rates = np.maximum(self.rates, 1e-9)
        for waiting in (before, after):
            self._wait(arrivals / 2, waiting / rates)

    def _wait(self, messages: NDArray[np.float64], delays_s: NDArray[np.float64]) -> None:
        places = np.minimum(np.searchsorted(DELAY_EDGES_S, delays_s), len(DELAY_EDGES_S) - 1)
        np.add.at(self.totals.delays, places, messages)
