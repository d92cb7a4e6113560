"""The writer's newest knowledge of every order param, ahead of the disk by one batch, and how effects change it.

Everything is keyed (order param, segment): segment 0 is the order param's own record; a trailing segment, whose appends
have moved on while its backlog is consumed here, has its epoch. Used by the writer's thread alone.

An outcome is `early` if its answer need not wait for the commit: nothing of its key waits for it, and the operation writes
nothing or is content with less. What is answered early may be seen to not have happened after a crash or a failed commit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.database import ALL_SEQ
from plb_ray.queues.embedded.operations import Entry
from plb_ray.queues.embedded.ownership import Record, after_restart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plb_ray.queues.embedded.blocks import Block
    from plb_ray.queues.embedded.database import Database
    from plb_ray.queues.embedded.operations import Effect, Now, Operation

Key = tuple[str, int]  # order param, segment
TRIM_CHUNK = 2000  # messages deleted with one transaction
PAGES_BYTES = 8 << 10  # of the pages that a commit changes besides those of its blocks: so much, and again for each key
TRIM_AFTER = 200  # acknowledged messages of one order param before it is worth a delete


class Committed(NamedTuple):
    """What one operation has changed.

    A split gives two: the trailing segment's (same slot as before, nothing added), then the order param's own, wiped.

    Attributes:
        slot: where the segment's messages are stored.
        segment: 0, or the epoch of a trailing segment.
        wiped: what was known of this key before holds no longer.
        added: new messages, in order. To be gone through once: after a restart they are read while one does.
    """

    slot: int
    segment: int
    record: Record
    wiped: bool
    added: Iterable[Block]


class Outcome(NamedTuple):
    """An operation's answer."""

    result: Any
    early: bool


@dataclass
class Slot:
    """A key's state. `answered`: the newest record that somebody was told of."""

    number: int
    record: Record
    producers: dict[str, tuple[int, int]]
    untrimmed: int = 0
    answered: Record | None = None


@dataclass
class Batch:
    """One transaction's content so far. `early_news` need not wait for its commit."""

    early_news: list[Committed] = field(default_factory=list)
    news: list[Committed] = field(default_factory=list)
    touched: dict[Key, Slot] = field(default_factory=dict)
    blocks: list[tuple[int, Block]] = field(default_factory=list)
    producers: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    garbage: list[int] = field(default_factory=list)


class Ledger:
    """Applies effects to memory and disk."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._slots: dict[Key, Slot] = {}
        self._trims: deque[tuple[int, int]] = deque()  # (slot, up to which sequence)
        self._next_slot = 1
        self._batch = Batch()
        self.bytes_written = 0  # of blocks
        self.log_bytes = 0  # about what the commits have written to SQLite's log

    @property
    def has_garbage(self) -> bool:
        """Something is waiting to be deleted."""
        return bool(self._trims)

    def recover(self) -> Iterator[Committed]:
        """Read everything back from disk; yield the news that rebuild the event loop's view."""
        owned = self._database.records()
        owners = {slot for _, slot, _ in owned}
        slots = self._database.slots()
        self._next_slot = max((0, *owners, *slots)) + 1
        self._trims.extend((slot, ALL_SEQ) for slot in slots if slot not in owners)
        for segment, number, stored in owned:
            record = after_restart(stored)
            self._slots[record.order_param, segment] = Slot(number, record, self._database.producers(number))
            if record.acked_seq:
                self._trims.append((number, record.acked_seq))
            yield Committed(number, segment, record, True, self._database.blocks(number, record.acked_seq))

    def run(self, order_param: str, segment: int, operation: Operation, now: Now) -> Outcome:
        """Run an operation on a trailing segment if there is one of this number, else on the order param's own record.

        Raises:
            PlbError: the operation's refusal; nothing has changed.
            sqlite3.Error: the transaction is of no use any more.
        """
        key = self.key(order_param, segment)
        slot = self._slots.get(key) or self._new_slot(Record(order_param))
        effect = operation(Entry(slot.record, slot.producers), now)
        waits = key in self._batch.touched
        if effect.wipe or effect.split is not None or effect.record != slot.record or effect.trim is not None:
            return self._apply(effect, key, slot, waits=waits)
        return Outcome(effect.result, not waits or effect.early)

    def key(self, order_param: str, segment: int) -> Key:
        """Return the key that `segment` means now."""
        return (order_param, segment if (order_param, segment) in self._slots else 0)

    def waits(self, key: Key) -> bool:
        """Something of this key waits for the commit."""
        return key in self._batch.touched

    def early_news(self) -> list[Committed]:
        """Return, once, the news that need not wait."""
        news, self._batch.early_news = self._batch.early_news, []
        return news

    def commit(self) -> list[Committed]:
        """Make the batch durable, delete a chunk of garbage with it, and return its news.

        Raises:
            sqlite3.Error: nothing of it holds; call `restore`.
        """
        batch = self._batch
        if batch.touched or self._trims or self._database.in_transaction:
            self._flush()
            self._trim_some()
            self._database.commit()
            self.log_bytes += PAGES_BYTES * (1 + len(batch.touched))
        self._batch = Batch()
        for key, slot in batch.touched.items():
            slot.answered = slot.record
            if slot.record.ownership is Ownership.NONE:
                self._slots.pop(key, None)
            elif slot.untrimmed >= TRIM_AFTER:
                slot.untrimmed = 0
                self._trims.append((slot.number, slot.record.acked_seq))
        self._trims.extend((number, ALL_SEQ) for number in batch.garbage)
        return batch.news

    def restore(self) -> None:
        """Nothing of the batch holds: take back from disk what it touched.

        Raises:
            sqlite3.Error: that cannot be read either; the shard has to be started again.
        """
        batch, self._batch = self._batch, Batch()
        if self._trims:
            self._trims.popleft()  # else a full disk would be hammered; the garbage waits for the next start
        self._database.rollback()
        for key, slot in batch.touched.items():
            self._reload(key, slot)

    def _apply(self, effect: Effect, key: Key, slot: Slot, *, waits: bool) -> Outcome:
        if effect.volatile and not waits:
            slot.record = slot.answered = effect.record
            self._slots[key] = slot
            self._batch.early_news.append(Committed(slot.number, key[1], effect.record, False, ()))
            return Outcome(effect.result, early=True)
        wiped = effect.wipe or effect.split is not None
        if effect.split is not None:
            slot = self._split(key, slot, effect.split)
        elif effect.wipe:
            if key in self._slots:  # else nothing was ever stored
                self._batch.garbage.append(slot.number)
            slot = self._new_slot(Record(key[0]), slot.answered)
        if wiped or effect.record != slot.record:
            self._keep(effect, key, slot, wiped=wiped)
        return Outcome(effect.result if effect.trim is None else self._trim(slot, effect.trim), effect.early)

    def _split(self, key: Key, slot: Slot, record: Record) -> Slot:
        """Leave what is stored to a trailing segment; return the slot on which the order param goes on."""
        trailing = Slot(slot.number, record, {}, slot.untrimmed)
        self._slots[key[0], record.epoch] = self._batch.touched[key[0], record.epoch] = trailing
        self._batch.news.append(Committed(slot.number, record.epoch, record, False, ()))
        new = self._new_slot(Record(key[0]), slot.answered)
        new.producers.update(slot.producers)
        self._batch.producers.update({(new.number, name): known for name, known in slot.producers.items()})
        return new

    def _keep(self, effect: Effect, key: Key, slot: Slot, *, wiped: bool) -> None:
        slot.untrimmed += max(0, effect.record.acked_seq - slot.record.acked_seq)
        slot.record = effect.record
        self._slots[key] = self._batch.touched[key] = slot
        for producer, known in effect.producers.items():
            slot.producers[producer] = self._batch.producers[slot.number, producer] = known
        self._batch.blocks.extend((slot.number, block) for block in effect.blocks)
        self._batch.news.append(Committed(slot.number, key[1], effect.record, wiped, effect.blocks))

    def _new_slot(self, record: Record, answered: Record | None = None) -> Slot:
        slot = Slot(self._next_slot, record, {}, answered=answered)
        self._next_slot += 1
        return slot

    def _flush(self) -> None:
        """Write what the batch holds so far."""
        batch = self._batch
        self._database.begin()
        self._database.put_blocks(batch.blocks)
        self._database.put_producers((slot, name, *known) for (slot, name), known in batch.producers.items())
        self._database.put_records((key[1], slot.number, slot.record) for key, slot in batch.touched.items())
        size = sum(len(block.data) for _, block in batch.blocks)
        self.bytes_written += size
        self.log_bytes += size
        batch.blocks.clear()
        batch.producers.clear()

    def _trim(self, slot: Slot, trim: tuple[int, int]) -> int:
        self._flush()
        return self._database.trim(slot.number, *trim)

    def _trim_some(self) -> None:
        """Delete a chunk of what nobody needs any more."""
        if not self._trims:
            return
        number, up_to_seq = self._trims[0]
        if not self._database.trim(number, up_to_seq, TRIM_CHUNK):
            self._trims.popleft()
            if up_to_seq == ALL_SEQ:
                self._database.forget_producers(number)

    def _reload(self, key: Key, touched: Slot) -> None:
        """Take a key back from disk; a pause that somebody was told of goes on, since it is only in memory."""
        stored = self._database.record(*key)
        self._slots.pop(key, None)
        if stored is None:
            return
        number, record, paused = stored[0], after_restart(stored[1]), touched.answered
        if paused is not None and paused.ownership is Ownership.PAUSED and paused.epoch == record.epoch:
            held = {name: getattr(paused, name) for name in ("ownership", "migration_id", "lease_until_s", "soft")}
            record = replace(record, **held)
        self._slots[key] = Slot(number, record, self._database.producers(number), answered=paused)
