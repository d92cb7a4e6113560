"""A shard's database in memory, with what the writer relies on: transactions, and a disk that can be full.

It stands for `embedded.database.Database` under the shard's own `Ledger`. What is committed outlives the process that
wrote it; what is not goes with it (`rollback`).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from plb_ray.migration.ports import Ownership

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plb_ray.queues.embedded.blocks import Block, StoredMessage
    from plb_ray.queues.embedded.ownership import Record


class DiskFullError(Exception):
    """The commit failed; nothing of the transaction holds."""


class MemoryDatabase:
    """See the module. `is_full`: commits fail while it is set."""

    def __init__(self) -> None:
        self.is_full = False
        self.in_transaction = False
        self._records: dict[tuple[str, int], tuple[int, Record]] = {}
        self._producers: dict[int, dict[str, tuple[int, int]]] = {}
        self._blocks: dict[int, list[Block]] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []  # (table, key, what it had)

    def begin(self) -> None:
        """Open a transaction, unless one is open."""
        self.in_transaction = True

    def commit(self) -> None:
        """Make the transaction durable.

        Raises:
            DiskFullError: call `rollback`.
        """
        if self.is_full and self._undo:
            raise DiskFullError
        self._undo.clear()
        self.in_transaction = False

    def rollback(self) -> None:
        """Undo the transaction, if one is open; so does the end of the process."""
        for table, key, before in reversed(self._undo):
            if before is None:
                table.pop(key, None)
            else:
                table[key] = before
        self._undo.clear()
        self.in_transaction = False

    def checkpoint(self) -> None:
        """Do nothing; there is no log."""

    def record(self, order_param: str, segment: int) -> tuple[int, Record] | None:
        """See `Database`."""
        return self._records.get((order_param, segment))

    def records(self) -> list[tuple[int, int, Record]]:
        """See `Database`."""
        return [(segment, slot, record) for (_, segment), (slot, record) in self._records.items()]

    def producers(self, slot: int) -> dict[str, tuple[int, int]]:
        """See `Database`."""
        return dict(self._producers.get(slot, {}))

    def blocks(self, slot: int, after_seq: int) -> Iterator[Block]:
        """See `Database`."""
        for block in self._blocks.get(slot, ()):
            if block.last_seq > after_seq:
                yield block.part(after_seq + 1, block.last_seq)

    def slots(self) -> tuple[int, ...]:
        """See `Database`."""
        return tuple(sorted({*self._blocks, *self._producers}))

    def put_records(self, records: Iterable[tuple[int, int, Record]]) -> None:
        """See `Database`."""
        for segment, slot, record in records:
            key = (record.order_param, segment)
            self._change(self._records, key, None if record.ownership is Ownership.NONE else (slot, record))

    def put_blocks(self, blocks: Iterable[tuple[int, Block]]) -> None:
        """See `Database`."""
        for slot, block in blocks:
            stored = self._blocks.get(slot, [])
            assert not stored or block.first_seq > stored[-1].last_seq, "a sequence is stored twice"
            self._change(self._blocks, slot, [*stored, block])

    def put_producers(self, rows: Iterable[tuple[int, str, int, int]]) -> None:
        """See `Database`."""
        for slot, name, number, seq in rows:
            self._change(self._producers, slot, {**self._producers.get(slot, {}), name: (number, seq)})

    def trim(self, slot: int, up_to_seq: int, limit: int) -> int:
        """See `Database`."""
        stored, count, gone = self._blocks.get(slot, []), 0, 0
        for block in stored:
            if block.last_seq > up_to_seq or count >= limit:
                break
            count, gone = count + len(block), gone + 1
        if gone:
            self._change(self._blocks, slot, stored[gone:] or None)
        return count

    def forget_producers(self, slot: int) -> None:
        """See `Database`."""
        self._change(self._producers, slot, None)

    def read(self, slot: int, first_seq: int, last_seq: int, limit: int = 1 << 60) -> list[Block]:
        """Return a slot's messages from one sequence to another in whole blocks, until there are `limit` messages."""
        stored, found, count = self._blocks.get(slot, []), [], 0
        place = bisect_left(stored, first_seq, key=lambda block: block.last_seq)
        while place < len(stored) and stored[place].first_seq <= last_seq and count < limit:
            found.append(stored[place].part(first_seq, last_seq))
            count, place = count + len(found[-1]), place + 1
        return found

    def messages(self, slot: int, first_seq: int, last_seq: int) -> list[StoredMessage]:
        """Return a slot's messages from one sequence to another."""
        found: list[StoredMessage] = []
        for block in self.read(slot, first_seq, last_seq):
            found += block.messages(first_seq, last_seq)
        return found

    def _change(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key)))
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
