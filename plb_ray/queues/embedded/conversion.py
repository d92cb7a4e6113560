"""Data of older releases, turned into what this one reads. `PRAGMA user_version` names the layout.

    0   no version: nothing yet, or one row per message in table `message` and one record per order param
    1   messages in blocks, records by (order param, segment)

A conversion is done when the version is written, in the transaction that drops the old tables. Until then the old tables
are as they were, so that one that was interrupted begins anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError
from plb_ray.queues.embedded.blocks import Block, StoredMessage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

VERSION = 1
PAGE_MESSAGES = 5000  # read, and written in one transaction
BLOCK_MESSAGES = 500
BLOCK_BYTES = 256 << 10
_OLD_RECORD = (
    "slot, order_param, ownership, epoch, migration_id, last_seq, acked_seq, delivered_seq, bytes_total, moved_to_shard, "
    "moved_to_endpoint, moved_epoch"
)
_PAGE = (
    "SELECT slot, seq, producer, producer_seq, payload, appended_s FROM message WHERE (slot, seq) > (?, ?) "
    "ORDER BY slot, seq LIMIT ?"
)


def prepare(connection: sqlite3.Connection) -> None:
    """Make room for the new tables beside the old ones.

    Raises:
        BadInputError: the data is of a newer release.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise BadInputError(f"the data has layout {version}, of a newer release; this one reads up to layout {VERSION}")
    if version == 0:
        connection.execute("DROP TABLE IF EXISTS block")
        if _has(connection, "message") and not _has(connection, "record_0"):
            connection.execute("ALTER TABLE record RENAME TO record_0")


def convert(connection: sqlite3.Connection) -> None:
    """Fill the new tables from the old ones, drop these, and write the version."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    old = _has(connection, "message")
    if old:
        _convert_messages(connection)
    connection.execute("BEGIN IMMEDIATE")
    if old:
        connection.execute("DELETE FROM record")
        connection.execute(f"INSERT INTO record (segment, {_OLD_RECORD}) SELECT 0, {_OLD_RECORD} FROM record_0")  # noqa: S608 - constants
        connection.execute("DROP TABLE record_0")
        connection.execute("DROP TABLE message")
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")


def _convert_messages(connection: sqlite3.Connection) -> None:
    slot, seq = -1, 0
    while page := connection.execute(_PAGE, (slot, seq, PAGE_MESSAGES)).fetchall():
        connection.execute("BEGIN IMMEDIATE")
        rows = [(number, block.last_seq, block.first_seq, block.data) for number, block in _blocks(page)]
        connection.executemany("INSERT INTO block VALUES (?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        slot, seq = page[-1][:2]


def _blocks(page: list[tuple[int, int, str, int, bytes, float]]) -> Iterator[tuple[int, Block]]:
    """Yield (slot, block) of rows (slot, seq, producer, producer_seq, payload, appended_s)."""
    slot, run, size = -1, list[StoredMessage](), 0
    for number, *values in page:
        message = StoredMessage(*values)
        ends = number != slot or message.seq != run[-1].seq + 1
        if run and (ends or len(run) >= BLOCK_MESSAGES or size >= BLOCK_BYTES):
            yield slot, Block.of(run)
            run, size = [], 0
        slot, size = number, size + len(message.payload)
        run.append(message)
    if run:
        yield slot, Block.of(run)


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None
