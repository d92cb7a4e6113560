"""When an operation is answered, on a real file: with its commit, before it, or without; and what a failed commit undoes.

Commits are held back in these tests, so that what is answered before its commit can be told from what is not.
"""

import asyncio
import contextlib
import threading
from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.database import Database
from plb_ray.queues.embedded.operations import Ack, Append, BeginImport, Effect, ImportChunk, look
from tests.shard.test_shard_store import OPEN, PAUSE, SEAL, consumed, fill, opened

CHUNK = [Block.appended(1, "p", 1, (b"x",) * 5, 1.0)]


class Gate:
    """Lets commits pass, one by one while it is closed, and counts them."""

    def __init__(self):
        self.commits = 0
        self.closed = False
        self._passes = threading.Semaphore(0)

    def wait(self):
        while self.closed and not self._passes.acquire(timeout=0.005):
            pass
        self.commits += 1

    def pass_one(self):
        self._passes.release()


@pytest.fixture
def gate(monkeypatch):
    gate, commit = Gate(), Database.commit
    monkeypatch.setattr(Database, "commit", lambda database: (gate.wait(), commit(database)))
    return gate


@contextlib.asynccontextmanager
async def one_batch(shard, gate):
    """Make one batch of what is submitted within the block: its commit is held back until the block's end."""
    gate.closed = True
    try:
        blocker = asyncio.ensure_future(shard.run("blocker", OPEN))
        await settled()

        async def begin():
            gate.pass_one()
            await soon(blocker)
            await settled()

        yield begin
    finally:
        gate.closed = False


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, 5)


async def settled():
    """Give answers that are on their way time to arrive."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_appends_are_answered_with_their_commit(tmp_path, gate):
    """Negative control: an append is not answered, and not seen, before its commit."""
    async with opened(tmp_path) as shard:
        await shard.run("K", OPEN)
        async with one_batch(shard, gate) as begin:
            append = asyncio.ensure_future(shard.append("K", Append(1, "p", 1, (b"x",))))
            await begin()
            assert not append.done()
            assert shard.record("K").last_seq == 0
        assert await soon(append) == (1, False)


async def test_a_pause_waits_for_no_commit(tmp_path, gate):
    """A pause is answered, and seen, before the commit of what is in its batch."""
    async with opened(tmp_path) as shard:
        await fill(shard, "K")
        await shard.run("L", OPEN)
        async with one_batch(shard, gate) as begin:
            append = asyncio.ensure_future(shard.append("L", Append(1, "p", 1, (b"x",))))
            pause = asyncio.ensure_future(shard.run("K", PAUSE))
            await begin()
            assert (await soon(pause)).ownership is Ownership.PAUSED
            assert shard.record("K").ownership is Ownership.PAUSED
            assert not append.done()
        await soon(append)


async def test_a_pause_waits_for_the_appends_before_it(tmp_path, gate):
    """Whoever is told of the pause sees the appends that were taken before it."""
    async with opened(tmp_path) as shard:
        await shard.run("K", OPEN)
        async with one_batch(shard, gate) as begin:
            append = asyncio.ensure_future(shard.append("K", Append(1, "p", 1, (b"x",))))
            pause = asyncio.ensure_future(shard.run("K", PAUSE))
            await begin()
            assert not pause.done()
        assert (await soon(pause)).last_seq == 1
        assert (shard.record("K").last_seq, shard.record("K").ownership) == (1, Ownership.PAUSED)
        await append


async def test_what_changes_nothing_makes_no_transaction(tmp_path, gate):
    """Looking, a repeated append, a repeated ack, a refusal and a pause are answered without a commit."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", Ack(1, 4))
        before = gate.commits
        await shard.run("K", look)
        assert await shard.append("K", Append(1, "p", 10, (b"x",))) == (10, True)
        assert await shard.run("K", Ack(1, 4)) == 4
        with pytest.raises(errors.StaleEpochError):
            await shard.append("K", Append(7, "p", 11, (b"x",)))
        await shard.run("K", PAUSE)
        assert gate.commits == before
        await shard.run("K", Ack(1, 5))
        assert gate.commits == before + 1


async def test_a_look_waits_for_the_seal_before_it(tmp_path, gate):
    """What is being written is seen as made, or not at all; so is a refusal that follows from it."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", PAUSE)
        async with one_batch(shard, gate) as begin:
            calls = (shard.run("K", SEAL), shard.run("K", look), shard.append("K", Append(1, "p", 11, (b"x",))))
            seal, seen, refused = map(asyncio.ensure_future, calls)
            await begin()
            assert not any(call.done() for call in (seal, seen, refused))
        assert (await soon(seen)).ownership is Ownership.SEALED
        with pytest.raises(errors.MovedError):
            await soon(refused)
        assert (await seal).final_seq == 10


async def test_an_import_is_answered_before_its_commit(tmp_path, gate):
    """Copied messages are answered when they are taken; the view has them once they are on disk."""
    async with opened(tmp_path) as shard:
        await shard.run("K", BeginImport("m", 1))
        async with one_batch(shard, gate) as begin:
            chunk = asyncio.ensure_future(shard.run("K", ImportChunk("m", 1, CHUNK)))
            await begin()
            assert await soon(chunk) == (5, 5, 5)
            assert shard.record("K").last_seq == 0
        seen = await soon(shard.run("K", look))
        assert (seen.last_seq, shard.record("K").last_seq) == (5, 5)


async def failing(shard, *operations):
    """Run these while the disk is full."""
    connection = shard._database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    filler = shard.append("K", Append(1, "big", 1, (b"y" * 500_000,)))
    results = await asyncio.gather(filler, *(shard.run(*each) for each in operations), return_exceptions=True)
    connection.execute("PRAGMA max_page_count=1000000")
    assert isinstance(results[0], errors.ShardUnavailableError)
    return results[1:]


async def test_a_pause_outlives_a_full_disk(tmp_path):
    """A commit that fails takes back its own operations, and not the pause that was answered before."""
    async with opened(tmp_path) as shard:
        await fill(shard, "K")
        await fill(shard, "L")
        await shard.run("L", PAUSE)
        (refused,) = await failing(shard, ("L", SEAL))
        assert isinstance(refused, errors.ShardUnavailableError)
        with pytest.raises(errors.PausedError):
            await shard.append("L", Append(1, "p", 11, (b"x",)))
        assert (await shard.run("L", SEAL)).final_seq == 10


async def test_a_lost_import_is_not_taken_for_a_gap(tmp_path):
    """If a chunk was answered and not written, the next one is refused as one to repeat, and the copy can begin anew."""
    following = [Block.appended(6, "p", 6, (b"x",) * 5, 1.0)]
    async with opened(tmp_path) as shard:
        await fill(shard, "K")
        await shard.run("L", BeginImport("m", 1))
        (answer,) = await failing(shard, ("L", ImportChunk("m", 1, CHUNK)))
        assert answer == (5, 5, 5)
        with pytest.raises(errors.RetryableError):
            await shard.run("L", ImportChunk("m", 1, following, 5))
        record = await shard.run("L", BeginImport("m", 1))
        assert (record.last_seq, record.acked_seq) == (0, 0)
        assert await shard.run("L", ImportChunk("m", 1, [*CHUNK, *following])) == (10, 10, 10)


def split_off(entry, now):
    """Leave what is stored to a trailing segment, as a chained seal does, and go on with nothing."""
    record = entry.record
    trailing = replace(record, ownership=Ownership.TRAILING)
    after = replace(record, epoch=record.epoch + 1, acked_seq=record.last_seq)
    return Effect("split", after, split=trailing)


async def test_a_split_leaves_the_backlog_to_a_trailing_segment(tmp_path):
    """Acks of the old epoch go to the trailing segment, appends go on in the order param's own, also after a restart."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        assert await shard.run("K", split_off) == "split"
        assert await shard.append("K", Append(2, "p", 11, (b"new",))) == (11, False)
        assert await shard.run("K", Ack(1, 4), 1) == 4
        assert shard.record("K").acked_seq == 10
    async with opened(tmp_path) as shard:
        trailing = await shard.run("K", look, 1)
        assert (trailing.epoch, trailing.last_seq, trailing.acked_seq) == (1, 10, 4)
        assert await shard.append("K", Append(2, "p", 11, (b"new",))) == (11, True)
        assert await shard.run("K", look, 99) == shard.record("K")
        assert await shard.run("K", Ack(1, 10), 1) == 10
        assert (await consumed(shard)) == {"K": [11]}


async def test_a_split_that_is_not_written_did_not_happen(tmp_path):
    """When the commit fails the backlog is the order param's own again, and the next split works."""
    async with opened(tmp_path) as shard:
        await fill(shard, "K")
        await fill(shard, "L")
        (refused,) = await failing(shard, ("L", split_off))
        assert isinstance(refused, errors.ShardUnavailableError)
        assert await shard.run("L", Ack(1, 3), 1) == 3
        assert shard.record("L").acked_seq == 3
        assert await shard.run("L", split_off) == "split"
        assert await shard.append("L", Append(2, "p", 11, (b"x",))) == (11, False)
