"""What is delivered while a seal is under way: nothing, since its cursor is already on the way to the destination."""

import asyncio

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.control import ControlService
from plb_ray.queues.embedded.operations import look
from plb_ray.rpc import convert
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.shard.test_shard_store import MANY, PAUSE, consumed, fill, opened

TO = ("shard-1", "host:1")


async def test_state_reflects_a_seal_that_was_submitted_before(tmp_path):
    """Who asks for the state while a seal is being written gets SEALED, not what was before."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", PAUSE)
        sealing = asyncio.create_task(shard.seal("K", "m", 1, TO, chained=False))
        await asyncio.sleep(0)
        state = await ControlService(shard).GetOrderParamState(pb.OrderParamRequest(order_param="K"), None)
        assert convert.state_from_pb(state).ownership is Ownership.SEALED
        await sealing


async def test_looking_leaves_nothing_behind(tmp_path):
    """The state of an order param never heard of is NONE, and asking makes no record of it."""
    async with opened(tmp_path) as shard:
        assert (await shard.run("K", look)).ownership is Ownership.NONE
        assert not shard.view.lines


async def test_nothing_is_delivered_between_the_cursor_and_the_commit(tmp_path):
    """A poll during a seal gets nothing, so that the seal's cursor covers all that is in flight."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", PAUSE)
        sealing = asyncio.create_task(shard.seal("K", "m", 1, TO, chained=False))
        await asyncio.sleep(0)  # the seal is submitted; its commit cannot be published before the loop's next turn
        assert await consumed(shard) == {}
        assert (await sealing).delivered_seq == 0


async def test_a_failed_seal_lets_delivery_go_on(tmp_path):
    """After a refused seal messages are delivered again, also to polls that waited meanwhile."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        with pytest.raises(errors.PlbError):
            await shard.seal("K", "m", 1, TO, chained=False)  # it is not paused
        assert await consumed(shard) == {"K": list(range(1, 11))}


async def test_a_seal_that_nobody_waits_for_still_holds(tmp_path):
    """If the caller gives up, delivery stays off until the seal's outcome is known."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", PAUSE)
        line = shard.view.lines["K", 0]
        sealing = asyncio.create_task(shard.seal("K", "m", 1, TO, chained=False))
        await asyncio.sleep(0)
        sealing.cancel()
        await asyncio.gather(sealing, return_exceptions=True)
        assert line.sealing or not line.owned
        assert await consumed(shard) == {}


async def test_after_a_chained_seal_the_backlog_is_delivered_on(tmp_path):
    """What the seal left is served by this shard as soon as the seal's outcome is known, and is told to be followed."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        assert await consumed(shard) == {"K": list(range(1, 11))}
        shard.delivery.redeliver("c")
        await shard.run("K", PAUSE)
        sealing = asyncio.create_task(shard.seal("K", "m", 1, TO, chained=True))
        await asyncio.sleep(0)
        assert await consumed(shard) == {}
        assert (await sealing).behind
        await asyncio.sleep(0)  # the seal's end is noted in the loop's next turn
        [(part, messages)] = await shard.poll("c", (), MANY, 0.0)
        assert (part.epoch, part.followed, part.behind, len(messages)) == (1, True, False, 10)
