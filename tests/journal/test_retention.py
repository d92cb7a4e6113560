"""What the journal forgets, what it keeps, and that forgetting never holds up a writer for long."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.errors import BadInputError, RetryableError
from plb_ray.journal.retention import Retention, keep_pruned

DONE = MigrationRecord("m", "x", "a", "b", 4, MigrationStep.DONE, "", 100.0)
LONG = Retention(keep_s=1e9)


async def ended(journal, count, step=MigrationStep.DONE):
    """Write `count` ended migrations of two records each; number n ended at second n."""
    for number in range(count):
        record = replace(DONE, migration_id=f"{step}-{number:03}", step=MigrationStep.PREPARE, started_s=float(number))
        await journal.write(record)
        await journal.write(replace(record, step=step, finished_s=float(number)))


async def ids(journal):
    return sorted(record.migration_id for record in await journal.recent(1000))


async def test_old_migrations_go_with_their_records(journal):
    """A migration that ended longer ago than it is kept goes with its history; one that ended later stays whole."""
    await ended(journal, 10)
    assert await journal.prune(replace(LONG, keep_s=5.0, chunk=2), now_s=12.0) == 7
    assert await ids(journal) == ["done-007", "done-008", "done-009"]
    assert (await journal.get("done-006"), await journal.history("done-006")) == (None, ())
    assert len(await journal.history("done-007")) == 2
    assert await journal.prune(replace(LONG, keep_s=5.0), now_s=12.0) == 0


async def test_only_so_many_are_kept(journal):
    """Beyond the count the longest ended go first, however young they are."""
    await ended(journal, 6)
    assert await journal.prune(replace(LONG, migrations=6), now_s=6.0) == 0
    assert await journal.prune(replace(LONG, migrations=2), now_s=6.0) == 4
    assert await ids(journal) == ["done-004", "done-005"]


async def test_what_runs_is_never_forgotten(journal):
    """A migration that has not ended stays, however old it is, with its whole history."""
    running = replace(DONE, step=MigrationStep.SEALED, started_s=-1e6)
    await journal.write(replace(running, step=MigrationStep.PREPARE))
    await journal.write(running)
    await ended(journal, 3)
    assert await journal.prune(Retention(keep_s=1.0, migrations=1), now_s=1e6) == 3
    assert await ids(journal) == ["m"]
    assert len(await journal.history("m")) == 2


async def test_totals_outlive_what_they_count(journal):
    """The counts by outcome include what was pruned: a counter of a monitoring system must not fall."""
    await ended(journal, 4)
    await ended(journal, 3, MigrationStep.ABORTED)
    before = await journal.counts()
    await journal.prune(replace(LONG, migrations=1), now_s=10.0)
    assert await ids(journal) == ["done-003"]
    assert await journal.counts() == before == {MigrationStep.DONE: 4, MigrationStep.ABORTED: 3}


async def test_decisions_go_by_age_and_count(journal):
    """Decisions are measured against the newest one's time; their numbers go on from where they were."""
    for number in range(10):
        await journal.decisions.append(number, 60.0 * number, {"number": number})
    assert await journal.prune(Retention(keep_s=180.0, chunk=2), now_s=0.0) == 6
    assert [document["number"] for document in await journal.decisions.recent(20)] == [9, 8, 7, 6]
    assert await journal.prune(replace(LONG, decisions=1, chunk=1), now_s=0.0) == 3
    assert await journal.decisions.count() == 10
    assert await journal.decisions.latest() == {"number": 9}


async def test_a_writer_waits_for_one_chunk_at_most(journal):
    """A write that comes while much is pruned is done before the pruning is: it waits for a chunk, not for all."""
    await ended(journal, 60)
    pruning = asyncio.create_task(journal.prune(Retention(keep_s=1.0, chunk=1), now_s=1e6))
    await asyncio.sleep(0)
    await journal.write(replace(DONE, migration_id="urgent", step=MigrationStep.SEALING))
    assert not pruning.done()
    assert await pruning == 60


async def test_pruning_goes_on_after_a_failure():
    """A journal that does not take it now is asked again at the next look."""
    looks = []

    class Failing:
        async def prune(self, _retention, now_s):
            looks.append(now_s)
            if len(looks) == 1:
                raise RetryableError("disk full")
            return 0

    async def sleep(seconds):
        assert seconds == Retention().every_s
        if len(looks) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_pruned(Failing(), Retention(), now_s=lambda: float(len(looks)), sleep=sleep)
    assert looks == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("wrong", [{"keep_s": 0}, {"migrations": 0}, {"decisions": 0}, {"chunk": 0}, {"every_s": 0}])
def test_bounds_of_the_retention(wrong):
    """A retention that would forget everything, or never end, is refused with its name."""
    with pytest.raises(BadInputError, match=next(iter(wrong))):
        Retention(**wrong)
