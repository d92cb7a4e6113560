"""Runs one migration: writes each record to the journal, carries out the command, feeds what happened back into `step`.

An executor may be dropped at any await (its process dies, its task is cancelled): `Event.RECOVERED` on a new one, made from
the journal's record, finishes what it began.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import PlbError, RetryableError
from plb_ray.migration.actions import Actions, Outcome
from plb_ray.migration.protocol import Command, Event, cancellable, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.actions import Surroundings

log = logging.getLogger(__name__)

_WAIT_AFTER = frozenset({Event.FAILED, Event.UNANSWERED, Event.LACKING, Event.SOURCE_PAUSED})


class Executor:
    """One migration in progress. `record` is its newest state, copy progress included.

    Args:
        record: at PREPARE for a new migration, or as the journal has it.
        around: shards, journal, mapping, settings and clocks.
        notify: called with each new record, after it is in the journal.
    """

    def __init__(self, record: MigrationRecord, around: Surroundings, notify: Callable[[MigrationRecord], None]) -> None:
        self.record = record
        self._around = around
        self._notify = notify
        self._cancelled = asyncio.Event()
        self._actions = Actions(record, around, self._note)
        self._journaled: tuple[MigrationStep, str] | None = None
        self._failures = 0

    def cancel(self) -> None:
        """Ask to stop; it is heard until SEAL is sent."""
        self._cancelled.set()

    async def run(self, event: Event) -> MigrationRecord:
        """Go from STARTED or RECOVERED to the end and return the terminal record.

        Past the commit point this returns only when the migration is done, however long shards are away.
        """
        outcome = Outcome(event)
        while True:
            before = self.record.step
            record, command = step(self.record, outcome.event, outcome.why)
            self._failures = 0 if record.step is not before else self._failures
            await self._write(record)
            if command is None:
                return self.record
            if outcome.event in _WAIT_AFTER and command is not Command.UNDO:
                await self._wait(outcome, command)
            outcome = await self._perform(command)

    async def _write(self, record: MigrationRecord) -> None:
        """Journal a record whose step or error is new; try until the journal takes it (the lease bounds the pause)."""
        key = (record.step, record.error)
        if key == self._journaled:
            return
        if record.step.terminal:
            record = replace(record, finished_s=self._around.now_s())
        sealed = self._actions.sealed if record.step is MigrationStep.SEALED else None
        failures = 0
        while True:
            try:
                await self._around.journal.write(record, sealed)
                break
            except RetryableError as error:
                failures += 1
                log.warning("migration %s: the journal does not take %s: %s", record.migration_id, record.step, error)
                await self._around.sleep(self._around.settings.retry_s(failures))
        self._journaled = key
        self._note(record)

    def _note(self, record: MigrationRecord) -> None:
        self.record = record
        self._notify(record)

    async def _wait(self, outcome: Outcome, command: Command) -> None:
        self._failures += 1
        if outcome.why and self._failures.bit_count() == 1:  # the first, 2nd, 4th, 8th ...: a dead shard fills no log
            log.warning(
                "migration %s of %r: %s, attempt %d; next: %s",
                self.record.migration_id,
                self.record.order_param,
                outcome.why,
                self._failures,
                command,
            )
        await self._around.sleep(self._around.settings.retry_s(self._failures))

    async def _perform(self, command: Command) -> Outcome:
        """Carry out a command. Whatever goes wrong becomes an event: a migration must not stop half-way."""
        try:
            if cancellable(self.record):
                return await self._unless_cancelled(self._actions.perform(command, self.record))
            return await self._actions.perform(command, self.record)
        except (PlbError, TimeoutError) as error:
            why = f"{command} failed: {str(error) or type(error).__name__}"
        except Exception as error:  # a bug in an adapter must be undone or retried like any other failure
            log.exception("migration %s: %s failed unexpectedly", self.record.migration_id, command)
            why = f"{command} failed unexpectedly: {type(error).__name__}: {error}"
        asked = command in (Command.ASK_SOURCE, Command.ASK_DESTINATION)
        return Outcome(Event.UNANSWERED if asked else Event.FAILED, why)

    async def _unless_cancelled(self, action: Awaitable[Outcome]) -> Outcome:
        """Carry out a command; when the migration is cancelled meanwhile, drop it."""
        work = asyncio.ensure_future(action)
        stop = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not self._cancelled.is_set():
                return await work
        finally:
            stop.cancel()
            if not work.done():
                work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return Outcome(Event.CANCELLED, "cancelled on request")
