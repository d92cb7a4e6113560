"""Chained migrations and rotations, by the coordinator: in memory, and once on real shards under traffic."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from plb_ray.domain.mapping import Placement
from plb_ray.domain.migration import MigrationMode, MigrationRequest, MigrationStep
from plb_ray.errors import MigrationConflictError
from plb_ray.queues.chain_keeper import ChainSettings
from tests.coordinator.live_queue import LiveTraffic, live_queue
from tests.migration.world import SETTINGS, World

QUICK = ChainSettings(segment_messages=5, look_s=0.01)


async def started():
    world = World(settings=replace(SETTINGS, chains=QUICK))
    return world, await world.start()


async def chained(world, source, destination, request_id):
    request = MigrationRequest(request_id, "x", source, destination, "test", MigrationMode.CHAIN)
    records = [record async for record in world.coordinator.migrate(request)]
    assert records[-1].step is MigrationStep.DONE
    return records[-1]


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - bounded by the timeout
            await asyncio.sleep(0.001)


def shards_of(world):
    return world.coordinator._mapping.get("x").shards


async def test_a_chained_migration_copies_nothing():
    """The backlog stays on the source, the allocation names both, and nothing was copied; a repeat joins it."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    assert world.produce("x", 4) == 4
    record = await chained(world, "a", "b", "m1")
    assert (record.messages_copied, record.bytes_copied, record.mode) == (0, 0, MigrationMode.CHAIN)
    assert shards_of(world) == ("a", "b")
    assert world.owner("x") == ("b", 2)
    assert world.shards["b"].look("x").behind
    assert await chained(world, "a", "b", "m1") == record
    with pytest.raises(MigrationConflictError, match="request id"):
        await world.migrate("x", "a", "b", "m1")  # the same id, to be copied
    await world.crash()


async def test_a_chain_is_shortened_as_it_is_consumed():
    """When the trailing segment has been consumed, the allocation names its shard no longer."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 3)
    await chained(world, "a", "b", "m1")
    assert shards_of(world) == ("a", "b")
    world.shards["a"].ack("x", 1, 3)
    await until(lambda: shards_of(world) == ("b",))
    assert world.mapping.placements["x"] == Placement("x", ("b",), 2)
    await world.crash()


async def test_a_full_head_rotates_in_the_order_of_the_list():
    """Each time the head is full the next shard of the list takes the appends; the list outlives a restart."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["c", "a", "b"])
    for shards in (("c", "a"), ("c", "a", "b"), ("c", "a", "b", "c")):
        assert world.produce("x", 5) == 5
        await until(lambda shards=shards: shards_of(world) == shards)
        await coordinator.settled()
        if shards[-1] == "a":
            await world.crash()
            coordinator = await world.start()
    assert world.mapping.placements["x"].rotation == ("c", "a", "b")
    assert world.owner("x") == ("c", 4)
    await world.crash()


async def test_consumption_that_keeps_up_rotates_nothing():
    """A head that is consumed as it fills stays where it is."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a", "b"])
    for _ in range(10):
        world.produce("x", 3)
        world.consume("x", 3)
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert shards_of(world) == ("a",)
    await world.crash()


async def test_a_rotation_can_be_changed_and_ended():
    """Another list replaces the first; an owner outside it hands over to it; one shard ends it, where it lives."""
    world, coordinator = await started()
    await coordinator.allocate("x", ["a", "b"])
    assert (await coordinator.allocate("x", ["b", "c"])).rotation == ("b", "c")
    await until(lambda: world.owner("x") == ("b", 2))
    await coordinator.settled()
    assert (await coordinator.allocate("x", ["b"])).rotation == ()
    world.produce("x", 20)
    await asyncio.sleep(0.05)
    assert shards_of(world)[-1] == "b"
    await world.crash()


@pytest.mark.shards
async def test_order_over_rotating_segments_on_real_shards(tmp_path):
    """One order param rotates over three shard processes under traffic: many segments, nothing lost or out of order."""
    async with live_queue(tmp_path, count=3, service_rate_per_s=150) as live:
        live.settings = replace(live.settings, chains=ChainSettings(segment_messages=30, look_s=0.02))
        await live.crash()
        await live.start()
        await live.coordinator.allocate("x", ["shard-0", "shard-1", "shard-2"])
        traffic = LiveTraffic(live, ["x"])
        async with traffic.running():
            async with asyncio.timeout(30):
                while (await live.coordinator.mapping()).placements["x"].epoch < 6:  # noqa: ASYNC110 - bounded
                    await asyncio.sleep(0.02)
        traffic.assert_clean()
