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
from plb_ray.migration.actions import Actions
from plb_ray.migration.hands import Outcome
from plb_ray.migration.protocol import BEHIND, Command, Event, cancellable, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.hands import Surroundings

log = logging.getLogger(__name__)

PAUSE_ANSWER_S = 0.5
_WAIT_AFTER = frozenset({Event.FAILED, Event.UNANSWERED, Event.LACKING, Event.SOURCE_PAUSED})


class Executor:
    """One migration in progress. `record` is its newest state, copy progress included.

    Args:
        record: at PREPARE for a new migration, or as the journal has it.
        around: shards, journal, mapping, settings and clocks.
        notify: called with each new record: after it is in the journal, unless it is of `BEHIND`.
    """

    def __init__(self, record: MigrationRecord, around: Surroundings, notify: Callable[[MigrationRecord], None]) -> None:
        self.record = record
        self._around = around
        self._notify = notify
        self._cancelled = asyncio.Event()
        self._actions = Actions(record, around, self._note)
        self._written: tuple[MigrationStep, str] | None = None
        self._owed: list[MigrationRecord] = []  # to the journal
        self._failures = 0

    def cancel(self) -> None:
        """Ask to stop; it is heard until SEAL is sent."""
        self._cancelled.set()

    async def run(self, event: Event) -> MigrationRecord:
        """Go from STARTED or RECOVERED to the end and return the terminal record.

        Past the commit point this returns only when the migration is done, however long shards are away.
        """
        try:
            return await self._run(Outcome(event))
        finally:
            self._actions.drop()

    async def _run(self, outcome: Outcome) -> MigrationRecord:
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
        """Journal a record whose step or error is new, at once or with the next one that has to wait for the journal."""
        key = (record.step, record.error)
        if key == self._written:
            return
        self._written = key
        now_s = self._around.now_s()
        record = replace(record, at_s=now_s, finished_s=now_s if record.step.terminal else None)
        self._owed.append(record)
        if record.step not in BEHIND or record.error:
            await self._pay()
        self._note(record)

    async def _pay(self) -> None:
        """Journal what is owed, in order and in one go; try until the journal takes it (the lease bounds the pause)."""
        failures = 0
        while self._owed:
            results = await asyncio.gather(*map(self._journaled, self._owed), return_exceptions=True)
            taken = next((place for place, result in enumerate(results) if result is not None), len(results))
            error = results[taken] if taken < len(results) else None
            del self._owed[:taken]
            if error is None:
                continue
            if not isinstance(error, RetryableError):
                raise error
            failures += 1
            log.warning("migration %s: the journal does not take it: %s", self.record.migration_id, error)
            await self._around.sleep(self._around.settings.retry_s(failures))

    async def _journaled(self, record: MigrationRecord) -> None:
        sealed = self._actions.sealed if record.step is MigrationStep.SEALED else None
        await self._around.journal.write(record, sealed)

    def _note(self, record: MigrationRecord) -> None:
        self.record = record
        self._notify(record)

    async def _wait(self, outcome: Outcome, command: Command) -> None:
        """Journal how far it has come, and wait: who waits for a shard must not depend on anybody's memory."""
        await self._pay()
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
                return await self._unless_cancelled(command)
            return await self._actions.perform(command, self.record)
        except (PlbError, TimeoutError) as error:
            why = f"{command} failed: {str(error) or type(error).__name__}"
        except Exception as error:  # a bug in an adapter must be undone or retried like any other failure
            log.exception("migration %s: %s failed unexpectedly", self.record.migration_id, command)
            why = f"{command} failed unexpectedly: {type(error).__name__}: {error}"
        asked = command in (Command.ASK_SOURCE, Command.ASK_DESTINATION)
        return Outcome(Event.UNANSWERED if asked else Event.FAILED, why)

    async def _unless_cancelled(self, command: Command) -> Outcome:
        """Carry out a command; when the migration is cancelled meanwhile, drop it.

        The answer of a PAUSE is waited for a little: an abort that overtakes it would leave a pause for the whole lease.
        """
        work = asyncio.ensure_future(self._actions.perform(command, self.record))
        work.add_done_callback(_looked_at)
        stop = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not self._cancelled.is_set():
                return await work
            if command is Command.PAUSE:
                await asyncio.wait({work}, timeout=PAUSE_ANSWER_S)
        finally:
            stop.cancel()
            if not work.done():
                work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return Outcome(Event.CANCELLED, "cancelled on request")


def _looked_at(work: asyncio.Future[Outcome]) -> None:
    """Look at the outcome of a command that may have been dropped, so that asyncio does not complain."""
    if not work.cancelled():
        work.exception()
