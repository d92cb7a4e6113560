"""A coordinator over shards in memory, and migrations that stand still at a boundary."""

from __future__ import annotations

import asyncio

from plb_ray.domain.migration import MigrationRequest
from tests.migration.world import World


async def started(**kwargs):
    world = World(**kwargs)
    return world, await world.start()


def request(name="x", source="a", destination="b", request_id="m1"):
    return MigrationRequest(request_id, name, source, destination, "test")


async def held_at(world, where, name="x", request_id="m1", source="a", destination="b"):
    """Start a migration that stands still at a boundary; return (its task, the event that lets it go on)."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold():
        reached.set()
        await go_on.wait()

    world.plan[where] = hold
    task = asyncio.create_task(world.migrate(name, source, destination, request_id))
    await reached.wait()
    return task, go_on
