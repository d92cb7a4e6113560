"""What the forecasts are told of events: the calendar as it is now, or as it was when it could last be read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.domain.events import EventCalendar
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from plb_ray.control.ports import EventStore
    from plb_ray.domain.rates import RateHistory


class KnownEvents:
    """Reads the calendar anew for each tick. Use from one event loop.

    Attributes:
        error: why the calendar could not be read the last time, in one sentence; empty if it could.
    """

    def __init__(self, store: EventStore) -> None:
        self.error = ""
        self._store = store
        self._calendar = EventCalendar()

    async def added_to(self, history: RateHistory) -> RateHistory:
        """Return the history with the calendar. One that is damaged stops no forecast: what it held before counts."""
        try:
            self._calendar = await asyncio.to_thread(self._store.read)
        except BadInputError as error:
            self.error = str(error)
        else:
            self.error = ""
        return replace(history, calendar=self._calendar)
