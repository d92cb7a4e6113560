"""A queue whose seconds are trace seconds: what the control loop is given when a replay runs in compressed time.

Amounts (messages, bytes in memory, CPU as a share of capacity) do not depend on the speed; amounts per second and ages do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from plb_ray.clock import ScaledClock
    from plb_ray.control.ports import Queue
    from plb_ray.domain.load import LoadSnapshot, OrderParamLoad, ResourceVector, Shard, ShardLoad
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest


class ScaledQueue:
    """Implements `plb_ray.control.ports.Queue` over another queue, in the time of a `ScaledClock`."""

    def __init__(self, queue: Queue, clock: ScaledClock) -> None:
        self._queue = queue
        self._clock = clock

    async def shards(self) -> tuple[Shard, ...]:
        """See `Queue`."""
        return tuple(replace(shard, capacity=self._per_trace_s(shard.capacity)) for shard in await self._queue.shards())

    async def mapping(self) -> Mapping:
        """See `Queue`."""
        return await self._queue.mapping()

    async def load_metrics(self) -> LoadSnapshot:
        """See `Queue`."""
        snapshot = await self._queue.load_metrics()
        at_s = self._clock.now_s()
        return replace(snapshot, at_s=at_s, shards=tuple(self._scaled(report, at_s) for report in snapshot.shards))

    def migrate(self, request: MigrationRequest) -> AsyncGenerator[MigrationRecord, None]:
        """See `Queue`. Pauses stay in real milliseconds."""
        return self._queue.migrate(request)

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        """See `Queue`."""
        return await self._queue.migrations(limit)

    async def migration(self, migration_id: str) -> MigrationRecord:
        """See `Queue`."""
        return await self._queue.migration(migration_id)

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """See `Queue`."""
        return await self._queue.timeline(migration_id)

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """See `Queue`."""
        return await self._queue.cancel(migration_id)

    def _scaled(self, report: ShardLoad, at_s: float) -> ShardLoad:
        order_params = tuple(self._aged(load) for load in report.order_params)
        return replace(
            report,
            at_s=at_s,
            use=self._per_trace_s(report.use),
            order_params=order_params,
            cpu_core_s_total=report.cpu_core_s_total * self._clock.speed,  # the same share of more seconds
        )

    def _aged(self, load: OrderParamLoad) -> OrderParamLoad:
        return replace(load, oldest_age_s=load.oldest_age_s * self._clock.speed)

    def _per_trace_s(self, amount: ResourceVector) -> ResourceVector:
        return replace(amount, io_bytes_per_s=amount.io_bytes_per_s / self._clock.speed)
