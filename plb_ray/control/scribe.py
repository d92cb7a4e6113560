"""Writes down what the balancer does by itself. Entries wait in memory until the log has taken them, in their order.

What goes with a decision is awaited before it is carried out, and not written if that fails (`write`). The rest is noted
from wherever it happens, also from a thread (`note`), and written at once in the background. A log that does not answer is
tried again with the next entry or tick; entries beyond WAITING_MOST are dropped then, and that is told.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from plb_ray.domain.audit import BALANCER, AuditEntry
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import PlbError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plb_ray.control.feedback import ModelKeeper
    from plb_ray.control.ports import AuditLog, ProvidedShard, ShardProvider
    from plb_ray.domain.migration import MigrationRecord

LOG = logging.getLogger("plb.audit")
WAITING_MOST = 10_000


class Scribe:
    """See the module. `note` may be called from any thread, everything else belongs to one event loop.

    Args:
        log: where entries are kept.
        now_s: wall time.

    Attributes:
        log: where entries are kept; to be read, too.
        error: why the log did not take the last entries, in one sentence; empty if it did.
    """

    def __init__(self, log: AuditLog, now_s: Callable[[], float]) -> None:
        self.log = log
        self.error = ""
        self._now_s = now_s
        self._waiting: list[AuditEntry] = []
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flushing: asyncio.Task[None] | None = None

    def entry(self, action: str, target: str = "", outcome: str = "done", detail: str = "") -> AuditEntry:
        """Return an entry about what the balancer does now."""
        return AuditEntry(0, self._now_s(), BALANCER, "", action, target, outcome, detail)

    def note(self, action: str, target: str = "", outcome: str = "done", detail: str = "") -> None:
        """Add an entry about the balancer itself; it is written soon."""
        with self._lock:
            self._waiting.append(self.entry(action, target, outcome, detail))
            if len(self._waiting) > WAITING_MOST:
                del self._waiting[0]
                self.error = f"audit log: more than {WAITING_MOST} entries wait for the journal; the oldest are dropped"
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._start)

    async def write(self, entries: Sequence[AuditEntry] = ()) -> None:
        """Write what waits, and these entries after it. What waited stays if the log does not take it; `error` says why.

        Raises:
            RetryableError: `entries` were not written, and will not be.
        """
        self._loop = asyncio.get_running_loop()
        async with self._turn:
            with self._lock:
                taken = list(self._waiting)
            if not taken and not entries:
                return
            try:
                await self.log.append([*taken, *entries])
            except PlbError as error:
                self._failed(error)
                if entries:
                    raise
                return
            with self._lock:
                del self._waiting[: len(taken)]
            self.error = ""

    async def close(self) -> None:
        """Write what waits, the last time."""
        if self._flushing is not None:
            await self._flushing
        await self.write()

    def migration_step(self, record: MigrationRecord) -> None:
        """Note the end of a migration; other steps are in its timeline."""
        if record.step.terminal:
            done = record.step is MigrationStep.DONE
            way = f"{record.order_param}: {record.source} -> {record.destination}"
            outcome = "done" if done else "rolled back"
            self.note("migration.ended", record.migration_id, outcome, way if done else f"{way}; {record.error}")

    def migration_dropped(self, migration_id: str, why: str) -> None:
        """Note that a move that was ordered is not begun after all."""
        self.note("migration.dropped", migration_id, "not begun", why)

    def _start(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self.write(), name="write the audit log")

    def _failed(self, error: PlbError) -> None:
        told = f"audit log: {error}"
        if told != self.error:
            LOG.warning("%s; %d entries wait", told, len(self._waiting))
        self.error = told


class NotingProvider:
    """A provider of shards whose acts are noted; implements `plb_ray.control.ports.ShardProvider`."""

    def __init__(self, provider: ShardProvider, scribe: Scribe) -> None:
        self._provider = provider
        self._scribe = scribe

    async def shards(self) -> tuple[ProvidedShard, ...]:
        """See the port."""
        return await self._provider.shards()

    async def scale_out(self, count: int, shard_type: str) -> tuple[str, ...]:
        """See the port."""
        try:
            started = await self._provider.scale_out(count, shard_type)
        except PlbError as error:
            self._scribe.note("shard.started", shard_type, error.reason, f"{count} were wanted: {error}")
            raise
        for shard_id in started:
            self._scribe.note("shard.started", shard_id, detail=f"of type {shard_type}")
        return started

    async def drain(self, shard_id: str) -> None:
        """See the port."""
        await self._provider.drain(shard_id)
        self._scribe.note("shard.draining", shard_id)

    async def keep(self, shard_id: str) -> None:
        """See the port."""
        await self._provider.keep(shard_id)
        self._scribe.note("shard.kept", shard_id)

    async def remove(self, shard_id: str) -> bool:
        """See the port."""
        left = await self._provider.remove(shard_id)
        if left:
            self._scribe.note("shard.left", shard_id)
        return left


class NotingKeeper:
    """A keeper of models whose demotions are noted; implements `plb_ray.control.feedback.ModelKeeper`."""

    def __init__(self, keeper: ModelKeeper, scribe: Scribe) -> None:
        self._keeper = keeper
        self._scribe = scribe

    def demote(self, horizon: str, reason: str, at_s: float) -> None:
        """See the port."""
        self._keeper.demote(horizon, reason, at_s)
        self._scribe.note("champion.demoted", horizon, "the baseline serves", reason)
