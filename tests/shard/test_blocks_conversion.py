"""Data of the first release, one row per message, opens with everything in it."""

import asyncio
import sqlite3

import pytest

from plb_ray import errors
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import conversion
from plb_ray.queues.embedded.conversion import BLOCK_MESSAGES, PAGE_MESSAGES
from plb_ray.queues.embedded.database import Database
from plb_ray.queues.embedded.operations import Append
from plb_ray.queues.embedded.shard import DATABASE_FILE
from tests.shard.test_shard_store import MANY, consumed, opened, rows, until

OLD = """
CREATE TABLE shard (one INTEGER PRIMARY KEY CHECK (one = 1), shard_id TEXT NOT NULL);
CREATE TABLE record (
    order_param TEXT PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, ownership TEXT NOT NULL, epoch INTEGER NOT NULL,
    migration_id TEXT NOT NULL, last_seq INTEGER NOT NULL, acked_seq INTEGER NOT NULL, delivered_seq INTEGER NOT NULL,
    bytes_total INTEGER NOT NULL, moved_to_shard TEXT NOT NULL, moved_to_endpoint TEXT NOT NULL, moved_epoch INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE message (
    slot INTEGER NOT NULL, seq INTEGER NOT NULL, producer TEXT NOT NULL, producer_seq INTEGER NOT NULL,
    appended_s REAL NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (slot, seq)
) WITHOUT ROWID;
CREATE TABLE producer (
    slot INTEGER NOT NULL, producer TEXT NOT NULL, producer_seq INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (slot, producer)
) WITHOUT ROWID;
INSERT INTO shard VALUES (1, 'shard-0');
INSERT INTO record VALUES ('K', 1, 'active', 3, '', 20, 4, 0, 200, '', '', 0);
INSERT INTO record VALUES ('L', 2, 'sealed', 2, 'm', 1, 1, 1, 9, 'shard-1', 'host:1', 2);
INSERT INTO producer VALUES (1, 'p', 10, 19), (1, 'q', 10, 20), (2, 'p', 1, 1);
"""


def old_data(directory):
    """Make a database as the first release left it: K with 16 waiting messages of two producers, L moved away, garbage."""
    directory.mkdir(exist_ok=True)
    connection = sqlite3.connect(directory / DATABASE_FILE)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(OLD)
    messages = [(1, seq, "pq"[(seq - 1) % 2], (seq + 1) // 2, 1.5 * seq, b"%d" % seq) for seq in range(3, 21)]
    garbage = [(9, seq, "p", seq, 1.0, b"x") for seq in (*range(1, 4), *range(7, PAGE_MESSAGES + 9))]
    connection.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", messages + garbage)
    connection.commit()
    return connection


def tables(connection):
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


async def test_old_data_opens(tmp_path):
    """Records, waiting messages, cursor and dedupe table are as they were; the tombstone redirects; garbage goes."""
    old_data(tmp_path).close()
    async with opened(tmp_path) as shard:
        load = shard.load().order_params[0]
        assert (load.epoch, load.backlog, load.backlog_bytes) == (3, 16, 5 + 2 * 11)
        ((_, messages),) = await shard.poll("c", (), MANY, 0.0)
        assert [(m.seq, m.producer, m.producer_seq, m.payload, m.appended_s) for m in messages] == [
            (seq, "pq"[(seq - 1) % 2], (seq + 1) // 2, b"%d" % seq, 1.5 * seq) for seq in range(5, 21)
        ]
        assert await shard.append("K", Append(3, "q", 10, (b"20",))) == (20, True)
        assert await shard.append("K", Append(3, "q", 11, (b"21",))) == (21, False)
        with pytest.raises(errors.MovedError) as moved:
            await shard.append("L", Append(1, "p", 2, (b"x",)))
        assert (moved.value.shard_id, moved.value.epoch) == ("shard-1", 2)
        await until(lambda: rows(shard) == 18 + 1)


async def test_converted_data_opens_again(tmp_path):
    """The conversion is done once: what the first opening has left, the second finds, and the old tables are gone."""
    old_data(tmp_path).close()
    async with opened(tmp_path) as shard:
        await shard.append("K", Append(3, "p", 11, (b"21",)))
    async with opened(tmp_path) as shard:
        assert await consumed(shard) == {"K": list(range(5, 22))}
        assert shard.record("L").ownership is Ownership.SEALED
        assert "message" not in tables(shard._database._connection)


def test_interrupted_conversion_begins_anew(tmp_path, monkeypatch):
    """A conversion that ends in its middle leaves the old messages, and the next one converts each of them once."""
    old_data(tmp_path).close()
    blocks = conversion._blocks

    def fail(page):
        if page[-1][0] == 9 and page[-1][1] > PAGE_MESSAGES:
            raise sqlite3.OperationalError("disk full")
        return blocks(page)

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "_blocks", fail)
        with pytest.raises(sqlite3.OperationalError):
            Database(tmp_path / DATABASE_FILE)
    database = Database(tmp_path / DATABASE_FILE)
    found = [message.seq for block in database.blocks(9, 0) for message in block.messages()]
    assert found == [*range(1, 4), *range(7, PAGE_MESSAGES + 9)]
    assert all(len(block) <= BLOCK_MESSAGES for block in database.blocks(9, 0))
    assert {record.order_param: record.epoch for _, _, record in database.records()} == {"K": 3, "L": 2}
    database.close()


def test_newer_data_is_left_alone(tmp_path):
    """Data of a newer release is refused with the reason, and not changed."""
    connection = sqlite3.connect(tmp_path / DATABASE_FILE)
    connection.execute("PRAGMA user_version=99")
    with pytest.raises(errors.BadInputError, match="newer release"):
        Database(tmp_path / DATABASE_FILE)
    assert tables(connection) == set()
    connection.close()


def test_a_new_field_of_the_record_becomes_a_column(tmp_path):
    """Data whose record table lacks a column of this release opens, with the field's default in the rows that are there."""
    path = tmp_path / DATABASE_FILE
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE record DROP COLUMN moved_epoch")
    connection.execute("ALTER TABLE record DROP COLUMN handed_over")
    connection.execute("INSERT INTO record (segment, slot, order_param, ownership) VALUES (0, 1, 'K', 'active')")
    connection.commit()
    connection.close()
    database = Database(path)
    ((_, _, record),) = database.records()
    assert (record.order_param, record.moved_epoch, record.handed_over) == ("K", 0, True)
    database.close()


async def test_conversion_bounds_the_log(tmp_path):
    """Many messages are converted in pages, so that the log does not get as big as the data."""
    connection = old_data(tmp_path)
    many = [(7, seq, "p", seq, 1.0, bytes(1000)) for seq in range(1, 6 * PAGE_MESSAGES)]
    connection.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", many)
    connection.commit()
    connection.close()
    database = Database(tmp_path / DATABASE_FILE)
    log = tmp_path / f"{DATABASE_FILE}-wal"
    assert log.stat().st_size < 2.5 * 1000 * PAGE_MESSAGES
    await asyncio.to_thread(database.close)
