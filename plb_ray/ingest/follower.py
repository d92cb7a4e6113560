"""Following a source of samples: everything of the last days once, then what is new, again and again.

    start      backfill_s ------------------------------------------------------------> now
    later                                                   | overlap | since last time | now

Each round asks once more for the last steps, so that samples that reach the source late come in; what is known already
changes nothing. Work is done in pages that are small enough to leave the event loop to the tick and to migrations. What goes
wrong is reported in words, and tried again in the next round; nothing is raised.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from plb_ray.domain.samples import PushOutcome
from plb_ray.errors import PlbError
from plb_ray.ingest.prometheus import POINTS_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.clock import Clock
    from plb_ray.domain.samples import SampleBatch
    from plb_ray.ingest.prometheus import Page

LOG = logging.getLogger("plb.ingest")
OVERLAP_STEPS = 15
FIRST_PAGE_STEPS = 60
PAGE_SAMPLES = 20_000  # about half a megabyte of JSON, a few milliseconds to read


class Source(Protocol):
    """Where samples come from."""

    async def read(self, first_s: int, end_s: int) -> Page: ...


@dataclass(frozen=True)
class Pace:
    """How far back, and how often.

    Attributes:
        step_s: length of the history's steps.
        every_s: between the starts of two rounds, > 0.
        backfill_s: how far the first round goes back, >= 0.
    """

    step_s: int
    every_s: float
    backfill_s: float


class Follower:
    """Brings what a source has to whoever takes it.

    Args:
        source: asked for whole steps.
        take: puts samples into the history.
        report: told after each round what went wrong in it, in one sentence; empty if nothing did.
        clock: the history's.
        pace: see there.
    """

    def __init__(
        self,
        source: Source,
        take: Callable[[SampleBatch], Awaitable[PushOutcome]],
        report: Callable[[str], None],
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._source = source
        self._take = take
        self._report = report
        self._clock = clock
        self._pace = pace
        self._page_steps = FIRST_PAGE_STEPS
        self._read_until_s: int | None = None

    async def run(self) -> None:
        """Make rounds until cancelled."""
        while True:
            started_s = self._clock.now_s()
            self._report(await self.round())
            await self._clock.sleep_until(started_s + self._pace.every_s)

    async def round(self) -> str:
        """Bring what is new; return what went wrong, in one sentence."""
        try:
            await self._catch_up()
        except PlbError as error:
            LOG.warning("history: samples could not be fetched: %s", error)
            return str(error)
        except Exception as error:
            LOG.exception("history: samples could not be fetched")
            return f"unexpected {type(error).__name__}: {error}"
        return ""

    async def _catch_up(self) -> None:
        step_s = self._pace.step_s
        end_s = int(self._clock.now_s() // step_s) * step_s
        first_s = self._first_s(end_s)
        outcome = PushOutcome()
        while first_s < end_s:
            until_s = min(end_s, first_s + self._page_steps * step_s)
            page = await self._source.read(first_s, until_s)
            outcome = outcome.plus(page.outcome).plus(await self._take(page.batch))
            self._page_steps = max(1, min(POINTS_MAX - 2, PAGE_SAMPLES // max(1, len(page.batch.series))))
            first_s = self._read_until_s = until_s
        _log(outcome)

    def _first_s(self, end_s: int) -> int:
        step_s = self._pace.step_s
        if self._read_until_s is None:
            self._read_until_s = end_s - int(self._pace.backfill_s // step_s) * step_s
            return self._read_until_s
        return min(self._read_until_s, end_s) - OVERLAP_STEPS * step_s


def _log(outcome: PushOutcome) -> None:
    told = " ".join(f"{name}={value}" for name, value in vars(outcome).items() if value and name != "reasons")
    if outcome.refused:
        LOG.warning("history: fetched %s; for example: %s", told, outcome.reasons[0] if outcome.reasons else "")
    elif outcome.new or outcome.late or outcome.replaced:
        LOG.info("history: fetched %s", told)
