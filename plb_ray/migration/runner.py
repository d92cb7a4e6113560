"""All migrations of one coordinator: starts them within limits, lets callers join, follow and cancel, and recovers them.

A migration runs as a task of its own; nobody who follows it can stop it by going away. One migration per order param at a
time, and at most as many as the limits say that still move something: one that only drains (MAPPED) does not count, since
its order param is served by the destination already and a source that is away for long must not block the others.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plb_ray.context import named
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.errors import (
    BadInputError,
    MigrationConflictError,
    RetryableError,
    StaleEpochError,
    TooManyMigrationsError,
    UnknownMigrationError,
    UnknownOrderParamError,
    UnknownShardError,
)
from plb_ray.migration.executor import Executor
from plb_ray.migration.protocol import Event, cancellable
from plb_ray.migration.trail import Trail, distinct
from plb_ray.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plb_ray.domain.migration import MigrationRequest
    from plb_ray.migration.hands import Surroundings
    from plb_ray.migration.live_mapping import LiveMapping

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunnerLimits:
    """How many migrations may move something at once: in all, and with one shard as source or destination."""

    in_flight: int
    per_shard: int


@dataclass(frozen=True)
class _Running:
    executor: Executor
    trail: Trail
    task: asyncio.Task[MigrationRecord]


class Runner:
    """See the module. Belongs to one event loop.

    Args:
        around: what all migrations share.
        mapping: the same mapping as in `around`, to read owners from.
        limits: on migrations that move something.
        require_open: refuses shards that take nothing with a MigrationConflictError.
    """

    def __init__(
        self,
        around: Surroundings,
        mapping: LiveMapping,
        limits: RunnerLimits,
        require_open: Callable[[Iterable[str]], None],
    ) -> None:
        self._require_open = require_open
        self._around = around
        self._mapping = mapping
        self._limits = limits
        self._running: dict[str, _Running] = {}

    async def start(self, request: MigrationRequest) -> Trail:
        """Start a migration, or join the one with this request id, running or ended.

        Raises:
            BadInputError, UnknownOrderParamError, UnknownShardError, MigrationConflictError, TooManyMigrationsError.
        """
        if not request.request_id:
            raise BadInputError("a migration needs a request id; choose one that is used for nothing else")
        known = await self._find(request.request_id)
        if known is None:
            return self._launch(self._admitted(request), Event.STARTED)
        wanted = (request.order_param, request.source, request.destination, request.mode)
        if (known.order_param, known.source, known.destination, known.mode) != wanted:
            raise MigrationConflictError(f"request id {request.request_id!r} is taken by another migration; choose another")
        running = self._running.get(request.request_id)
        return running.trail if running else Trail(known)

    def recover(self, record: MigrationRecord) -> Trail:
        """Finish a migration that another process began; a record of the journal."""
        return self._launch(record, Event.RECOVERED)

    async def get(self, migration_id: str) -> MigrationRecord:
        """Return a migration's newest record, progress included.

        Raises:
            UnknownMigrationError.
        """
        record = await self._find(migration_id)
        if record is None:
            raise UnknownMigrationError(migration_id)
        return record

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """Return every record of a migration, in order; the last one with its progress, if it runs.

        Raises:
            UnknownMigrationError.
        """
        running = self._running.get(migration_id)  # looked at first: what runs may end, or go on, while the journal is read
        written = await self._around.journal.history(migration_id)
        if running is not None:
            return running.trail.after(written)
        if not written:
            raise UnknownMigrationError(migration_id)
        return distinct(written)

    async def recent(self, limit: int) -> tuple[MigrationRecord, ...]:
        """Return the migrations that started last, newest first."""
        records = await self._around.journal.recent(limit)
        return tuple(self._newest(record) for record in records)

    def active(self) -> tuple[MigrationRecord, ...]:
        """Return the migrations that have not ended, newest first."""
        latest = (running.trail.latest for running in reversed(self._running.values()))
        return tuple(record for record in latest if not record.step.terminal)

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """Roll a migration back and return its record when that is done, or was done before.

        Raises:
            UnknownMigrationError.
            StaleEpochError: it is (or may be) past its commit point and goes on.
        """
        record = await self.get(migration_id)
        running = self._running.get(migration_id)
        if running is not None and cancellable(record):
            running.executor.cancel()
        if running is not None:
            async for record in running.trail.follow():
                if not (record.step.terminal or record.error or cancellable(record)):
                    break
        if record.step is not MigrationStep.ABORTED:
            raise StaleEpochError(record.order_param, given=record.epoch, current=record.epoch + 1)
        return record

    async def settled(self) -> None:
        """Return when no migration runs."""
        while self._running:
            await asyncio.wait([running.task for running in self._running.values()])

    async def close(self) -> None:
        """Drop what runs, as a crash would; recovery finishes it."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, migration_id: str) -> MigrationRecord | None:
        """Return the newest record; what does not run has ended, and the journal knows how. No await after the last look."""
        if migration_id not in self._running:
            journaled = await self._around.journal.get(migration_id)
            if migration_id not in self._running:
                return journaled
        return self._running[migration_id].trail.latest

    def _admitted(self, request: MigrationRequest) -> MigrationRecord:
        """Check a new request and return its first record."""
        if request.source == request.destination:
            raise BadInputError(f"source and destination are both {request.source!r}; a migration needs two shards")
        for shard_id in (request.source, request.destination):
            if shard_id not in self._around.shards:
                raise UnknownShardError(shard_id)
        self._require_open((request.destination,))
        placement = self._mapping.get(request.order_param)
        if placement is None:
            raise UnknownOrderParamError(request.order_param)
        self._require_free(request)
        if placement.owner != request.source:
            raise MigrationConflictError(f"{request.order_param!r} lives on {placement.owner!r}, not on {request.source!r}")
        return MigrationRecord(
            migration_id=request.request_id,
            order_param=request.order_param,
            source=request.source,
            destination=request.destination,
            epoch=placement.epoch,
            step=MigrationStep.PREPARE,
            reason=request.reason,
            mode=request.mode,
            started_s=self._around.now_s(),
        )

    def _require_free(self, request: MigrationRequest) -> None:
        active = self.active()
        other = next((record for record in active if record.order_param == request.order_param), None)
        if other is not None:
            raise MigrationConflictError(
                f"{request.order_param!r} is in migration {other.migration_id!r} already; wait for its end"
            )
        moving = [record for record in active if record.step is not MigrationStep.MAPPED]
        if len(moving) >= self._limits.in_flight:
            raise TooManyMigrationsError(f"{len(moving)} migrations run already, the most at once; try again later")
        for shard_id in (request.source, request.destination):
            busy = sum(shard_id in (record.source, record.destination) for record in moving)
            if busy >= self._limits.per_shard:
                raise TooManyMigrationsError(f"{busy} migrations have shard {shard_id!r} in hand already; try again later")

    def _launch(self, record: MigrationRecord, event: Event) -> Trail:
        trail = Trail(record)
        executor = Executor(record, self._around, trail.add)
        task = asyncio.create_task(_run(executor, event), name=f"migration {record.migration_id}")
        self._running[record.migration_id] = _Running(executor, trail, task)
        task.add_done_callback(lambda done: self._ended(record.migration_id, done))  # also if it never got to run
        return trail

    def _ended(self, migration_id: str, task: asyncio.Task[MigrationRecord]) -> None:
        running = self._running.pop(migration_id)
        if task.cancelled():
            stopped = (
                f"the coordinator stops; it goes on with migration {migration_id} when it is back, repeat the request then"
            )
            running.trail.break_off(RetryableError(stopped))
        elif (error := task.exception()) is not None:
            log.error("migration %s stopped; the next start recovers it", migration_id, exc_info=error)
            running.trail.break_off(error)

    def _newest(self, record: MigrationRecord) -> MigrationRecord:
        running = self._running.get(record.migration_id)
        return running.trail.latest if running else record


async def _run(executor: Executor, event: Event) -> MigrationRecord:
    """Run a migration as one piece of work, with its id in the log and a span of its own."""
    record = executor.record
    known = {"order_param": record.order_param, "source": record.source, "destination": record.destination}
    with named(migration=record.migration_id), span("migration", migration__id=record.migration_id, **known) as here:
        ended = await executor.run(event)
        here.note(migration__step=ended.step.value, migration__error=ended.error or None)
        return ended
