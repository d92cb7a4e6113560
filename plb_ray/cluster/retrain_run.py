"""The work of a retraining's job: hand part after part to a crew, begin again those whose worker died, and keep the record.

Pure but for the crew; `plb_ray.cluster.retrain_crew` is the one on Ray. The record is kept after each change, so that
another job can go on from it when this one dies.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from plb_ray.cluster.retraining import ATTEMPTS, Part, PartState, Retraining, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WAIT_S = 1.0
TELL_EVERY = 0.05
"""The log gets a line of overall progress each time so much more is done."""

Key = tuple[str, str]


@dataclass(frozen=True)
class Ended:
    """How a worker's try at a part ended; `state` is None if the worker died in it."""

    key: Key
    state: PartState | None
    note: str = ""
    took_s: float | None = None


@dataclass(frozen=True)
class Progress:
    """How far a worker is with a part in which attempt, and where it works."""

    fraction: float
    where: str
    attempt: int = 1


class Crew(Protocol):
    """Workers that train parts, several at once."""

    @property
    def size(self) -> int:
        """How many parts they take at once, >= 1."""
        ...

    def start(self, part: Part) -> None:
        """Let one of them begin a part; returns at once."""
        ...

    def wait(self, timeout_s: float) -> list[Ended]:
        """Return those that have ended since, as soon as there is one; none when the time is up."""
        ...

    def progress(self) -> Mapping[Key, Progress]:
        """Return how far the parts are, as far as the workers have told."""
        ...


class RetrainRun:
    """Works a retraining off.

    Args:
        record: started; its waiting parts are what is to be done.
        crew: does the work.
        keep: stores the record; called after each change.
        say: writes one line of the log.
        now_s: wall time.
    """

    def __init__(
        self,
        record: Retraining,
        crew: Crew,
        keep: Callable[[Retraining], None],
        say: Callable[[str], None],
        now_s: Callable[[], float],
    ) -> None:
        self.record = record
        self._crew = crew
        self._keep = keep
        self._say = say
        self._now_s = now_s
        self._waiting = deque(part.key for part in record.parts if part.state is PartState.WAITING)
        self._busy: set[Key] = set()
        self._told = record.fraction

    def work(self) -> Retraining:
        """Work until every part has ended; returns the record, ended."""
        kept = len(self.record.parts) - len(self._waiting)
        self._say(f"state=running run={self.record.run} parts={len(self.record.parts)} done_before={kept}")
        while self._waiting or self._busy:
            before = self.record
            self._hand_out()
            for ended in self._crew.wait(WAIT_S):
                self._take_in(ended)
            self._note_progress()
            if self.record != before:
                self._keep(self.record)
        return self._end()

    def _hand_out(self) -> None:
        while len(self._busy) < self._crew.size and (key := self._next()) is not None:
            self._waiting.remove(key)
            part = self._part(key)
            part = replace(part, state=PartState.TRAINING, attempts=part.attempts + 1, fraction=0.0)
            self.record = self.record.with_part(part)
            self._busy.add(part.key)
            self._crew.start(part)

    def _next(self) -> Key | None:
        """Return the first part in the queue whose parent is not still to be trained."""
        pending = {*self._waiting, *self._busy}
        return next((key for key in self._waiting if (self._part(key).parent, key[1]) not in pending), None)

    def _take_in(self, ended: Ended) -> None:
        self._busy.remove(ended.key)
        part = self._part(ended.key)
        if ended.state is not None:
            part = replace(part, state=ended.state, fraction=1.0, note=ended.note, took_s=ended.took_s)
        elif part.attempts < ATTEMPTS:
            part = replace(part, state=PartState.WAITING, fraction=0.0, note=ended.note)
            self._waiting.append(part.key)
        else:
            why = f"{part.attempts} workers died in it, the last one so: {ended.note}"
            part = replace(part, state=PartState.FAILED, fraction=1.0, note=why)
        self.record = self.record.with_part(part)
        self._say(_line(part))

    def _note_progress(self) -> None:
        for key, progress in self._crew.progress().items():
            if key not in self._busy:
                continue
            part = self._part(key)
            if progress.attempt != part.attempts:
                continue
            if part.where != progress.where:
                self._say(f"part={part.name} state=training attempt={part.attempts} where={progress.where}")
            self.record = self.record.with_part(replace(part, fraction=progress.fraction, where=progress.where))
        if self.record.fraction >= self._told + TELL_EVERY:
            self._told = self.record.fraction
            eta_s = self.record.eta_s(self._now_s())
            self._say(f"fraction={self._told:.2f}" + (f" eta_s={eta_s:.0f}" if eta_s is not None else ""))

    def _end(self) -> Retraining:
        failed = [part for part in self.record.parts if part.state is PartState.FAILED]
        skipped = sum(part.state is PartState.SKIPPED for part in self.record.parts)
        error = f"{len(failed)} of {len(self.record.parts)} failed; {failed[0].name}: {failed[0].note}" if failed else ""
        self.record = self.record.ended(State.FAILED if failed else State.DONE, self._now_s(), error)
        self._keep(self.record)
        self._say(f"state={self.record.state} failed={len(failed)} skipped={skipped}")
        return self.record

    def _part(self, key: Key) -> Part:
        return next(part for part in self.record.parts if part.key == key)


def _line(part: Part) -> str:
    took = f" took_s={part.took_s:.1f}" if part.took_s is not None else ""
    note = f" note={part.note!r}" if part.note else ""
    return f"part={part.name} state={part.state} attempt={part.attempts}{took}{note}"
