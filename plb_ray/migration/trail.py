"""The trail of one running migration: its records so far, for any number of followers that come and go."""

from __future__ import annotations

import asyncio
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationStep
from plb_ray.migration.protocol import BEHIND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from plb_ray.domain.migration import MigrationRecord


LATER_S = 0.05
_PAUSED = BEHIND | {MigrationStep.SEALING}


class Trail:
    """Grows by one record per change of step (some ten in all), so that a late follower sees each of them.

    Progress within a step only changes `latest`. While the order param is paused followers are told a little later, since
    telling them takes time that the pause would last longer. A trail that breaks off (the journal is closed, say) passes
    the cause on to its followers.
    """

    def __init__(self, first: MigrationRecord) -> None:
        self._records = [first]
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self.latest = first

    def add(self, record: MigrationRecord) -> None:
        """Take a record; followers are woken when its step or its error differs from the last one's."""
        self.latest = record
        last = self._records[-1]
        if _key(record) != _key(last):
            self._records.append(record)
            if record.step in _PAUSED and not record.error:
                asyncio.get_running_loop().call_later(LATER_S, self._wake)
            else:
                self._wake()
        elif not last.at_s:  # the first record of all is followed before the journal has it
            self._records[-1] = record

    def after(self, written: Sequence[MigrationRecord]) -> tuple[MigrationRecord, ...]:
        """Return every record: those that were written before this trail began, then its own, the last one with progress.

        Args:
            written: the journal's, which may be behind.
        """
        before = takewhile(lambda record: _key(record) != _key(self._records[0]), written)
        return (*distinct(tuple(before)), *self._records[:-1], self.latest)

    def break_off(self, failure: BaseException) -> None:
        """End the trail without a terminal record."""
        self._failure = failure
        self._wake()

    async def follow(self) -> AsyncIterator[MigrationRecord]:
        """Yield every record from the first on; ends after the terminal one."""
        seen = 0
        while True:
            while seen < len(self._records):
                seen += 1
                yield self._records[seen - 1]
            if self._records[-1].step.terminal:
                return
            if self._failure is not None:
                raise self._failure
            await self._changed.wait()

    async def end(self) -> MigrationRecord:
        """Return the terminal record when it is there."""
        async for _ in self.follow():
            pass
        return self.latest

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def distinct(records: Sequence[MigrationRecord]) -> tuple[MigrationRecord, ...]:
    """Leave out records that repeat the step and the error before them, as a recovery writes one."""
    return tuple(next(group) for _, group in groupby(records, _key))


def _key(record: MigrationRecord) -> tuple[str, str]:
    return record.step, record.error
