"""QueueControl over loopback gRPC: the servicer, and the client that implements the control loop's `Queue` port."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest

from plb_ray.domain.mapping import Placement
from plb_ray.domain.migration import MigrationRequest, MigrationStep
from plb_ray.errors import (
    BadInputError,
    MigrationConflictError,
    ShardUnavailableError,
    StaleEpochError,
    TooManyMigrationsError,
    UnknownMigrationError,
    UnknownOrderParamError,
    UnknownShardError,
)
from plb_ray.migration.runner import RunnerLimits
from plb_ray.rpc.channel import open_channel
from plb_ray.rpc.errors import Peer, plb_error
from plb_ray.rpc.queue_client import QueueClient
from plb_ray.rpc.queue_control import QueueControlServicer
from plb_ray.rpc.server import start_server
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlStub
from tests.migration.world import World


class Served:
    """A world behind QueueControl, the `Queue` client, and the bare stub."""

    def __init__(self, world, client, stub):
        self.world, self.client, self.stub = world, client, stub

    async def refused(self, call):
        """Return the error that a bare call is refused with."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return plb_error(caught.value, Peer("queue", "?"), mutating=True)


@pytest.fixture
async def served():
    world = World()
    coordinator = await world.start()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 6)
    async with contextlib.AsyncExitStack() as stack:
        server = await start_server("127.0.0.1:0", {"QueueControl": QueueControlServicer(coordinator)}, "QueueControl")
        stack.push_async_callback(server.stop, 0)
        client, channel = QueueClient(server.endpoint), open_channel(server.endpoint)
        stack.push_async_callback(client.close)
        stack.push_async_callback(channel.close)
        stack.push_async_callback(coordinator.close)
        yield Served(world, client, QueueControlStub(channel))


def request(**changes):
    return MigrationRequest(**{"request_id": "m1", "order_param": "x", "source": "a", "destination": "b", **changes})


async def test_the_queue_port(served):
    """Through gRPC the control loop sees the same shards, mapping, load and migrations as in one process."""
    coordinator = served.world.coordinator
    assert await served.client.shards() == await coordinator.shards()
    assert await served.client.mapping() == await coordinator.mapping()
    served.world.shards["c"].stop()
    snapshot = await served.client.load_metrics()
    assert [load.shard_id for load in snapshot.shards] == ["a", "b"]
    assert snapshot.shards[0].order_params[0].backlog == 6
    assert "does not answer" in snapshot.missing["c"]
    records = [record async for record in served.client.migrate(request(reason="p90"))]
    assert [record.step for record in records] == [step for step in MigrationStep if step is not MigrationStep.ABORTED]
    assert records[-1] == (await served.client.migrations(5))[0] == await coordinator.migration("m1")
    assert records[-1].reason == "p90"
    assert (await served.client.mapping()).placements["x"] == Placement("x", ("b",), 2)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"order_param": "nobody"}, UnknownOrderParamError),
        ({"destination": "z"}, UnknownShardError),
        ({"destination": "a"}, BadInputError),
        ({"source": "b", "destination": "c"}, MigrationConflictError),
        ({"request_id": ""}, BadInputError),
    ],
)
async def test_refusals_keep_their_type(served, wrong, error):
    """A refused migration raises the same error through gRPC as in one process."""
    with pytest.raises(error):
        async for _ in served.client.migrate(request(**wrong)):
            pass


async def test_cap(served):
    """The cap on migrations arrives as an error that may be retried."""
    coordinator = served.world.coordinator
    coordinator._runner._limits = RunnerLimits(0, 0)
    with pytest.raises(TooManyMigrationsError):
        await anext(served.client.migrate(request()))


async def test_dropping_the_stream_does_not_cancel(served):
    """A client that breaks off the stream leaves the migration running; the same request joins it again."""
    gate = asyncio.Event()
    served.world.plan["a.pause/before"] = gate.wait
    following = served.client.migrate(request())
    assert (await anext(following)).step is MigrationStep.PREPARE
    await following.aclose()
    gate.set()
    records = [record async for record in served.client.migrate(request())]
    assert records[-1].step is MigrationStep.DONE
    assert len(served.world.journal.steps("m1")) == len(MigrationStep) - 1


async def test_placing_and_resolving(served):
    """Placements come with the endpoints of their shards; unknown ones are created on request only."""
    placed = await served.stub.ResolveOrderParam(pb.ResolveOrderParamRequest(order_param="x"))
    assert (placed.shards, placed.endpoints, placed.epoch) == (["a"], ["memory:a"], 1)
    unknown = pb.ResolveOrderParamRequest(order_param="new")
    assert isinstance(await served.refused(served.stub.ResolveOrderParam(unknown)), UnknownOrderParamError)
    created = await served.stub.ResolveOrderParam(pb.ResolveOrderParamRequest(order_param="new", create=True))
    assert served.world.owner("new") == (created.shards[0], 1)
    given = await served.stub.AllocateShards(pb.AllocateShardsRequest(order_param="given", shards=["c"]))
    assert given.endpoints == ["memory:c"]


async def test_allocating_several_shards_gives_a_rotation(served):
    """Several shards are answered as the rotation; the first of them takes the appends, with its endpoint."""
    several = pb.AllocateShardsRequest(order_param="new", shards=["a", "b"])
    for _ in range(2):
        placed = await served.stub.AllocateShards(several)
        assert (list(placed.shards), list(placed.rotation), list(placed.endpoints)) == (["a"], ["a", "b"], ["memory:a"])
    assert served.world.owner("new") == ("a", 1)


async def test_listing_and_cancelling(served):
    """A running migration is listed as active and can be cancelled; one that is done cannot."""
    served.world.plan["a.pause/before"] = asyncio.Event().wait
    following = served.client.migrate(request())
    await anext(following)
    listed = await served.stub.ListMigrations(pb.ListMigrationsRequest(active_only=True))
    assert [migration.migration_id for migration in listed.migrations] == ["m1"]
    cancelled = await served.stub.CancelMigration(pb.CancelMigrationRequest(migration_id="m1"))
    assert cancelled.step == pb.MIGRATION_STEP_ABORTED
    assert [record.step async for record in following][-1] is MigrationStep.ABORTED
    assert not (await served.stub.ListMigrations(pb.ListMigrationsRequest(active_only=True))).migrations
    await served.world.migrate("x", "a", "b", "m2")
    done = await served.stub.GetMigration(pb.GetMigrationRequest(migration_id="m2"))
    assert done.step == pb.MIGRATION_STEP_DONE
    refused = served.stub.CancelMigration(pb.CancelMigrationRequest(migration_id="m2"))
    assert isinstance(await served.refused(refused), StaleEpochError)
    assert isinstance(
        await served.refused(served.stub.GetMigration(pb.GetMigrationRequest(migration_id="nope"))), UnknownMigrationError
    )


async def test_watching_allocations(served):
    """A watcher gets the whole mapping, then each change with the endpoint of the new owner."""
    watching = served.stub.WatchAllocations(pb.WatchAllocationsRequest())
    first = await watching.read()
    assert first.complete
    assert [placement.order_param for placement in first.placements] == ["x"]
    await served.world.migrate("x", "a", "b")
    change = await watching.read()
    assert not change.complete
    assert change.generation == first.generation + 1
    assert [(p.order_param, p.epoch, p.endpoints) for p in change.placements] == [("x", 2, ["memory:b"])]
    watching.cancel()


async def test_watching_load(served):
    """Load is pushed again and again for the shards asked for; an unknown shard is refused."""
    watching = served.stub.WatchLoadMetrics(pb.WatchLoadMetricsRequest(shards=["a"], interval_s=0.01))
    for _ in range(3):
        assert [load.shard_id for load in (await watching.read()).shards] == ["a"]
    watching.cancel()
    error = await served.refused(served.stub.GetLoadMetrics(pb.GetLoadMetricsRequest(shards=["z"])))
    assert isinstance(error, UnknownShardError)


async def test_a_queue_that_is_not_there():
    """A queue that does not answer is named with its endpoint."""
    client = QueueClient("127.0.0.1:1", timeout_s=0.5)
    with pytest.raises(ShardUnavailableError, match=r"127\.0\.0\.1:1"):
        await client.shards()
    with pytest.raises(ShardUnavailableError):
        await client.mapping()
    await client.close()
