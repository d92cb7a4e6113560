"""Chained seals on a real file: what is split, what acks that were queued meet, and what a shard that starts again knows."""

import asyncio
import sqlite3

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership, SealRecord
from plb_ray.queues.embedded.data import DataService
from plb_ray.queues.embedded.database import Database
from plb_ray.queues.embedded.operations import Ack, Append, BeginImport, Resume, forget, transition
from plb_ray.queues.embedded.ownership import redirected
from plb_ray.rpc.v1 import queue_pb2 as pb
from tests.shard.test_shard_store import MANY, PAUSE, fill, opened, rows, until

TO = ("shard-1", "host-b:1")


async def chain_here(shard, count=10):
    """Fill an order param and seal it chained; return the seal."""
    await fill(shard, count=count)
    await shard.run("K", PAUSE)
    return await shard.seal("K", "m", 1, TO, chained=True)


async def come_back(shard, base_seq=20, count=2):
    """Let the order param come back under epoch 3, behind the segment of epoch 2 elsewhere, and take messages."""
    await shard.run("K", transition(lambda record, _: redirected(record, 2, *TO)))
    await shard.run("K", BeginImport("back", 2))
    bounds = {"final_seq": base_seq, "acked_seq": base_seq, "delivered_seq": base_seq, "bytes_total": 0}
    told = {"producers": (), "chained": True, "behind": True, "after_epoch": 2, "after_endpoint": "host-b:1"}
    await shard.run("K", Resume("back", SealRecord("K", "back", 3, **bounds, **told)))
    await shard.append("K", Append(3, "q", 1, (b"x",) * count))


async def polled(shard, consumer="c", holds=None):
    """Return epoch -> sequences."""
    found = await shard.poll(consumer, (), MANY, 0.0, holds)
    return {part.epoch: [message.seq for message in messages] for part, messages in found}


async def test_the_split_is_on_disk(tmp_path):
    """A shard that starts again has the trailing segment with its cursor, and a tombstone that answers the same seal."""
    async with opened(tmp_path) as shard:
        sealed = await chain_here(shard)
        await shard.run("K", Ack(1, 4), 1)
    async with opened(tmp_path) as shard:
        tombstone, trailing = shard.record("K"), shard.view.lines["K", 1].record
        assert (tombstone.ownership, tombstone.handed_over, trailing.ownership) == (
            Ownership.SEALED,
            False,
            Ownership.TRAILING,
        )
        assert await shard.seal("K", "m", 1, TO, chained=True) == sealed
        assert [(one.producer, one.producer_seq, one.seq) for one in sealed.producers] == [("p", 10, 10)]
        assert await polled(shard) == {1: [5, 6, 7, 8, 9, 10]}
        load = shard.load()
        assert [(one.epoch, one.backlog) for one in load.segments] == [(1, 6)]
        assert load.order_params == ()


async def test_nothing_is_split_if_the_commit_fails(tmp_path, monkeypatch):
    """When a chained seal cannot be written the order param is served as before, and the seal can be made afterwards."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", PAUSE)
        with monkeypatch.context() as patch:
            patch.setattr(Database, "commit", failing)
            with pytest.raises(errors.ShardUnavailableError):
                await shard.seal("K", "m", 1, TO, chained=True)
        assert await polled(shard) == {1: list(range(1, 11))}
        assert list(shard.view.lines) == [("K", 0)]
        assert (await shard.seal("K", "m", 1, TO, chained=True)).behind


def failing(database):
    del database
    raise sqlite3.OperationalError("disk full")


async def test_acks_that_were_queued_behind_the_seal_meet_the_segment(tmp_path):
    """An ack and a nack of the old epoch that come while the chained seal is being written take effect on what it leaves."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        assert await polled(shard) == {1: list(range(1, 11))}
        await shard.run("K", PAUSE)
        sealing = asyncio.create_task(shard.seal("K", "m", 1, TO, chained=True))
        await asyncio.sleep(0)
        service = DataService(shard)
        ack = pb.AckRequest(order_param="K", epoch=1, up_to_seq=3, consumer="c")
        nack = pb.NackRequest(order_param="K", epoch=1, seq=6, consumer="c")
        answers = await asyncio.gather(service.Ack(ack, None), service.Nack(nack, None))
        assert [answer.acked_seq for answer in answers] == [3, 5]
        assert (await sealing).behind
        assert shard.view.lines["K", 1].record.acked_seq == 5
        assert await polled(shard) == {1: [6, 7, 8, 9, 10]}


async def test_a_nack_that_a_copying_seal_overtakes_is_to_be_repeated(tmp_path):
    """Giving back what the seal already says is in flight is refused, since the destination would not deliver it again."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        assert await polled(shard) == {1: list(range(1, 11))}
        await shard.run("K", PAUSE)
        nack = DataService(shard).Nack(pb.NackRequest(order_param="K", epoch=1, seq=6, consumer="c"), None)
        refused = asyncio.create_task(nack)
        await asyncio.sleep(0)
        sealed = await shard.seal("K", "m", 1, TO, chained=False)
        assert (sealed.acked_seq, sealed.delivered_seq) == (5, 10)
        with pytest.raises(errors.PausedError):
            await refused


async def test_three_segments_survive_a_restart(tmp_path):
    """S1 -> S2 -> S1: after a restart the front is delivered, the rest to its holder, each acknowledged by its epoch."""
    async with opened(tmp_path) as shard:
        await chain_here(shard)
        await come_back(shard)
    async with opened(tmp_path) as shard:
        assert shard.record("K").behind
        assert await polled(shard) == {1: list(range(1, 11))}
        hold_no = shard.view.lines["K", 1].hold_no
        assert await polled(shard, holds={"K": hold_no}) == {3: [21, 22]}
        assert await polled(shard, "other", holds={"K": hold_no - 1}) == {}
        assert await shard.run("K", Ack(1, 10), 1) == 10
        with pytest.raises(errors.BadInputError):
            await shard.run("K", Ack(3, 23), 3)
        await shard.advance("K", 1)
        assert shard.record("K").behind  # it waits for epoch 2
        await shard.advance("K", 2)
        assert not shard.record("K").behind


async def test_the_reader_ahead_is_known_after_a_restart(tmp_path):
    """Who had claimed a segment that is behind gets it again after a restart, and nobody with a lower number does."""
    async with opened(tmp_path) as shard:
        await chain_here(shard)
        await come_back(shard)
        assert (await polled(shard, "one", holds={"K": 1 << 52}))[3] == [21, 22]
    async with opened(tmp_path) as shard:
        assert 3 not in await polled(shard, "two", holds={"K": (1 << 52) - 1})
        assert (await polled(shard, "one"))[3] == [21, 22]


async def test_a_consumed_segment_is_forgotten(tmp_path):
    """At its end a trailing segment leaves nothing behind but the redirect, also for acks that come late."""
    async with opened(tmp_path) as shard:
        await chain_here(shard, count=1000)
        assert not await shard.run("K", forget, 1)
        await shard.run("K", Ack(1, 1000), 1)
        assert await shard.run("K", forget, 1)
        assert list(shard.view.lines) == [("K", 0)]
        with pytest.raises(errors.MovedError):
            await shard.run("K", Ack(1, 1000), 1)
        assert not await shard.run("K", forget, 1)  # it means the tombstone now, and leaves it
        assert shard.record("K").ownership is Ownership.SEALED
        await until(lambda: rows(shard) == 0)
    async with opened(tmp_path) as shard:
        assert list(shard.view.lines) == [("K", 0)]
