"""The QueueControl servicer: the contract's queue side, over anything that controls a queue (our coordinator is one)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from plb_ray.domain.mapping import Mapping
from plb_ray.errors import BadInputError
from plb_ray.rpc import convert
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlServicer as GeneratedServicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from plb_ray.domain.load import LoadSnapshot, Shard
    from plb_ray.domain.mapping import Placement
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest
    from plb_ray.migration.live_mapping import MappingChange

LIST_DEFAULT = 100
WATCH_S_DEFAULT = 1.0
WATCH_S_MIN = 0.05


class ControlledQueue(Protocol):
    """What the servicer is over."""

    @property
    def endpoints(self) -> dict[str, str]: ...
    async def load_metrics(self, shards: Sequence[str] = ()) -> LoadSnapshot: ...
    async def resolve(self, order_param: str, *, create: bool = False) -> Placement: ...
    async def allocate(self, order_param: str, shards: Sequence[str]) -> Placement: ...
    async def migration(self, migration_id: str) -> MigrationRecord: ...
    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]: ...
    async def cancel(self, migration_id: str) -> MigrationRecord: ...
    def active_migrations(self) -> tuple[MigrationRecord, ...]: ...
    def watch_mapping(self) -> AsyncIterator[MappingChange]: ...
    def migrate(self, request: MigrationRequest) -> AsyncIterator[MigrationRecord]: ...
    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]: ...
    async def shards(self) -> tuple[Shard, ...]: ...


class QueueControlServicer(GeneratedServicer):  # type: ignore[misc]  # generated code has no types
    """See queue.proto. Errors are raised as `PlbError`; the server's interceptor makes statuses of them."""

    def __init__(self, queue: ControlledQueue) -> None:
        self._queue = queue

    async def AllocateShards(self, request: pb.AllocateShardsRequest, _context: Any) -> pb.Placement:  # noqa: N802
        return self._placed(await self._queue.allocate(request.order_param, tuple(request.shards)))

    async def MigrateOrderParam(self, request: Any, _context: Any) -> AsyncIterator[pb.Migration]:  # noqa: N802
        if not request.request_id:
            raise BadInputError("MigrateOrderParam needs a request_id: it makes the call safe to repeat")
        async for record in self._queue.migrate(convert.migration_request_from_pb(request)):
            yield convert.migration_to_pb(record)

    async def GetLoadMetrics(self, request: Any, _context: Any) -> pb.LoadMetrics:  # noqa: N802
        return convert.snapshot_to_pb(await self._queue.load_metrics(tuple(request.shards)))

    async def WatchLoadMetrics(self, request: Any, _context: Any) -> AsyncIterator[pb.LoadMetrics]:  # noqa: N802
        every_s = max(WATCH_S_MIN, request.interval_s or WATCH_S_DEFAULT)
        while True:
            yield convert.snapshot_to_pb(await self._queue.load_metrics(tuple(request.shards)))
            await asyncio.sleep(every_s)

    async def GetMigration(self, request: Any, _context: Any) -> pb.Migration:  # noqa: N802
        return convert.migration_to_pb(await self._queue.migration(request.migration_id))

    async def GetMigrationTimeline(self, request: Any, _context: Any) -> pb.MigrationTimeline:  # noqa: N802
        records = await self._queue.timeline(request.migration_id)
        return pb.MigrationTimeline(records=[convert.migration_to_pb(record) for record in records])

    async def ListMigrations(self, request: Any, _context: Any) -> pb.ListMigrationsResponse:  # noqa: N802
        limit = request.limit or LIST_DEFAULT
        if request.active_only:
            records = self._queue.active_migrations()[:limit]
        else:
            records = await self._queue.migrations(limit)
        return pb.ListMigrationsResponse(migrations=[convert.migration_to_pb(record) for record in records])

    async def CancelMigration(self, request: Any, _context: Any) -> pb.Migration:  # noqa: N802
        return convert.migration_to_pb(await self._queue.cancel(request.migration_id))

    async def ResolveOrderParam(self, request: Any, _context: Any) -> pb.Placement:  # noqa: N802
        return self._placed(await self._queue.resolve(request.order_param, create=request.create))

    async def WatchAllocations(self, _request: Any, _context: Any) -> AsyncIterator[pb.MappingUpdate]:  # noqa: N802
        async for change in self._queue.watch_mapping():
            mapping = Mapping(change.generation, {placement.order_param: placement for placement in change.placements})
            update = convert.mapping_to_pb(mapping, self._queue.endpoints)
            update.complete = change.complete
            yield update

    async def ListShards(self, _request: Any, _context: Any) -> pb.ListShardsResponse:  # noqa: N802
        shards = await self._queue.shards()
        return pb.ListShardsResponse(shards=[convert.shard_to_pb(shard) for shard in shards])

    def _placed(self, placement: Placement) -> pb.Placement:
        return convert.placement_to_pb(placement, self._queue.endpoints)
