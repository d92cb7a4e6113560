"""What shards see to by themselves, on real processes: hand-overs that nobody confirms, and segments whose turn has come.

Each wait is bounded by a few seconds, of which the herald's own grace is one.
"""

import asyncio

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.shard.real_shards import copied, migrated, real_shards

pytestmark = pytest.mark.shards
SOON_S = 6.0


async def becomes(shard, condition):
    """Wait until the shard's state of K meets a condition; return it."""
    async with asyncio.timeout(SOON_S):
        while True:
            state = await shard.control.state("K")
            if condition(state):
                return state
            await asyncio.sleep(0.02)


def serves(epoch):
    return lambda state: (state.ownership, state.epoch) == (Ownership.ACTIVE, epoch)


def is_front(state):
    return state.ownership is Ownership.ACTIVE and not state.behind


async def opened(shard, count=10):
    await shard.control.open("K", 1)
    await shard.append("K", 1, [b"x"] * count)


async def sealed(source, destination, migration_id="m", epoch=1, *, chained=False, copy=True):
    """Carry a migration up to its seal, as a balancer that dies then."""
    if chained:
        await destination.control.begin("K", migration_id, epoch)
    elif copy:
        await copied(destination, source, "K", migration_id, epoch)
    await source.control.pause("K", migration_id, epoch, 20_000)
    return await source.control.seal("K", migration_id, epoch, destination.described, chained=chained)


async def chained(source, destination, migration_id, epoch):
    """Carry out a chained migration."""
    record = await sealed(source, destination, migration_id, epoch, chained=True)
    await destination.control.resume("K", migration_id, record)
    await source.control.update_mapping("K", record.epoch, destination.described)


async def polled(shard, consumer="c", **others):
    """Return epoch -> (sequences, behind)."""
    found = await shard.call("Poll", pb.PollRequest(consumer=consumer, max_messages=1000, **others))
    return {batch.epoch: ([message.seq for message in batch.messages], batch.behind) for batch in found.batches}


@pytest.mark.parametrize("copy", [True, False])
async def test_a_hand_over_that_nobody_confirms_is_made(tmp_path, copy):
    """When a balancer dies after its seal the source resumes the destination, and lets it copy first what it lacks."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await opened(source)
        await sealed(source, destination, copy=copy)
        await becomes(destination, serves(2))
        assert await polled(destination) == {2: (list(range(1, 11)), False)}
        assert (await destination.append("K", 10, [b"x"], epoch=2)).duplicate


async def test_a_hand_over_is_made_after_restarts(tmp_path):
    """A source that is killed after its seal, and a destination that is away then, are both handed over in the end."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await opened(source)
        await sealed(source, destination)
        await asyncio.gather(source.process.kill(), destination.process.kill())
        await source.back()
        await destination.back()
        await becomes(destination, serves(2))


async def test_another_import_in_the_way_is_no_hand_over(tmp_path):
    """A destination that imports for another migration does not serve: it is told again, and the source's copy is kept."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await opened(source)
        await sealed(source, destination)
        await destination.control.begin("K", "other", 1)
        await becomes(destination, serves(2))
        assert await polled(destination) == {2: (list(range(1, 11)), False)}


async def test_an_old_tombstone_is_no_hand_over(tmp_path):
    """A destination that redirects to where the order param was before does not serve: it is handed over all the same."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await opened(source)
        await migrated(source, destination, "K", "m1", 1)
        await migrated(destination, source, "K", "m2", 2)
        await sealed(source, destination, "m3", 3)
        assert (await destination.control.abort("K", "m3")).moved_to_shard == "shard-0"
        await becomes(destination, serves(4))
        assert await polled(destination) == {4: (list(range(1, 11)), False)}


async def test_what_is_not_handed_over_does_not_come_back(tmp_path):
    """An import into the shard that has sealed waits until the hand-over is known, then it begins."""
    async with real_shards(tmp_path, 2) as [source, destination]:
        await opened(source)
        record = await sealed(source, destination)
        await destination.control.resume("K", "m", record)
        with pytest.raises(errors.RetryableError):
            await source.control.begin("K", "back", 2)
        async with asyncio.timeout(SOON_S):
            while (await source.control.state("K")).ownership is not Ownership.IMPORTING:
                try:
                    await source.control.begin("K", "back", 2)
                except errors.RetryableError:
                    await asyncio.sleep(0.02)


async def test_what_is_behind_comes_when_the_rest_is_consumed(tmp_path):
    """The end of a trailing segment lets the next one go to any consumer, and leaves nothing on its shard."""
    async with real_shards(tmp_path, 2) as [first, second]:
        await opened(first)
        await chained(first, second, "m", 1)
        await second.append("K", 11, [b"y"] * 5, epoch=2)
        assert await polled(second, "other") == {}
        assert await polled(first) == {1: (list(range(1, 11)), False)}
        await first.ack("K", 9)
        assert (await second.control.state("K")).behind
        await first.ack("K", 10)
        await becomes(second, is_front)
        assert await polled(second, "other") == {2: ([11, 12, 13, 14, 15], False)}
        await becomes(first, lambda state: state.segments == ())
        with pytest.raises(errors.MovedError):
            await first.ack("K", 10)


async def test_the_turn_comes_although_shards_start_again(tmp_path):
    """The first shard dies with its segment half consumed, the second while it ends: the turn comes all the same."""
    async with real_shards(tmp_path, 2) as [first, second]:
        await opened(first)
        await chained(first, second, "m", 1)
        await polled(first)
        await first.ack("K", 6)
        await first.process.kill()
        await first.back()
        assert await polled(first) == {1: ([7, 8, 9, 10], False)}
        await second.process.kill()
        await first.ack("K", 10)
        await second.back()
        assert (await becomes(second, is_front)).epoch == 2


async def test_there_and_back_is_consumed_in_order(tmp_path):
    """S1 -> S2 -> S1: three segments come one after the other to any consumer, as the shards tell each other."""
    async with real_shards(tmp_path, 2) as [first, second]:
        await opened(first, count=3)
        await chained(first, second, "m1", 1)
        await second.append("K", 4, [b"y"] * 3, epoch=2)
        await chained(second, first, "m2", 2)
        await first.append("K", 7, [b"z"] * 3, epoch=3)
        assert await polled(second, "x") == {}
        assert await polled(first, "a") == {1: ([1, 2, 3], False)}
        await first.ack("K", 3, consumer="a")
        await becomes_front(second, 2)
        assert (await first.control.state("K")).behind
        assert await polled(first, "b") == {}
        assert await polled(second, "b") == {2: ([4, 5, 6], False)}
        await second.ack("K", 6, epoch=2, consumer="b")
        await becomes(first, is_front)
        assert await polled(first, "d") == {3: ([7, 8, 9], False)}


async def becomes_front(shard, epoch):
    await becomes(shard, lambda state: [(one.epoch, one.front) for one in state.segments] == [(epoch, True)])


async def test_old_news_of_consumed_segments_does_no_harm(tmp_path):
    """News of an earlier segment's end, however late and often, does not bring forward what waits for a later one."""
    async with real_shards(tmp_path, 2) as [first, second]:
        await opened(first, count=3)
        await chained(first, second, "m1", 1)
        await second.append("K", 4, [b"y"] * 3, epoch=2)
        await chained(second, first, "m2", 2)
        for _ in range(2):
            assert (await first.control.advance("K", 1)).behind
        assert not (await first.control.advance("K", 2)).behind
        assert not (await first.control.advance("K", 1)).behind
