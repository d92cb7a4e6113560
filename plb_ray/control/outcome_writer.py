"""Writes outcomes to their table, and reads them once: in the background. What goes wrong is told and stops nothing.

Outcomes wait in memory until there are `rows` of them or the oldest has waited `every_s`. A crash loses those, and what
could not be written is not tried again: they are for looking back, and the next ones will do.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from plb_ray.control.daily_tallies import DailyTallies, sum_up
from plb_ray.errors import BadInputError
from plb_ray.history.outcomes import DAY_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from plb_ray.domain.outcomes import ForecastOutcome
    from plb_ray.history.outcomes import Outcomes, OutcomeStore

LOG = logging.getLogger("plb.feedback")
T = TypeVar("T")
WAITING_MAX = 4
"""Times `rows`: what may wait while the disk does not answer; more is dropped."""


@dataclass(frozen=True)
class WriterParams:
    """How often outcomes are written, and how long they are kept.

    Attributes:
        every_s: > 0, seconds of the history that they wait at most.
        rows: >= 1, so many do not wait; a row takes some 80 bytes of memory.
        keep_s: >= a week and a day, age at which they leave the table, by whole days.
    """

    every_s: float = 600.0
    rows: int = 200_000
    keep_s: float = 14.0 * DAY_S

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        if self.every_s <= 0 or self.rows < 1 or self.keep_s < 8 * DAY_S:
            raise BadInputError(
                "outcomes: every_s must be above 0, rows at least 1, keep_s at least 8 days: a week is judged"
            )


class OutcomeWriter:
    """The only writer of one table. Use from one event loop.

    Attributes:
        error: why the disk did not do the last thing it was asked to, in one sentence; empty if it did.
    """

    def __init__(self, store: OutcomeStore, params: WriterParams) -> None:
        self.error = ""
        self._store = store
        self._params = params
        self._waiting: list[Outcomes] = []
        self._under_way: list[Outcomes] = []  # to the disk
        self._rows = 0
        self._maintained_day = -1
        self._writing: asyncio.Task[None] | None = None

    async def read(self, since_s: int, baseline_sources: Collection[str]) -> tuple[DailyTallies, dict[str, int]]:
        """Return the tallies of the table since a UTC day, and per horizon the first cutoff of champions that counts.

        To be called before anything is written. If it fails there is nothing.
        """
        found = await self._try("reading", _read, self._store, since_s, baseline_sources)
        return found or (DailyTallies(), {})

    async def of_order_param(self, order_param: str, horizon: str, since_s: int) -> tuple[ForecastOutcome, ...]:
        """Return the outcomes of one order param since a time, ordered by their ends, those that wait included.

        If reading fails there is what waits.
        """
        memory = [each for each in (*self._under_way, *self._waiting) if each.horizon == horizon and each.end_s >= since_s]
        waiting = [each.of(order_param) for each in memory]
        stored = await self._stored(order_param, horizon, since_s)
        found = {(each.cutoff_s, each.ahead_s): each for each in (*stored, *waiting) if each is not None}
        return tuple(sorted(found.values(), key=lambda each: (each.end_s, each.ahead_s)))

    async def _stored(self, order_param: str, horizon: str, since_s: int) -> list[ForecastOutcome]:
        """Read them; that this succeeds does not take back what is told of writing."""
        try:
            return await asyncio.to_thread(self._store.of_order_param, order_param, horizon, since_s)
        except Exception as error:  # noqa: BLE001 - see the module
            self._failed("reading failed", error)
            return []

    def add(self, outcomes: Outcomes) -> None:
        """Take outcomes to be written later."""
        rows = len(outcomes.order_params)
        if self._rows + rows > max(rows, WAITING_MAX * self._params.rows):
            self._failed("outcomes are dropped", TimeoutError("the disk has not taken the earlier ones yet"))
            return
        self._waiting.append(outcomes)
        self._rows += rows

    def write_if_due(self, at_s: int) -> None:
        """Start to write what waits if it has waited long enough and nothing is being written; returns at once."""
        if not self._waiting or (self._writing is not None and not self._writing.done()):
            return
        if self._rows >= self._params.rows or at_s - self._waiting[0].end_s >= self._params.every_s:
            self._writing = asyncio.create_task(self._write(at_s), name="write outcomes")

    async def note_counts_from(self, counts_from_s: dict[str, int]) -> None:
        """Keep per horizon the first cutoff that counts."""
        await self._try("noting a demotion", self._store.note_counts_from, counts_from_s)

    async def close(self) -> None:
        """Write what waits; again does nothing."""
        if self._writing is not None:
            await self._writing
        if self._waiting:
            await self._try("writing", self._store.append, self._taken())

    async def _write(self, at_s: int) -> None:
        await self._try("writing", self._store.append, self._taken())
        self._under_way = []
        day = at_s // DAY_S
        if day != self._maintained_day and not self.error:
            self._maintained_day = day
            await self._try("tidying up", self._store.maintain, int(at_s - self._params.keep_s))

    def _taken(self) -> list[Outcomes]:
        self._under_way, self._waiting, self._rows = self._waiting, [], 0
        return self._under_way

    async def _try(self, what: str, act: Callable[..., T], *args: Any) -> T | None:
        """Do something in a thread; whatever the storage raises is told."""
        try:
            done = await asyncio.to_thread(act, *args)
        except Exception as error:  # noqa: BLE001 - see the module
            self._failed(f"{what} failed", error)
            return None
        self.error = ""
        return done

    def _failed(self, what: str, error: Exception) -> None:
        told = f"outcomes of forecasts: {what}: {type(error).__name__}: {' '.join(str(error).split())}"
        if told != self.error:
            LOG.warning("%s; forecasts go on", told)
        self.error = told


def _read(store: OutcomeStore, since_s: int, baseline_sources: Collection[str]) -> tuple[DailyTallies, dict[str, int]]:
    counts_from_s = store.counts_from_s()
    return sum_up(store.read(since_s), counts_from_s, baseline_sources), counts_from_s
