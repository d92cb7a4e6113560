"""Who serves, and all that happened: the files `champion` and `events.jsonl` of one version folder.

The pointer is replaced whole and carries its own event; the audit is only ever added to, after that. So a crash between the
two loses nothing: the event is read from the pointer, and `complete` writes it where it belongs. Whoever writes holds the
lock of the folder; reading needs none.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from models.durable import append_line, replace_text
from models.registry_entry import Event, What
from plb_ray.domain.events import utc_text
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

LOG = logging.getLogger(__name__)
POINTER = "champion"
AUDIT = "events.jsonl"


@dataclass(frozen=True)
class _Pointer:
    """Who serves (None = the baseline), and the event that made it so."""

    champion: str | None
    change: Event


class Ledger:
    """Of one folder, which need not exist. `now_s` is a wall clock."""

    def __init__(self, folder: Path, now_s: Callable[[], float]) -> None:
        self._pointer = folder / POINTER
        self._audit = folder / AUDIT
        self._now_s = now_s

    def champion(self) -> str | None:
        """Return the version that serves; None = none. Raises NoForecastError: the pointer cannot be read."""
        pointer = self._read_pointer()
        return None if pointer is None else pointer.champion

    def champion_or_none(self) -> str | None:
        """Return the version that serves; None also if nobody knows."""
        try:
            return self.champion()
        except NoForecastError:
            return None

    def nobody_serves(self) -> bool:
        """Return whether there certainly is no champion."""
        try:
            return self.champion() is None
        except NoForecastError:
            return False

    def pointer_key(self) -> tuple[int, ...] | None:
        """Return what changes whenever the pointer does; None if there is none. Raises OSError."""
        try:
            status = self._pointer.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def events(self) -> tuple[Event, ...]:
        """Return all that happened, oldest first."""
        recorded, change = self._recorded(), self._change_of_pointer()
        return recorded if change is None or _holds(recorded, change) else (*recorded, change)

    def point_to(self, champion: str | None, what: What, version: str | None, reason: str, who: str) -> None:
        """Let `champion` serve, because of an event that happened to `version`."""
        event = self._event(what, version, reason, who)
        replace_text(self._pointer, json.dumps({"champion": champion, "change": asdict(event)}))
        append_line(self._audit, json.dumps(asdict(event)))

    def note(self, what: What, version: str | None, reason: str, who: str) -> None:
        """Record an event that changes no pointer."""
        append_line(self._audit, json.dumps(asdict(self._event(what, version, reason, who))))

    def complete(self, versions: Iterable[str]) -> None:
        """Record what a crash kept out of the audit; `versions` are those that are there."""
        recorded, change = self._recorded(), self._change_of_pointer()
        if change is not None and not _holds(recorded, change):
            append_line(self._audit, json.dumps(asdict(change)))
        added = {event.version for event in recorded if event.what == What.ADDED}
        for version in versions:
            if version not in added:
                self.note(What.ADDED, version, "whoever added it was stopped before this line", "")

    def _event(self, what: What, version: str | None, reason: str, who: str) -> Event:
        number = 1 + max((event.number for event in self.events()), default=0)
        return Event(number, utc_text(int(self._now_s())), what, version, reason, who)

    def _recorded(self) -> tuple[Event, ...]:
        try:
            lines = self._audit.read_bytes().splitlines()
        except OSError:
            return ()
        return tuple(event for line in lines if (event := self._event_of(line)) is not None)

    def _event_of(self, line: bytes) -> Event | None:
        try:
            return Event.from_document(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            LOG.warning("%s: a line is no event and is left out (%r)", self._audit, error)
            return None

    def _read_pointer(self) -> _Pointer | None:
        try:
            document = json.loads(self._pointer.read_text(encoding="utf-8"))
            champion, change = document["champion"], Event.from_document(document["change"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "`plb models rollback` or the next training replaces it"
            raise NoForecastError(f"{self._pointer} cannot be read ({error!r}); {remedy}") from error
        return _Pointer(None if champion is None else str(champion), change)

    def _change_of_pointer(self) -> Event | None:
        try:
            pointer = self._read_pointer()
        except NoForecastError:
            return None
        return None if pointer is None else pointer.change


def _holds(recorded: tuple[Event, ...], change: Event) -> bool:
    return any(event.number == change.number for event in recorded)
