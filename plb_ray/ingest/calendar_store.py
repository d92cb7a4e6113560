"""The event calendar that is kept: one JSON file in the state folder, which people may also edit.

A file and not SQL, because a calendar is some hundred events that are always read whole, and because an operator should be
able to look at it, correct it and copy it with what every machine has. The form is that of `events_json`.

A change is written to a file beside it, synced and put in place by renaming: whoever reads gets the calendar from before or
after it, also after a crash. What was there before stays as `events.previous.json`. Several processes may change it at once,
one after the other by a lock; reading needs no lock.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from plb_ray.domain.events import EVENTS_MAX, CalendarChange, Event, EventCalendar, change_of
from plb_ray.durable import write_synced
from plb_ray.errors import BadInputError, UnknownEventError
from plb_ray.ingest.events_json import events_json, read_events_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class CalendarStore:
    """The calendar of one state folder, which need not exist before the first change. Calls block on the disk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.json"
        self.previous = folder / "events.previous.json"
        self._lock = folder / "events.lock"

    def read(self) -> EventCalendar:
        """Return the calendar as it is now; empty if nothing was ever put into it.

        Raises:
            BadInputError: the file is damaged or cannot be read; the text says how to get the calendar back.
        """
        try:
            return read_events_json(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return EventCalendar()
        except (BadInputError, OSError) as error:
            before = f"put back what it was before the last change: cp {self.previous} {self.path}"
            remedy = before if self.previous.exists() else f"move it away to begin anew: mv {self.path} {self.path}.damaged"
            raise BadInputError(f"{error}; correct the file, or {remedy}") from error

    def put(self, events: EventCalendar) -> CalendarChange:
        """Add events, or replace those with the same ids; synced on return. A repeat changes nothing.

        Raises:
            BadInputError: the file is damaged, cannot be written, or would hold more than `EVENTS_MAX` events.
        """
        with self._changing():
            before = self.read()
            after = before.merged_with(events)
            if len(after.events) > EVENTS_MAX:
                raise BadInputError(
                    f"the calendar would hold {len(after.events)} events, at most {EVENTS_MAX} are kept; remove past ones"
                )
            change = change_of(before, events)
            if change.added or change.changed:
                self._replace(after)
            return change

    def remove(self, event_id: str) -> Event:
        """Take one event out and return it; synced on return.

        Raises:
            UnknownEventError: it is not there.
            BadInputError: the file is damaged or cannot be written.
        """
        with self._changing():
            before = self.read()
            if event_id not in before.index:
                raise UnknownEventError(event_id)
            self._replace(before.without(event_id))
            return before.index[event_id]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock: what is read inside the block is what is replaced."""
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise BadInputError(f"events {self.path}: cannot be changed: {error}; check the state folder") from error

    def _replace(self, calendar: EventCalendar) -> None:
        if self.path.exists():
            write_synced(self.previous, self.path.read_bytes())
        write_synced(self.path, events_json(calendar).encode())
