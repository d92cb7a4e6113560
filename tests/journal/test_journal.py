"""The journal on real databases: what is written is there, once, after any end of its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from plb_ray.domain.mapping import Placement
from plb_ray.domain.migration import MigrationMode, MigrationRecord, MigrationStep
from plb_ray.errors import BadInputError, NotTheOwnerError, RetryableError, StaleEpochError, UnknownOrderParamError
from plb_ray.journal.journal import open_journal
from plb_ray.journal.tables import metadata
from plb_ray.journal.upgrade import schema_sql
from plb_ray.migration.ports import ProducerState, SealRecord

FIRST = MigrationRecord("m1", "x", "a", "b", 4, MigrationStep.PREPARE, "p90 at 14:10", 100.0)
PRODUCERS = (ProducerState("p", 3, 2**40), ProducerState("q", 1, 8))
SEAL = SealRecord("x", "m1", 5, 2**40, 7, 9, 2**41, PRODUCERS, chained=True, behind=True, holder="c", hold_no=2**50)


async def test_records_come_back(journal):
    """The latest record of a migration is what was written last, with every field; the history has all of them."""
    done = replace(FIRST, step=MigrationStep.DONE, finished_s=101.5, messages_copied=9, bytes_copied=2**40, pause_ms=1.5)
    done = replace(done, mode=MigrationMode.CHAIN, at_s=101.25, lag_messages=2**41, eta_s=0.5)
    for record in (FIRST, replace(FIRST, error="at prepare: no answer"), done):
        await journal.write(record)
        assert await journal.get("m1") == record
    assert [record.step for record in await journal.history("m1")] == [FIRST.step, FIRST.step, MigrationStep.DONE]
    assert (await journal.history("m1"))[-1] == done
    assert await journal.get("nope") is None
    assert await journal.history("nope") == ()


async def test_unfinished_and_recent(journal):
    """Unfinished ones come oldest first, recent ones newest first, and the steps are counted."""
    for number, step in enumerate([MigrationStep.DONE, MigrationStep.SEALED, MigrationStep.ABORTED, MigrationStep.PREPARE]):
        await journal.write(replace(FIRST, migration_id=f"m{number}", step=step, started_s=100.0 + number))
    assert [record.migration_id for record in await journal.unfinished()] == ["m1", "m3"]
    assert [record.migration_id for record in await journal.recent(3)] == ["m3", "m2", "m1"]
    assert await journal.counts() == dict.fromkeys(
        (MigrationStep.DONE, MigrationStep.SEALED, MigrationStep.ABORTED, MigrationStep.PREPARE), 1
    )


async def test_seal_record_survives_later_records(journal):
    """What the source gave out at SEAL stays, whatever is written after it."""
    await journal.write(FIRST)
    assert await journal.sealed("m1") is None
    await journal.write(replace(FIRST, step=MigrationStep.SEALED), SEAL)
    await journal.write(replace(FIRST, step=MigrationStep.ACTIVATING))
    assert await journal.sealed("m1") == SEAL
    assert (await journal.get("m1")).step is MigrationStep.ACTIVATING


async def test_mapping(journal):
    """Create keeps the first placement, compare-and-set asks for the epoch, and the generation counts changes only."""
    mapping = journal.mapping
    first, second = Placement("x", ("a",), 1), Placement("x", ("a", "b"), 2)
    assert await mapping.create(first) == first
    assert await mapping.create(Placement("x", ("c",), 1)) == first
    assert await mapping.compare_and_set("x", 1, second) == second
    assert await mapping.compare_and_set("x", 1, second) == second
    for expected in (1, 3):
        with pytest.raises(StaleEpochError) as caught:
            await mapping.compare_and_set("x", expected, Placement("x", ("c",), expected + 1))
        assert caught.value.current == 2
    with pytest.raises(StaleEpochError) as caught:
        await mapping.compare_and_set("y", 1, Placement("y", ("c",), 2))
    assert caught.value.current == 0
    loaded = await mapping.load()
    assert (loaded.placements, loaded.generation) == ({"x": second}, 2)


async def test_reshape(journal):
    """Shards and rotation are replaced in the same epoch only; another epoch and a repeat change nothing."""
    mapping = journal.mapping
    first = Placement("x", ("a", "b"), 2, ("a", "b"))
    await mapping.create(first)
    shorter = replace(first, shards=("b",))
    assert await mapping.reshape(shorter) == shorter
    assert await mapping.reshape(shorter) == shorter
    for epoch in (1, 3):
        assert await mapping.reshape(Placement("x", ("c",), epoch)) == shorter
    with pytest.raises(UnknownOrderParamError):
        await mapping.reshape(Placement("y", ("c",), 1))
    loaded = await mapping.load()
    assert (loaded.placements, loaded.generation) == ({"x": shorter}, 2)


async def test_surveyed_shards_are_remembered(tmp_path):
    """Shards that were noted once are known to every later owner; noting them again is harmless."""
    journal = await open_journal(tmp_path / "journal.sqlite")
    assert await journal.mapping.surveyed() == frozenset()
    for shards in ({"a", "b"}, {"b", "c"}, set()):
        await journal.mapping.note_surveyed(frozenset(shards))
    await journal.close()
    journal = await open_journal(tmp_path / "journal.sqlite")
    assert await journal.mapping.surveyed() == {"a", "b", "c"}
    await journal.close()


async def test_decisions(journal):
    """Decisions are numbered by the loop, come newest first, and a repeated number replaces."""
    log = journal.decisions
    assert (await log.latest(), await log.recent(5), await log.count()) == (None, (), 0)
    for number in range(4):
        await log.append(number, 60.0 * number, {"number": number, "moves": [{"order_param": "x"}]})
    await log.append(3, 200.0, {"number": 3, "moves": []})
    assert await log.latest() == {"number": 3, "moves": []}
    assert [document["number"] for document in await log.recent(2)] == [3, 2]
    assert await log.count() == 4


async def test_writers_share_commits(journal):
    """Concurrent writers share transactions: 500 placements take far fewer commits than 500."""
    commits = []
    original = journal._worker._commit
    journal._worker._commit = lambda operations: commits.append(len(operations)) or original(operations)
    await asyncio.gather(*(journal.mapping.create(Placement(f"n{number}", ("a",), 1)) for number in range(500)))
    assert sum(commits) == 500
    assert len(commits) < 10
    assert (await journal.mapping.load()).generation == 500


async def test_a_refusal_does_not_take_others_with_it(journal):
    """In one batch an operation that is refused leaves those before and after it alone."""
    results = await asyncio.gather(
        journal.mapping.create(Placement("x", ("a",), 1)),
        journal.mapping.compare_and_set("x", 7, Placement("x", ("b",), 8)),
        journal.mapping.create(Placement("y", ("a",), 1)),
        return_exceptions=True,
    )
    assert isinstance(results[1], StaleEpochError)
    assert set((await journal.mapping.load()).placements) == {"x", "y"}


async def test_database_failure_stores_nothing_and_says_so(journal):
    """When the database fails, nothing of the batch is stored and every writer of it can try again."""

    def fail(connection):
        connection.exec_driver_sql("INSERT INTO no_such_table VALUES (1)")

    first, failed = await asyncio.gather(
        journal.mapping.create(Placement("x", ("a",), 1)), journal._worker.run(fail), return_exceptions=True
    )
    assert isinstance(first, RetryableError)
    assert isinstance(failed, RetryableError)
    assert (await journal.mapping.load()).placements == {}
    await journal.write(FIRST)
    assert await journal.get("m1") == FIRST


async def test_reopening(tmp_path):
    """A journal that is opened again has everything, and counts its owners."""
    path = tmp_path / "journal.sqlite"
    for owners_before in range(3):
        journal = await open_journal(path)
        assert journal.takeovers == owners_before
        await journal.write(replace(FIRST, migration_id=f"m{owners_before}"))
        assert len(await journal.unfinished()) == owners_before + 1
        await journal.close()


async def test_one_owner(tmp_path):
    """A second owner is refused with the pid of the first, and let in when the first has closed."""
    path = tmp_path / "journal.sqlite"
    first = await open_journal(path)
    with pytest.raises(NotTheOwnerError, match=f"process {os.getpid()};"):
        await open_journal(path)
    await first.close()
    second = await open_journal(path)
    await second.close()


OWNER = """
import asyncio, sys
from pathlib import Path
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.journal.journal import open_journal

async def main():
    journal = await open_journal(Path(sys.argv[1]))
    await journal.write(MigrationRecord("m1", "x", "a", "b", 4, MigrationStep.SEALING, "", 1.0))
    print("written", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_killed_owner(tmp_path):
    """What a write has returned for survives SIGKILL of its process, and the lock does not."""
    path = tmp_path / "journal.sqlite"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, str(path), stdout=asyncio.subprocess.PIPE)
    try:
        assert await child.stdout.readline() == b"written\n"
        with pytest.raises(NotTheOwnerError, match=f"process {child.pid};"):
            await open_journal(path)
    finally:
        child.send_signal(signal.SIGKILL)
        await child.wait()
    journal = await open_journal(path)
    assert [record.step for record in await journal.unfinished()] == [MigrationStep.SEALING]
    assert journal.takeovers == 1
    await journal.close()


async def test_files_that_are_no_journal(tmp_path):
    """A foreign file, a folder in the way and a newer schema are refused in one sentence, and left as they are."""
    foreign = tmp_path / "foreign.sqlite"
    foreign.write_bytes(b"this is not a database" * 100)
    with pytest.raises(BadInputError, match=r"foreign\.sqlite: cannot be used"):
        await open_journal(foreign)
    assert foreign.read_bytes().startswith(b"this is not")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BadInputError, match="cannot be written"):
        await open_journal(blocked / "journal.sqlite")
    newer = tmp_path / "newer.sqlite"
    await (await open_journal(newer)).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(BadInputError, match="newer plb-ray"):
        await open_journal(newer)


async def test_failed_upgrade_leaves_nothing_half_made(tmp_path, monkeypatch):
    """A schema upgrade that is interrupted is undone as a whole, and the next start makes it."""
    path = tmp_path / "journal.sqlite"

    def interrupted(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("plb_ray.journal.records.increase_counter", interrupted)
        with pytest.raises(KeyboardInterrupt):
            await open_journal(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    await (await open_journal(path)).close()


async def test_revisions_make_the_tables(tmp_path):
    """The packaged revisions make exactly the tables that the code uses."""
    path = tmp_path / "journal.sqlite"
    await (await open_journal(path)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_schema_for_postgresql():
    """The same revisions make the schema in PostgreSQL's dialect."""
    sql = schema_sql("postgresql")
    for expected in ("CREATE TABLE migration_records", "number BIGSERIAL NOT NULL", "started_s FLOAT NOT NULL"):
        assert expected in sql
    assert "AUTOINCREMENT" not in sql


async def test_settings_of_the_connection(tmp_path):
    """SQLite runs in WAL mode and syncs every commit."""

    def pragmas(connection):
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]

    journal = await open_journal(tmp_path / "journal.sqlite")
    assert await journal._worker.run(pragmas) == ["wal", 2]
    await journal.close()


async def test_a_journal_that_a_frozen_process_is_writing(tmp_path):
    """Whoever finds it locked by a write that does not go on is told to end that process, not to throw the journal away."""
    path = tmp_path / "journal.sqlite"
    await (await open_journal(path)).close()
    frozen = sqlite3.connect(path, isolation_level=None)
    frozen.execute("BEGIN IMMEDIATE")
    with pytest.raises(BadInputError, match="end that process"):
        await open_journal(path)
    frozen.close()
    await (await open_journal(path)).close()
