"""Blocks on their way from shard to shard: what an export sends, and that the destination stores the same messages."""

import asyncio
from itertools import pairwise

from plb_ray.queues.embedded import reading
from plb_ray.queues.embedded.operations import Ack, Append, BeginImport, ImportChunk, look
from tests.shard.test_shard_store import OPEN, consumed, fill, opened, rows, until


async def exported(shard, first_seq=1, last_seq=10_000, chunk=500):
    return [blocks async for blocks in shard.export("K", first_seq, last_seq, chunk)]


def seqs(chunks):
    return [message.seq for blocks in chunks for block in blocks for message in block.messages()]


async def test_single_messages_go_together(tmp_path):
    """Messages that were appended one by one are sent in a few blocks, in order and with their payloads."""
    async with opened(tmp_path) as shard:
        await shard.run("K", OPEN)
        calls = (shard.append("K", Append(1, "p", number, (b"%d" % number,))) for number in range(1, 301))
        await asyncio.gather(*calls)
        chunks = await exported(shard, chunk=100)
        assert seqs(chunks) == list(range(1, 301))
        assert [len(blocks) for blocks in chunks] == [1, 1, 1]
        assert chunks[1][0].messages()[0].payload == b"101"


async def test_large_blocks_go_as_they_are(tmp_path):
    """Blocks of many messages are not taken apart."""
    async with opened(tmp_path) as shard:
        await fill(shard, count=600, batch=200)
        assert [len(block) for blocks in await exported(shard) for block in blocks] == [200, 200, 200]


async def test_export_begins_and_ends_where_it_is_told(tmp_path):
    """Bounds within blocks are kept to the message."""
    async with opened(tmp_path) as shard:
        await fill(shard, count=40)
        assert seqs(await exported(shard, 15, 27, chunk=4)) == list(range(15, 28))


async def test_chunks_are_bounded_in_bytes(tmp_path, monkeypatch):
    """Large messages travel in chunks of about the bound, so that no single one holds up the destination's writer."""
    monkeypatch.setattr(reading, "CHUNK_BYTES", 10_000)
    async with opened(tmp_path) as shard:
        await fill(shard, count=60, size=3000)
        chunks = await exported(shard)
        assert seqs(chunks) == list(range(1, 61))
        blocks = [block for chunk in chunks for block in chunk]
        assert max(block.payload_bytes for block in blocks) <= 10_000
        assert max(sum(block.payload_bytes for block in chunk) for chunk in chunks) <= 10_000 + 10 * 3000


async def test_deleting_meanwhile_is_a_gap_at_most(tmp_path):
    """What is acknowledged and deleted during an export is left out; everything else comes, in order."""
    async with opened(tmp_path) as shard:
        await fill(shard, count=2000)
        found = []
        async for blocks in shard.export("K", 1, 2000, 100):
            found.append(blocks)
            if len(found) == 3:
                await shard.run("K", Ack(1, 1500))
                await until(lambda: rows(shard) == 500)
        assert set(range(1501, 2001)) <= set(seqs(found))
        assert all(before < after for before, after in pairwise(seqs(found)))


async def test_destination_has_the_same_messages(tmp_path):
    """Through chunks, also repeated and overlapping ones, the destination gets every message once."""
    async with opened(tmp_path / "a") as source, opened(tmp_path / "b") as target:
        await fill(source, count=200)
        await target.run("K", BeginImport("m", 1))
        last_seq = 0
        for blocks in [*await exported(source, 1, 120, 50), *await exported(source, 95, 200, 30)]:
            last_seq, _, _ = await target.run("K", ImportChunk("m", 1, blocks, last_seq))
        assert last_seq == (await target.run("K", look)).last_seq == 200  # an import is answered before it is on disk
        stored = [message for chunk in await exported(target) for block in chunk for message in block.messages()]
        assert stored == [message for chunk in await exported(source) for block in chunk for message in block.messages()]
        assert rows(target) == 200


async def test_reading_in_small_steps_reads_every_message_once(tmp_path):
    """Polls that stop in the middle of a block go on there, across blocks and several order params."""
    async with opened(tmp_path, service_rate_per_s=20.0) as shard:
        await fill(shard, "K", count=20, batch=5)
        await fill(shard, "L", count=20, batch=20)
        parts = [[(1, 1, 3), (2, 1, 7)], [(1, 4, 11), (2, 8, 20)], [(1, 12, 20)]]
        found = [await shard._readings.messages(part) for part in parts]
        assert [m.seq for step in found for m in step[0]] == list(range(1, 21))
        assert [m.seq for step in found[:2] for m in step[1]] == list(range(1, 21))
        assert await consumed(shard) != {}
