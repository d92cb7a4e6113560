"""The SQL of the embedded shard: tables, one write connection, read connections.

`slot` is where an order param's messages and producers are stored. Wiping an order param gives it a new slot, which is
instant whatever its backlog; the old slot's messages are garbage that is deleted in chunks, also after a restart.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING

from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.operations import StoredMessage
from plb_ray.queues.embedded.ownership import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS shard (one INTEGER PRIMARY KEY CHECK (one = 1), shard_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS record (
    order_param TEXT PRIMARY KEY, slot INTEGER NOT NULL UNIQUE, ownership TEXT NOT NULL, epoch INTEGER NOT NULL,
    migration_id TEXT NOT NULL, last_seq INTEGER NOT NULL, acked_seq INTEGER NOT NULL, delivered_seq INTEGER NOT NULL,
    bytes_total INTEGER NOT NULL, moved_to_shard TEXT NOT NULL, moved_to_endpoint TEXT NOT NULL, moved_epoch INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    slot INTEGER NOT NULL, seq INTEGER NOT NULL, producer TEXT NOT NULL, producer_seq INTEGER NOT NULL,
    appended_s REAL NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (slot, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS producer (
    slot INTEGER NOT NULL, producer TEXT NOT NULL, producer_seq INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (slot, producer)
) WITHOUT ROWID;
"""
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-32768", "busy_timeout=5000")
_RECORD = (
    "order_param, ownership, epoch, migration_id, last_seq, acked_seq, delivered_seq, bytes_total, "
    "moved_to_shard, moved_to_endpoint, moved_epoch"
)
_READ = (
    "SELECT seq, producer, producer_seq, payload, appended_s FROM message "
    "WHERE slot = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
)
_TRIM = (
    "DELETE FROM message WHERE slot = ?1 AND seq <= "
    "(SELECT max(seq) FROM (SELECT seq FROM message WHERE slot = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3))"
)
ALL_SEQ = 2**62


class Database:
    """The write connection. Used by one thread at a time; transactions are opened and closed explicitly."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Checkpoint and close."""
        self._connection.close()

    def begin(self) -> None:
        """Open a write transaction."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable: returns after the sync to disk."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if SQLite has not done so already."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def claim(self, shard_id: str) -> str:
        """Return the id of the shard whose data this is; a new database takes `shard_id`."""
        self._connection.execute("INSERT OR IGNORE INTO shard VALUES (1, ?)", (shard_id,))
        return str(self._connection.execute("SELECT shard_id FROM shard").fetchone()[0])

    def record(self, order_param: str) -> tuple[int, Record] | None:
        """Return the slot and record of one order param."""
        row = self._connection.execute(f"SELECT slot, {_RECORD} FROM record WHERE order_param = ?", (order_param,))  # noqa: S608 - constants
        found = row.fetchone()
        return None if found is None else (found[0], _record(found[1:]))

    def records(self) -> Iterator[tuple[int, Record]]:
        """Return all slots and records."""
        for row in self._connection.execute(f"SELECT slot, {_RECORD} FROM record"):  # noqa: S608 - constants
            yield row[0], _record(row[1:])

    def producers(self, slot: int) -> dict[str, tuple[int, int]]:
        """Return name -> (last number, sequence) of a slot's producers."""
        rows = self._connection.execute("SELECT producer, producer_seq, seq FROM producer WHERE slot = ?", (slot,))
        return {name: (number, seq) for name, number, seq in rows}

    def sizes(self, slot: int, after_seq: int) -> Iterator[tuple[float, int]]:
        """Return (appended_s, payload bytes) of a slot's messages after a sequence, in order."""
        sql = "SELECT appended_s, length(payload) FROM message WHERE slot = ? AND seq > ? ORDER BY seq"
        yield from self._connection.execute(sql, (slot, after_seq))

    def slots(self) -> tuple[int, ...]:
        """Return every slot that holds messages or producers, ascending."""
        sql = "SELECT DISTINCT slot FROM message UNION SELECT DISTINCT slot FROM producer ORDER BY 1"
        return tuple(row[0] for row in self._connection.execute(sql))

    def put_records(self, records: Iterable[tuple[int, Record]]) -> None:
        """Insert or replace records; a record in state NONE is deleted."""
        kept, gone = [], []
        for slot, record in records:
            if record.ownership is Ownership.NONE:
                gone.append((record.order_param,))
            else:
                kept.append((slot, *_row(record)))
        sql = f"INSERT OR REPLACE INTO record (slot, {_RECORD}) VALUES ({', '.join('?' * 12)})"  # noqa: S608 - constants
        self._connection.executemany(sql, kept)
        self._connection.executemany("DELETE FROM record WHERE order_param = ?", gone)

    def put_messages(self, rows: Iterable[tuple[int, int, str, int, float, bytes]]) -> None:
        """Insert (slot, seq, producer, producer_seq, appended_s, payload)."""
        self._connection.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?)", rows)

    def put_producers(self, rows: Iterable[tuple[int, str, int, int]]) -> None:
        """Insert or replace (slot, producer, producer_seq, seq)."""
        self._connection.executemany("INSERT OR REPLACE INTO producer VALUES (?, ?, ?, ?)", rows)

    def trim(self, slot: int, up_to_seq: int, limit: int) -> int:
        """Delete the oldest messages of a slot, at most `limit` and none after `up_to_seq`; return how many."""
        return self._connection.execute(_TRIM, (slot, up_to_seq, limit)).rowcount

    def forget_producers(self, slot: int) -> None:
        """Delete the producers of a slot that is garbage."""
        self._connection.execute("DELETE FROM producer WHERE slot = ?", (slot,))


class Reader:
    """A read connection: sees what is committed, blocks no writer. The lock lets it be closed while a thread reads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA query_only=1")

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def messages(self, slot: int, first_seq: int, last_seq: int, limit: int, limit_bytes: int) -> list[StoredMessage]:
        """Return messages in order: at most `limit`, and none more once `limit_bytes` of payload are reached."""
        found: list[StoredMessage] = []
        size = 0
        with self._lock, contextlib.closing(self._connection.execute(_READ, (slot, first_seq, last_seq, limit))) as rows:
            for row in rows:
                found.append(StoredMessage(*row))
                size += len(found[-1].payload)
                if size >= limit_bytes:
                    break
        return found


def _row(record: Record) -> tuple[str | int, ...]:
    return (
        record.order_param,
        record.ownership.value,
        record.epoch,
        record.migration_id,
        record.last_seq,
        record.acked_seq,
        record.delivered_seq,
        record.bytes_total,
        record.moved_to_shard,
        record.moved_to_endpoint,
        record.moved_epoch,
    )


def _record(row: tuple[str | int, ...]) -> Record:
    order_param, ownership, *rest = row
    return Record(order_param, Ownership(ownership), *rest)  # type: ignore[arg-type]  # as _row wrote it
