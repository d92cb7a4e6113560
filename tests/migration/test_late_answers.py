"""Answers and calls that come late: an orphan whose source has moved on, and an abort that could overtake a PAUSE."""

import asyncio

from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.migration.ports import Ownership
from tests.migration.memory_stores import MemoryJournal
from tests.migration.world import World


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_orphan_whose_source_has_got_it_back_ends():
    """Recovered without its seal record, while the source owns the order param again, it asks the destination and ends."""
    world = World()
    coordinator = await world.start()
    await coordinator.allocate("x", ["a"])
    world.produce("x", 3)
    await world.migrate("x", "a", "b", "r1")
    await world.migrate("x", "b", "a", "r2")
    await world.settle()
    await world.crash()
    world.journal = MemoryJournal()  # another balancer's
    await world.journal.write(MigrationRecord("r1", "x", "a", "b", 1, MigrationStep.ACTIVATING, "orphan", 0.0))
    world.shards["b"].stop()
    await world.start()
    await turns(200)
    world.shards["b"].restart()
    await asyncio.wait_for(world.coordinator.settled(), timeout=5)
    assert (await world.journal.get("r1")).step is MigrationStep.DONE
    await world.settle()
    await world.check("x")


async def test_an_abort_does_not_overtake_a_pause():
    """Cancelled while PAUSE is on its way, the source is not left paused for the whole lease."""
    world = World()
    coordinator = await world.start()
    await coordinator.allocate("x", ["a"])
    shard, sent, arrives = world.shards["a"], asyncio.Event(), asyncio.Event()
    carried_out = shard.pause

    async def on_its_way(*args, **kwargs):
        await arrives.wait()
        return await carried_out(*args, **kwargs)

    async def pause(*args, **kwargs):
        sent.set()
        return await asyncio.shield(asyncio.create_task(on_its_way(*args, **kwargs)))

    shard.pause = pause
    migrating = asyncio.create_task(world.migrate("x", "a", "b"))
    await sent.wait()
    cancelling = asyncio.create_task(coordinator.cancel("m1"))
    await turns(30)
    arrives.set()
    assert (await cancelling).step is MigrationStep.ABORTED
    await migrating
    await turns(30)
    assert shard.look("x").ownership is Ownership.ACTIVE
