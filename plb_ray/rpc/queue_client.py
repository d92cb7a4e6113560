"""A queue system over gRPC: `plb_ray.control.ports.Queue` against any implementation of `QueueControl`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.errors import ShardUnavailableError
from plb_ray.rpc import convert
from plb_ray.rpc.channel import CALL_TIMEOUT_S, TlsFiles, open_channel
from plb_ray.rpc.errors import Peer, answer, answers
from plb_ray.rpc.traced import traced
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlStub

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from plb_ray.domain.load import LoadSnapshot, Shard
    from plb_ray.domain.mapping import Mapping
    from plb_ray.domain.migration import MigrationRecord, MigrationRequest


class QueueClient:
    """Implements `plb_ray.control.ports.Queue`.

    Args:
        endpoint: `host:port` of the queue's QueueControl.
        timeout_s: of a unary call.
        tls: encrypts; None: plain.

    Raises:
        BadInputError: a file of `tls` cannot be read.
    """

    def __init__(self, endpoint: str, timeout_s: float = CALL_TIMEOUT_S, tls: TlsFiles | None = None) -> None:
        self._peer = Peer("queue", endpoint)
        self._timeout_s = timeout_s
        self._channel = open_channel(endpoint, tls)
        self._stub: Any = traced(QueueControlStub(self._channel))

    async def close(self) -> None:
        """Close the connection; running calls are cancelled."""
        await self._channel.close()

    async def shards(self) -> tuple[Shard, ...]:
        """See `Queue`."""
        found = await self._read(self._stub.ListShards(pb.ListShardsRequest(), timeout=self._timeout_s))
        return tuple(convert.shard_from_pb(shard) for shard in found.shards)

    async def mapping(self) -> Mapping:
        """See `Queue`. Costs one message of some 60 bytes per order param."""
        call = self._stub.WatchAllocations(pb.WatchAllocationsRequest(), timeout=self._timeout_s)
        updates = answers(call, self._peer, mutating=False)
        try:
            async for update in updates:
                if update.complete:
                    return convert.mapping_from_pb(update)
        finally:
            await updates.aclose()
        raise ShardUnavailableError("queue", self._peer.endpoint, "WatchAllocations ended without the mapping")

    async def load_metrics(self) -> LoadSnapshot:
        """See `Queue`."""
        found = await self._read(self._stub.GetLoadMetrics(pb.GetLoadMetricsRequest(), timeout=self._timeout_s))
        return convert.snapshot_from_pb(found)

    async def migrate(self, request: MigrationRequest) -> AsyncGenerator[MigrationRecord, None]:
        """See `Queue`. A stream that breaks cancels nothing: call again with the same request to go on following."""
        call = self._stub.MigrateOrderParam(convert.migration_request_to_pb(request))
        async for message in answers(call, self._peer, mutating=True):
            yield convert.migration_from_pb(message)

    async def migrations(self, limit: int) -> tuple[MigrationRecord, ...]:
        """See `Queue`."""
        request = pb.ListMigrationsRequest(limit=limit)
        found = await self._read(self._stub.ListMigrations(request, timeout=self._timeout_s))
        return tuple(convert.migration_from_pb(message) for message in found.migrations)

    async def migration(self, migration_id: str) -> MigrationRecord:
        """See `Queue`."""
        request = pb.GetMigrationRequest(migration_id=migration_id)
        return convert.migration_from_pb(await self._read(self._stub.GetMigration(request, timeout=self._timeout_s)))

    async def timeline(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """See `Queue`."""
        request = pb.GetMigrationRequest(migration_id=migration_id)
        found = await self._read(self._stub.GetMigrationTimeline(request, timeout=self._timeout_s))
        return tuple(convert.migration_from_pb(message) for message in found.records)

    async def cancel(self, migration_id: str) -> MigrationRecord:
        """See `Queue`."""
        call = self._stub.CancelMigration(pb.CancelMigrationRequest(migration_id=migration_id), timeout=self._timeout_s)
        return convert.migration_from_pb(await answer(call, self._peer, mutating=True))

    async def _read(self, call: Any) -> Any:
        return await answer(call, self._peer, mutating=False)
