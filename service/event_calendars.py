"""The calendar that `plb events` works on: that of a state folder, offline, or that of a running service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from plb_ray.domain.events import CalendarChange, EventCalendar
from plb_ray.ingest.calendar_store import CalendarStore
from plb_ray.ingest.events_json import events_json, read_events_json

if TYPE_CHECKING:
    from pathlib import Path

    from plb_ray.domain.events import Event
    from service.client import ServiceClient


class Calendar(Protocol):
    """A calendar somewhere; `where` says where, for people. Errors are those of `CalendarStore` and `ServiceClient`."""

    where: str

    def read(self) -> EventCalendar: ...
    def put(self, events: EventCalendar) -> CalendarChange: ...
    def remove(self, event_id: str) -> Event: ...


class FolderCalendar:
    """That of a state folder. A service that runs on the folder sees every change at once."""

    def __init__(self, folder: Path) -> None:
        self._store = CalendarStore(folder)
        self.where = str(self._store.path)

    def read(self) -> EventCalendar:
        """See `Calendar`."""
        return self._store.read()

    def put(self, events: EventCalendar) -> CalendarChange:
        """See `Calendar`."""
        return self._store.put(events)

    def remove(self, event_id: str) -> Event:
        """See `Calendar`."""
        return self._store.remove(event_id)


class ServiceCalendar:
    """That of a running service."""

    def __init__(self, client: ServiceClient, where: str) -> None:
        self._client = client
        self.where = where

    def read(self) -> EventCalendar:
        """See `Calendar`."""
        return read_events_json(json.dumps(self._client.events()), self.where)

    def put(self, events: EventCalendar) -> CalendarChange:
        """See `Calendar`."""
        return CalendarChange(**self._client.import_events(events_json(events)))

    def remove(self, event_id: str) -> Event:
        """See `Calendar`."""
        removed = {"items": [self._client.remove_event(event_id)]}
        return read_events_json(json.dumps(removed), self.where).events[0]


def items_of(calendar: EventCalendar) -> list[dict[str, Any]]:
    """Return the events as the API's JSON has them."""
    items: list[dict[str, Any]] = json.loads(events_json(calendar))["items"]
    return items
