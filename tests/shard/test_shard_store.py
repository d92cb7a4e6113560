"""Writer and database together, on a real file: group commit, refused operations, a full disk, restarts, lazy deletes."""

import asyncio
import contextlib

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import ownership
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.delivery import Limits
from plb_ray.queues.embedded.operations import (
    Abort,
    Ack,
    Append,
    BeginImport,
    Drain,
    ImportChunk,
    Pause,
    Resume,
    Seal,
    transition,
)
from plb_ray.queues.embedded.sealing import SealOrder
from plb_ray.queues.embedded.shard import Shard, ShardOptions

MANY = Limits(10_000, 1 << 30)
OPEN = transition(lambda record, _: ownership.opened(record, 1))
PAUSE = Pause("m", 1, 60_000)
SEAL = Seal(SealOrder("m", 1, ("b", "host:1"), 0))


@contextlib.asynccontextmanager
async def opened(directory, **options):
    shard = Shard(ShardOptions("shard-0", directory, **options))
    try:
        yield shard
    finally:
        await shard.close()


async def fill(shard, name="K", count=10, size=10, batch=10):
    """Store `count` messages in blocks of `batch`."""
    await shard.run(name, OPEN)
    payloads = (b"x" * size,) * batch
    await asyncio.gather(*(shard.append(name, Append(1, "p", first, payloads)) for first in range(1, count + 1, batch)))


async def consumed(shard, consumer="c", names=()):
    found = await shard.poll(consumer, names, MANY, 0.0)
    return {part.order_param: [message.seq for message in messages] for part, messages in found}


def rows(shard):
    """Count the messages on disk."""
    return shard._database._connection.execute("SELECT total(last_seq - first_seq + 1) FROM block").fetchone()[0]


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0.005)


async def test_operations_of_one_batch_do_not_disturb_each_other(tmp_path):
    """Of operations that are queued together the refused one fails alone, and the others take effect in order."""
    async with opened(tmp_path) as shard:
        await shard.run("K", OPEN)
        calls = [shard.append("K", Append(1, "p", 1 + place, (b"x",))) for place in range(5)]
        calls.insert(2, shard.append("K", Append(9, "p", 3, (b"stale",))))
        calls.insert(4, shard.append("K", Append(1, "p", 99, (b"gap",))))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [result[0] for result in results if isinstance(result, tuple)] == [1, 2, 3, 4, 5]
        assert isinstance(results[2], errors.StaleEpochError)
        assert isinstance(results[4], errors.SequenceGapError)
        assert await consumed(shard) == {"K": [1, 2, 3, 4, 5]}


async def test_everything_acknowledged_is_there_after_a_restart(tmp_path):
    """A new process finds records, messages, producers and cursors; what was in flight is delivered again."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await consumed(shard)
        await shard.run("K", Ack(1, 4))
    async with opened(tmp_path) as shard:
        load = shard.load().order_params[0]
        assert (load.messages_total, load.consumed_total, load.backlog, load.backlog_bytes) == (10, 4, 6, 60)
        assert await shard.append("K", Append(1, "p", 10, (b"x" * 10,))) == (10, True)
        assert await consumed(shard) == {"K": [5, 6, 7, 8, 9, 10]}


async def test_restart_ends_a_pause_and_keeps_a_seal(tmp_path):
    """What was paused serves again and refuses the late seal; what was sealed answers the same seal."""
    async with opened(tmp_path) as shard:
        await fill(shard, "K")
        await fill(shard, "L")
        await shard.run("K", PAUSE)
        await shard.run("L", PAUSE)
        sealed = await shard.run("L", SEAL)
    async with opened(tmp_path) as shard:
        assert shard.record("K").ownership is Ownership.ACTIVE
        with pytest.raises(errors.LeaseExpiredError):
            await shard.run("K", SEAL)
        assert await shard.run("L", SEAL) == sealed
        with pytest.raises(errors.MovedError):
            await shard.append("L", Append(1, "p", 11, (b"x",)))


async def test_full_disk_refuses_and_restores(tmp_path):
    """When a batch cannot be written all of it is refused, nothing of it is remembered, and the shard goes on afterwards."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        connection = shard._database._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        calls = [shard.append("K", Append(1, "p", 11 + place, (b"y" * 500_000,))) for place in range(3)]
        calls.append(shard.run("K", PAUSE))
        calls.append(shard.run("new", OPEN))
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, errors.ShardUnavailableError)
            assert "disk" in result.detail
        assert shard.record("K").last_seq == 10
        assert shard.record("new").ownership is Ownership.NONE
        connection.execute("PRAGMA max_page_count=1000000")
        assert await shard.append("K", Append(1, "p", 11, (b"z",))) == (11, False)
        assert await shard.run("K", Ack(1, 10)) == 10
        assert await consumed(shard) == {"K": [11]}


async def test_acknowledged_messages_are_deleted_in_the_background(tmp_path):
    """Acks return without deleting; the blocks go in chunks soon after, and only those of which all is acknowledged."""
    async with opened(tmp_path) as shard:
        await fill(shard, count=2000)
        await shard.run("K", Ack(1, 1990))
        await until(lambda: rows(shard) == 10)
        await shard.run("K", Ack(1, 1995))
        assert await consumed(shard) == {"K": list(range(1996, 2001))}
        assert rows(shard) == 10


async def test_wiped_imports_leave_nothing_behind(tmp_path):
    """An aborted import's messages are deleted, also when the process ends before that is done."""
    chunk = [Block.appended(first, "p", first, (b"x",) * 100, 1.0) for first in range(1, 1001, 100)]
    async with opened(tmp_path) as shard:
        await shard.run("K", BeginImport("m", 1))
        await shard.run("K", ImportChunk("m", 1, chunk))
        await shard.run("K", Abort("m"))
        assert shard.record("K").ownership is Ownership.NONE
    async with opened(tmp_path) as shard:
        assert "K" not in shard.view.lines
        await until(lambda: rows(shard) == 0)


async def test_a_newer_migration_starts_from_nothing(tmp_path):
    """The first call of another migration wipes what an older one has copied, and its own copy resumes with all messages."""
    async with opened(tmp_path / "source") as source, opened(tmp_path / "target") as target:
        await fill(source, count=20)
        stored = [block async for chunk in source.export("K", 1, 20, 7) for block in chunk]
        await target.run("K", BeginImport("old", 1))
        await target.run("K", ImportChunk("old", 1, [stored[0].part(1, 5)]))
        await source.run("K", PAUSE)
        record = await target.run("K", BeginImport("m", 1))
        assert record.last_seq == 0
        await target.run("K", ImportChunk("m", 1, stored))
        sealed = await source.run("K", SEAL)
        await target.run("K", Resume("m", sealed))
        assert await consumed(target) == {"K": list(range(1, 21))}
        assert await target.append("K", Append(2, "p", 20, (b"x" * 10,))) == (20, True)
        assert [await source.run("K", Drain("m", 7)) for _ in range(3)] == [10, 10, 0]


async def test_long_poll_wakes_up_for_the_first_message(tmp_path):
    """A poll that waits returns with the message that arrives, and without one after its time."""
    async with opened(tmp_path) as shard:
        await shard.run("K", OPEN)
        poll = asyncio.create_task(shard.poll("c", (), MANY, 30.0))
        await asyncio.sleep(0)
        await shard.append("K", Append(1, "p", 1, (b"x",)))
        async with asyncio.timeout(5):
            assert len(await poll) == 1
        assert await shard.poll("c", (), MANY, 0.01) == []


async def test_data_belongs_to_one_shard_and_one_process(tmp_path):
    """A second process on the same directory, or another shard's data, is refused with the reason."""
    async with opened(tmp_path):
        with pytest.raises(errors.BadInputError, match="another shard process"):
            Shard(ShardOptions("shard-0", tmp_path))
    with pytest.raises(errors.BadInputError, match="data of shard 'shard-0'"):
        Shard(ShardOptions("shard-1", tmp_path))
