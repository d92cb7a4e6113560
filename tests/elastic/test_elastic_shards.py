"""Real shard processes that come and go under traffic."""

from __future__ import annotations

import asyncio

import pytest

from plb_ray.errors import MigrationConflictError
from plb_ray.queues.fleet_file import Fleet, Stage, read_fleet, write_fleet
from plb_ray.settings import ElasticSettings
from tests.elastic.elastic_queue import PacedTraffic, elastic_queue

pytestmark = pytest.mark.shards
NAMES = tuple(f"op-{number}" for number in range(12))
BASE = {"shard-0", "shard-1"}
SETTINGS = ElasticSettings(enabled=True, min_shards=2, max_shards=3, lead_s=1.0, dwell_s=2.0)


async def turns_until(queue, reached):
    """Make turns, two a second, until something is so; bounded by the test's timeout."""
    while not await reached():
        await queue.turn()
        await asyncio.sleep(0.5)


async def test_two_shards_become_three_and_two_again_and_nothing_is_lost(tmp_path):
    """Growing load starts a third shard, which takes traffic; falling load drains it, it leaves, and no message is lost."""
    async with elastic_queue(tmp_path, SETTINGS) as queue:
        await queue.coordinator.ensure(NAMES)
        traffic = PacedTraffic(queue, NAMES)
        async with asyncio.timeout(100), traffic.running():
            await queue.turn()
            await asyncio.sleep(1)
            await queue.turn()
            assert await queue.shard_ids() == BASE
            traffic.per_s = 75.0  # 900 messages/s need 2.5 shards of 360 usable messages/s

            async def third_serves():
                placements = (await queue.coordinator.mapping()).placements
                return any(placement.owner == "elastic-1" for placement in placements.values())

            await turns_until(queue, third_serves)
            assert await queue.shard_ids() == {*BASE, "elastic-1"}
            await traffic.sent(300)
            traffic.per_s = 30.0  # 360 messages/s need one shard; two always stay

            async def left():
                return await queue.shard_ids() == BASE

            await turns_until(queue, left)
            assert await queue.provider.shards() == ()
            await traffic.sent(300)
        traffic.assert_clean()


async def test_a_crash_while_draining_goes_on_where_it_was(tmp_path):
    """A balancer killed while a shard drains starts the shard again with what it holds, empties it, and lets it leave."""
    async with elastic_queue(tmp_path, SETTINGS) as queue:
        (name,) = await queue.provider.scale_out(1)
        for order_param in ("x", "y"):
            await queue.coordinator.allocate(order_param, [name])
        traffic = PacedTraffic(queue, ("x", "y"))
        async with asyncio.timeout(60), traffic.running():
            await queue.provider.drain(name)
            assert await queue.provider.remove(name) is False
            await queue.crash()
            assert read_fleet(tmp_path).shards[name].stage is Stage.DRAINING
            await queue.start()
            with pytest.raises(MigrationConflictError, match="taken out"):
                await queue.coordinator.allocate("z", [name])

            async def left():
                return await queue.provider.shards() == ()

            await turns_until(queue, left)
            assert read_fleet(tmp_path).shards == {}
            await traffic.sent(60)
        traffic.assert_clean()


async def test_a_shard_found_starting_is_started_and_serves(tmp_path):
    """Killed between writing STARTING and the start: the next start brings the shard up; its number is not used again."""
    write_fleet(tmp_path, Fleet().plus(1, "standard"))
    async with elastic_queue(tmp_path, SETTINGS) as queue:
        assert await queue.shard_ids() == {*BASE, "elastic-1"}
        assert read_fleet(tmp_path).shards["elastic-1"].stage is Stage.SERVING
        await queue.provider.drain("elastic-1")
        assert await queue.provider.remove("elastic-1")
        assert await queue.provider.scale_out(1) == ("elastic-2",)


async def test_a_shard_that_died_comes_back_by_itself(tmp_path):
    """A shard process that is killed is started again on its data, and its order params are served as before."""
    async with elastic_queue(tmp_path, SETTINGS) as queue:
        (name,) = await queue.provider.scale_out(1)
        await queue.coordinator.allocate("x", [name])
        traffic = PacedTraffic(queue, ("x",))
        async with asyncio.timeout(60), traffic.running():
            await queue.provider._processes[name].kill()
            await traffic.sent(60)
        traffic.assert_clean()
