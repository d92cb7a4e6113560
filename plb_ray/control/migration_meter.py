"""Follows all migrations since this process started: how they ended, what they copied, how long they paused; and each step.

Fed with records, in any order in which they become known and as often as one likes: what was counted once is not counted
again. So the journal may report every record while the control loop looks at the recent ones, as it must for a queue system
of somebody else's. Cardinality is fixed: outcomes x modes, and steps; order params and shards are not told apart.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.control.histogram import Histogram
from plb_ray.control.step_log import log_step
from plb_ray.domain.migration import MigrationMode, MigrationStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plb_ray.domain.migration import MigrationRecord

PAUSE_BUCKETS_MS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0)
DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
LEAD_LEVEL = 0.95
LEADS = 1_000
"""How many of the last migrations tell how long one takes."""

REMEMBERED = 50_000
"""Migrations whose records are told from repeats; the longest untouched ones are forgotten first."""


@dataclass(frozen=True)
class PauseHistogram:
    """Pauses of one mode. `counts[i]` are those in (bucket i - 1, bucket i] of `PAUSE_BUCKETS_MS`, the last one is above."""

    counts: tuple[int, ...] = (0,) * (len(PAUSE_BUCKETS_MS) + 1)
    sum_ms: float = 0.0

    def plus(self, pause_ms: float) -> PauseHistogram:
        """Return the histogram with one more pause."""
        row = next((row for row, bound in enumerate(PAUSE_BUCKETS_MS) if pause_ms <= bound), len(PAUSE_BUCKETS_MS))
        counts = (*self.counts[:row], self.counts[row] + 1, *self.counts[row + 1 :])
        return PauseHistogram(counts, self.sum_ms + pause_ms)


@dataclass(frozen=True)
class MigrationTotals:
    """What the meter has counted; all of it only grows while the process lives.

    Attributes:
        done, rolled_back: ended migrations by mode.
        rolled_back_at: rolled back migrations by the last step that they had reached.
        messages_copied, bytes_copied: by running and ended migrations, rolled back ones included.
        pauses: how long appends were refused, by mode, rolled back migrations included.
        durations_s: from the start to the end, by last step: done or aborted.
    """

    done: dict[MigrationMode, int] = field(default_factory=dict)
    rolled_back: dict[MigrationMode, int] = field(default_factory=dict)
    rolled_back_at: dict[MigrationStep, int] = field(default_factory=dict)
    messages_copied: int = 0
    bytes_copied: int = 0
    pauses: dict[MigrationMode, PauseHistogram] = field(default_factory=dict)
    durations_s: dict[MigrationStep, Histogram] = field(default_factory=dict)


class MigrationMeter:
    """See the module. Belongs to one event loop; costs some microseconds a record.

    Args:
        now_s: wall time; what was done before the meter was made belongs to its predecessor.
        on_step: told once of each record whose step or error is new.
    """

    def __init__(self, now_s: Callable[[], float], on_step: Callable[[MigrationRecord], None] = log_step) -> None:
        self._since_s = now_s()
        self._on_step = [on_step]
        self._seen: OrderedDict[str, MigrationRecord] = OrderedDict()
        self._done: Counter[MigrationMode] = Counter()
        self._rolled_back: Counter[MigrationMode] = Counter()
        self._rolled_back_at: Counter[MigrationStep] = Counter()
        self._pauses: dict[MigrationMode, PauseHistogram] = {}
        self._durations_s: dict[MigrationStep, Histogram] = {}
        self._messages = 0
        self._bytes = 0
        self._leads: OrderedDict[str, None] = OrderedDict()
        self._lead_s: deque[float] = deque(maxlen=LEADS)

    @property
    def lead_s(self) -> float:
        """How long 95 of 100 of the last migrations took at most, from their order until their destination served.

        In wall time; 0 while none is known. Those of a predecessor count, if they are told of.
        """
        if not self._lead_s:
            return 0.0
        known = sorted(self._lead_s)
        return known[math.ceil(LEAD_LEVEL * len(known)) - 1]

    def note(self, record: MigrationRecord) -> None:
        """Take a record. Older ones than the newest known one of the same migration change nothing."""
        self._learn_lead(record)
        before = self._seen.get(record.migration_id)
        if before is None:
            if record.finished_s is not None and record.finished_s < self._since_s:
                return
        elif before.step.terminal:
            return
        if before is not None and _rank(record) < _rank(before):
            return
        self._count_copied(before, record)
        if record.step.terminal:
            self._count_end(before, record)
        self._remember(record)
        if before is None or (record.step, record.error) != (before.step, before.error):
            for on_step in self._on_step:
                on_step(record)

    def follow(self, on_step: Callable[[MigrationRecord], None]) -> None:
        """Tell somebody else, too, once of each record whose step or error is new."""
        self._on_step.append(on_step)

    def newest(self, migration_id: str) -> MigrationRecord | None:
        """Return the newest record of a migration; None if none was seen since the meter was made."""
        return self._seen.get(migration_id)

    def note_all(self, records: Iterable[MigrationRecord]) -> None:
        """Take several records."""
        for record in records:
            self.note(record)

    def totals(self) -> MigrationTotals:
        """Return what was counted so far."""
        return MigrationTotals(
            done=dict(self._done),
            rolled_back=dict(self._rolled_back),
            rolled_back_at=dict(self._rolled_back_at),
            messages_copied=self._messages,
            bytes_copied=self._bytes,
            pauses=dict(self._pauses),
            durations_s=dict(self._durations_s),
        )

    def _learn_lead(self, record: MigrationRecord) -> None:
        """Learn from the first record of a migration that says that its destination serves, or that it is done."""
        if record.step not in (MigrationStep.MAPPED, MigrationStep.DONE) or record.migration_id in self._leads:
            return
        served_s = record.at_s if record.step is MigrationStep.MAPPED and record.at_s else record.finished_s
        if served_s is None:
            return
        self._leads[record.migration_id] = None
        self._lead_s.append(max(0.0, served_s - record.started_s))
        while len(self._leads) > REMEMBERED:
            self._leads.popitem(last=False)

    def _count_copied(self, before: MigrationRecord | None, record: MigrationRecord) -> None:
        if before is not None:
            self._messages += max(0, record.messages_copied - before.messages_copied)
            self._bytes += max(0, record.bytes_copied - before.bytes_copied)
        elif record.started_s >= self._since_s:
            self._messages += record.messages_copied
            self._bytes += record.bytes_copied

    def _count_end(self, before: MigrationRecord | None, record: MigrationRecord) -> None:
        if record.step is MigrationStep.ABORTED:
            self._rolled_back[record.mode] += 1
            self._rolled_back_at[before.step if before is not None else MigrationStep.PREPARE] += 1
        else:
            self._done[record.mode] += 1
        if record.finished_s is not None:
            duration_s = max(0.0, record.finished_s - record.started_s)
            self._durations_s[record.step] = self._durations_s.get(record.step, Histogram(DURATION_BUCKETS_S)).plus(
                duration_s
            )
        if record.pause_ms is not None:
            self._pauses[record.mode] = self._pauses.get(record.mode, PauseHistogram()).plus(record.pause_ms)

    def _remember(self, record: MigrationRecord) -> None:
        self._seen[record.migration_id] = record
        self._seen.move_to_end(record.migration_id)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


_ORDER = {step: number for number, step in enumerate(MigrationStep)}


def _rank(record: MigrationRecord) -> tuple[int, int]:
    """Return how far a record is. A step never falls; within one the messages copied grow."""
    return _ORDER[record.step], record.messages_copied
