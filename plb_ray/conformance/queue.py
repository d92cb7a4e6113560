"""QueueControl's calls, over bare stubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.conformance.shard import Stubs
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlStub

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc

    from plb_ray.rpc.channel import TlsFiles


class QueueUnderTest:
    """A queue. `shards` are those that it listed when the kit connected, shard id -> endpoint; `tls` is for them, too."""

    def __init__(self, endpoint: str, channel: grpc.aio.Channel, shards: dict[str, str], tls: TlsFiles | None) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.shards = shards
        self.tls = tls
        self.calls = Stubs(QueueControlStub(channel))

    async def allocate(self, name: str, shards: Sequence[str]) -> pb.Placement:
        return await self.calls.one("AllocateShards", pb.AllocateShardsRequest(order_param=name, shards=shards))

    async def resolve(self, name: str, *, create: bool = False) -> pb.Placement:
        return await self.calls.one("ResolveOrderParam", pb.ResolveOrderParamRequest(order_param=name, create=create))

    async def migrate(self, name: str, source: str, destination: str, request_id: str, **more: Any) -> list[pb.Migration]:
        """Follow a migration to its end and return its records."""
        return await self.calls.many("MigrateOrderParam", migrate_request(name, source, destination, request_id, **more))

    async def migration(self, migration_id: str) -> pb.Migration:
        return await self.calls.one("GetMigration", pb.GetMigrationRequest(migration_id=migration_id))

    async def timeline(self, migration_id: str) -> list[pb.Migration]:
        found = await self.calls.one("GetMigrationTimeline", pb.GetMigrationRequest(migration_id=migration_id))
        return list(found.records)

    async def migrations(self, limit: int, *, active_only: bool = False) -> list[pb.Migration]:
        request = pb.ListMigrationsRequest(active_only=active_only, limit=limit)
        return list((await self.calls.one("ListMigrations", request)).migrations)

    async def cancel(self, migration_id: str) -> pb.Migration:
        return await self.calls.one("CancelMigration", pb.CancelMigrationRequest(migration_id=migration_id))

    async def load_metrics(self, *shards: str) -> pb.LoadMetrics:
        return await self.calls.one("GetLoadMetrics", pb.GetLoadMetricsRequest(shards=shards))


def migrate_request(name: str, source: str, destination: str, request_id: str, **more: Any) -> Any:
    """Return the request of a migration; `more` are its other fields."""
    return pb.MigrateOrderParamRequest(
        order_param=name, source_shard=source, destination_shard=destination, request_id=request_id, **more
    )
