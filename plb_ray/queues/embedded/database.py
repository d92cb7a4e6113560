"""The SQL of the embedded shard: tables, one write connection, read connections.

`slot` is where the messages and producers of one segment of an order param are stored. Wiping gives an order param a new
slot, which is instant whatever its backlog; the old slot's blocks are garbage that is deleted in chunks, also after a
restart. Messages lie in blocks, one row each; a block goes when all its messages may.

Table `record` has one column for each field of `ownership.Record` that outlives the process, so that a field that a later
release adds is added here when the data is opened. What is more than that is converted, see `conversion`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded import conversion
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.ownership import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from plb_ray.queues.embedded.blocks import StoredMessage


def _default(field: Field[Any]) -> str:
    """Return what a column is filled with where the data is older than the field."""
    value = "" if field.default is MISSING else field.default
    return f" DEFAULT '{value}'" if isinstance(value, str) else f" DEFAULT {value:d}"


_TYPES = {"str": "TEXT", "float": "REAL", "Ownership": "TEXT"}
_FIELDS = {field.name: field for field in fields(Record) if field.name not in ("lease_until_s", "soft")}
_COLUMNS = {name: f"{_TYPES.get(str(field.type), 'INTEGER')} NOT NULL{_default(field)}" for name, field in _FIELDS.items()}
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS shard (one INTEGER PRIMARY KEY CHECK (one = 1), shard_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS record (
    segment INTEGER NOT NULL, slot INTEGER NOT NULL UNIQUE, {", ".join(map(" ".join, _COLUMNS.items()))},
    PRIMARY KEY (order_param, segment)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS block (
    slot INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_seq INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (slot, last_seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS producer (
    slot INTEGER NOT NULL, producer TEXT NOT NULL, producer_seq INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (slot, producer)
) WITHOUT ROWID;
"""
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "wal_autocheckpoint=0",
    "cache_size=-32768",
    "busy_timeout=5000",
    "secure_delete=OFF",
)
_NAMES = ", ".join(_FIELDS)
_SELECT = f"SELECT segment, slot, {_NAMES} FROM record"  # noqa: S608 - constants
_PUT = f"INSERT OR REPLACE INTO record (segment, slot, {_NAMES}) VALUES ({', '.join('?' * (len(_FIELDS) + 2))})"  # noqa: S608 - constants
_SLOTS = """
WITH RECURSIVE
    filled(slot) AS (SELECT min(slot) FROM block UNION ALL
        SELECT (SELECT min(slot) FROM block WHERE slot > filled.slot) FROM filled WHERE slot IS NOT NULL)
SELECT slot FROM filled WHERE slot IS NOT NULL UNION SELECT DISTINCT slot FROM producer ORDER BY 1
"""
_BLOCKS = "SELECT data FROM block WHERE slot = ? AND last_seq >= ? ORDER BY last_seq"
_BOUNDS = "SELECT first_seq, last_seq, length(data) FROM block WHERE slot = ? AND last_seq <= ? ORDER BY last_seq"
ALL_SEQ = 2**62
TRIM_BYTES = 4 << 20  # deleted with one transaction: a thousand pages
CACHED_BLOCKS = 16


class Database:
    """The write connection. Used by one thread at a time; transactions are opened and closed explicitly.

    Raises:
        BadInputError: the data is of a newer release.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with contextlib.ExitStack() as undo:
            undo.callback(self._connection.close)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            conversion.prepare(self._connection)
            self._connection.executescript(_SCHEMA)
            self._add_columns()
            conversion.convert(self._connection)
            undo.pop_all()

    def close(self) -> None:
        """Checkpoint and close."""
        self._connection.close()

    def begin(self) -> None:
        """Open a write transaction, unless one is open."""
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the transaction durable: returns after the sync to disk."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if SQLite has not done so already."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @property
    def in_transaction(self) -> bool:
        """A transaction is open."""
        return self._connection.in_transaction

    def checkpoint(self) -> None:
        """Copy what the log holds into the database, so that the next transaction begins the log anew."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def claim(self, shard_id: str) -> str:
        """Return the id of the shard whose data this is; a new database takes `shard_id`."""
        self._connection.execute("INSERT OR IGNORE INTO shard VALUES (1, ?)", (shard_id,))
        return str(self._connection.execute("SELECT shard_id FROM shard").fetchone()[0])

    def record(self, order_param: str, segment: int) -> tuple[int, Record] | None:
        """Return the slot and record of one segment of an order param; segment 0 is the order param's own record."""
        rows = self._connection.execute(f"{_SELECT} WHERE order_param = ? AND segment = ?", (order_param, segment))
        found = rows.fetchone()
        return None if found is None else (found[1], _record(found[2:]))

    def records(self) -> list[tuple[int, int, Record]]:
        """Return all segments, slots and records."""
        return [(row[0], row[1], _record(row[2:])) for row in self._connection.execute(_SELECT)]

    def producers(self, slot: int) -> dict[str, tuple[int, int]]:
        """Return name -> (last number, sequence) of a slot's producers."""
        rows = self._connection.execute("SELECT producer, producer_seq, seq FROM producer WHERE slot = ?", (slot,))
        return {name: (number, seq) for name, number, seq in rows}

    def blocks(self, slot: int, after_seq: int) -> Iterator[Block]:
        """Yield a slot's messages after a sequence, in order; the first block is cut to begin there."""
        blocks = (Block.stored(data) for (data,) in self._connection.execute(_BLOCKS, (slot, after_seq + 1)))
        for block in blocks:
            yield block.part(after_seq + 1, block.last_seq)
            yield from blocks

    def slots(self) -> tuple[int, ...]:
        """Return every slot that holds messages or producers, ascending."""
        return tuple(row[0] for row in self._connection.execute(_SLOTS))

    def put_records(self, records: Iterable[tuple[int, int, Record]]) -> None:
        """Insert or replace (segment, slot, record); a record in state NONE is deleted."""
        kept, gone = [], []
        for segment, slot, record in records:
            if record.ownership is Ownership.NONE:
                gone.append((record.order_param, segment))
            else:
                kept.append((segment, slot, *(getattr(record, name) for name in _FIELDS)))
        self._connection.executemany("DELETE FROM record WHERE order_param = ? AND segment = ?", gone)
        self._connection.executemany(_PUT, kept)

    def put_blocks(self, blocks: Iterable[tuple[int, Block]]) -> None:
        """Insert (slot, block)."""
        rows = [(slot, block.last_seq, block.first_seq, block.data) for slot, block in blocks]
        self._connection.executemany("INSERT INTO block VALUES (?, ?, ?, ?)", rows)

    def put_producers(self, rows: Iterable[tuple[int, str, int, int]]) -> None:
        """Insert or replace (slot, producer, producer_seq, seq)."""
        self._connection.executemany("INSERT OR REPLACE INTO producer VALUES (?, ?, ?, ?)", rows)

    def trim(self, slot: int, up_to_seq: int, limit: int) -> int:
        """Delete a slot's oldest blocks that end at `up_to_seq` or before; return how many messages that were.

        It stops as soon as it has `limit` messages or `TRIM_BYTES`. 0: none are left.
        """
        count = size = last_seq = 0
        for first_seq, block_last_seq, length in self._connection.execute(_BOUNDS, (slot, up_to_seq)):
            count, size, last_seq = count + block_last_seq - first_seq + 1, size + length, block_last_seq
            if count >= limit or size >= TRIM_BYTES:
                break
        if count:
            self._connection.execute("DELETE FROM block WHERE slot = ? AND last_seq <= ?", (slot, last_seq))
        return count

    def forget_producers(self, slot: int) -> None:
        """Delete the producers of a slot that is garbage."""
        self._connection.execute("DELETE FROM producer WHERE slot = ?", (slot,))

    def _add_columns(self) -> None:
        known = {row[1] for row in self._connection.execute("PRAGMA table_info(record)")}
        for name in _COLUMNS.keys() - known:
            self._connection.execute(f"ALTER TABLE record ADD COLUMN {name} {_COLUMNS[name]}")


class Reader:
    """A read connection: sees what is committed, blocks no writer. The lock lets it be closed while a thread reads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA query_only=1")
        self._newest: dict[int, Block] = {}  # of each slot that is being read, the block that was needed last

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def blocks(self, slot: int, first_seq: int, last_seq: int, most_messages: int, most_bytes: int) -> list[Block]:
        """Return a slot's messages in order: whole blocks until either bound is reached, cut to first_seq and last_seq."""
        found: list[Block] = []
        count = size = 0
        with self._lock:
            for block in self._stored(slot, first_seq):
                if not first_seq <= last_seq >= block.first_seq:
                    break
                found.append(block.part(first_seq, last_seq))
                count, size = count + len(found[-1]), size + found[-1].payload_bytes
                if block.last_seq >= last_seq or count >= most_messages or size >= most_bytes:
                    break
        return found

    def messages(self, slot: int, first_seq: int, last_seq: int) -> list[StoredMessage]:
        """Return a slot's messages in order."""
        found: list[StoredMessage] = []
        with self._lock:
            for block in self._kept(slot, first_seq):
                if block.first_seq > last_seq:
                    break
                found += block.messages(first_seq, last_seq)
                if block.last_seq >= last_seq:
                    self._keep(slot, block)
                    break
        return found

    def _stored(self, slot: int, first_seq: int) -> Iterator[Block]:
        rows = self._connection.execute(_BLOCKS, (slot, first_seq))
        try:
            for (data,) in rows:
                yield Block.stored(data)
        finally:
            rows.close()  # else the read transaction would stay open and the log could not begin anew

    def _kept(self, slot: int, first_seq: int) -> Iterator[Block]:
        """Begin with the block that the reading before has stopped in, if it is the right one."""
        kept = self._newest.get(slot)
        if kept is not None and kept.first_seq <= first_seq <= kept.last_seq:
            yield kept
            first_seq = kept.last_seq + 1
        yield from self._stored(slot, first_seq)

    def _keep(self, slot: int, block: Block) -> None:
        self._newest.pop(slot, None)
        self._newest[slot] = block
        if len(self._newest) > CACHED_BLOCKS:
            del self._newest[next(iter(self._newest))]


def _record(row: tuple[Any, ...]) -> Record:
    values = dict(zip(_FIELDS, row, strict=True))
    values["ownership"] = Ownership(values["ownership"])
    values.update({name: bool(values[name]) for name, field in _FIELDS.items() if field.type == "bool"})
    return Record(**values)
