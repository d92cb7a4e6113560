"""A soft pause: appends go on until the seal, which brings along what the destination lacks, and Resume takes that in."""

import asyncio
from dataclasses import replace

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership, SealRecord
from plb_ray.queues.embedded.operations import Append, BeginImport, Drain, Entry, ImportChunk, Pause, Resume, Seal
from plb_ray.queues.embedded.ownership import Record, aborted, settled
from plb_ray.queues.embedded.reading import TAIL_MESSAGES
from plb_ray.queues.embedded.sealing import SealOrder
from tests.shard.test_shard_operations import ACTIVE, NOW, apply, blocks, stored_by
from tests.shard.test_shard_store import fill, opened

TO = ("shard-1", "host:1")
SOFT = Pause("m", 1, 5000, soft=True)
SEAL = Seal(SealOrder("m", 1, TO, 0))
SEALED = SealRecord("K", "m", 2, final_seq=9, acked_seq=4, delivered_seq=6, bytes_total=90, producers=())


def imported(*bounds):
    """An import of migration m with these blocks."""
    _, entry, _ = apply(Entry(Record("K")), BeginImport("m", 1))
    _, entry, _ = apply(entry, ImportChunk("m", 1, blocks(*bounds)))
    return entry


def test_appends_go_on_until_the_seal_and_are_in_it():
    """What is appended during a soft pause is in the seal's bounds and dedupe table; after it the append is redirected."""
    _, entry, _ = apply(Entry(ACTIVE), SOFT)
    (last_seq, _), entry, _ = apply(entry, Append(1, "p", 1, (b"a", b"b")))
    sealed, entry, _ = apply(entry, SEAL)
    assert (last_seq, sealed.final_seq, sealed.producers[0].producer_seq) == (2, 2, 2)
    assert not entry.record.soft
    with pytest.raises(errors.MovedError):
        apply(entry, Append(1, "p", 3, (b"c",)))


def test_a_pause_is_as_soft_as_its_last_call():
    """A repeat may make it hard; its lease's end and an abort leave nothing of it."""
    _, entry, _ = apply(Entry(ACTIVE), SOFT)
    _, hard, _ = apply(entry, Pause("m", 1, 5000))
    with pytest.raises(errors.PausedError):
        apply(hard, Append(1, "p", 1, (b"a",)))
    for over in (settled(entry.record, NOW.mono_s + 5), aborted(entry.record, "m")):
        assert over == ACTIVE
    with pytest.raises(errors.LeaseExpiredError):
        SEAL(entry, replace(NOW, mono_s=NOW.mono_s + 5))


@pytest.mark.parametrize(
    ("here", "tail", "new"),
    [
        ([(5, 7)], [(8, 9)], [8, 9]),
        ([(5, 7)], [(6, 9)], [8, 9]),
        ([(5, 9)], [(8, 9)], []),
        ([(2, 3)], [(5, 9)], [5, 6, 7, 8, 9]),
        ([], [(5, 7), (8, 9)], [5, 6, 7, 8, 9]),
    ],
)
def test_a_tail_completes_an_import(here, tail, new):
    """What continues the copy, or follows what was acknowledged, is stored with the take-over; repetitions are dropped."""
    _, entry, effect = apply(imported(*here), Resume("m", SEALED, blocks(*tail)))
    assert (entry.record.ownership, entry.record.acked_seq, entry.record.last_seq) == (Ownership.ACTIVE, 4, 9)
    assert [message.seq for message in stored_by(effect)] == new
    assert not effect.early
    _, _, again = apply(entry, Resume("m", SEALED, blocks(*tail)))
    assert (again.record, stored_by(again)) == (entry.record, [])


@pytest.mark.parametrize("here", [[(5, 6)], [(1, 3)], []])
def test_a_tail_after_a_gap_proves_nothing(here):
    """If what is before the tail is neither here nor acknowledged, nothing changes and the backlog has to be copied."""
    with pytest.raises(errors.RetryableError):
        apply(imported(*here), Resume("m", SEALED, blocks((8, 9))))


def test_a_tail_of_another_migration_is_not_taken():
    """An import that another migration has begun since is left alone."""
    with pytest.raises(errors.MigrationConflictError):
        apply(imported((5, 7)), Resume("m2", replace(SEALED, migration_id="m2"), blocks((8, 9))))


async def test_a_seal_gives_out_a_small_tail(tmp_path):
    """The messages after what the destination has; none if they are many, or gone."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", SOFT)
        sealed = await shard.seal("K", "m", 1, TO, chained=False)
        assert [message.seq for block in await shard.tail(sealed, 7) for message in block.messages()] == [8, 9, 10]
        assert await shard.tail(sealed, 10) == []
        assert await shard.tail(replace(sealed, final_seq=7 + TAIL_MESSAGES + 1), 7) == []
        await shard.run("K", Drain("m", 100))
        assert await shard.tail(sealed, 7) == []


async def test_no_tail_of_what_has_come_back(tmp_path):
    """A late repeat of a seal, after the order param has come back, gives out nothing of what is here now."""
    async with opened(tmp_path) as shard:
        await fill(shard)
        await shard.run("K", SOFT)
        sealed = await shard.seal("K", "m", 1, TO, chained=False)
        await shard.run("K", Drain("m", 100))
        await shard.run("K", BeginImport("m2", 2))
        await shard.run("K", ImportChunk("m2", 2, blocks((1, 10))))
        assert await shard.tail(sealed, 7) == []


async def test_appends_that_wait_with_the_seal_are_in_it_or_redirected(tmp_path):
    """Of appends that are queued around a seal none is lost: each has its sequence in the seal, or is told to go on."""
    async with opened(tmp_path) as shard:
        await fill(shard, count=1, batch=1)
        await shard.run("K", SOFT)
        append = [asyncio.ensure_future(shard.append("K", Append(1, f"q{n}", 1, (b"x",)))) for n in range(20)]
        sealing = asyncio.create_task(shard.seal("K", "m", 1, TO, chained=False))
        await asyncio.sleep(0)
        append += [asyncio.ensure_future(shard.append("K", Append(1, f"q{n}", 1, (b"x",)))) for n in range(20, 40)]
        sealed, outcomes = await sealing, await asyncio.gather(*append, return_exceptions=True)
        taken = [outcome[0] for outcome in outcomes if not isinstance(outcome, Exception)]
        assert sorted(taken) == list(range(2, sealed.final_seq + 1))
        assert {type(one) for one in outcomes if isinstance(one, Exception)} <= {errors.MovedError}
