"""What the writer thread does to one order param, as pure functions from its entry to an `Effect`.

An operation sees the newest entry (all operations before it are applied), and either raises, then nothing has changed, or
returns everything that is to be written. Nothing here touches SQLite or gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from plb_ray.errors import BadInputError, MigrationConflictError, RetryableError, SequenceGapError
from plb_ray.migration.ports import Ownership, ProducerState, SealRecord
from plb_ray.queues.embedded import ownership, sealing
from plb_ray.queues.embedded.blocks import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from plb_ray.queues.embedded.ownership import Record
    from plb_ray.queues.embedded.sealing import SealOrder


BLOCK_MESSAGES = 1000
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Now:
    """The time of an operation: monotonic seconds for leases, wall seconds for the stamps of messages."""

    mono_s: float
    wall_s: float


@dataclass(frozen=True)
class Entry:
    """An order param as an operation finds it. `producers`: name -> (its last number, the sequence it is stored under)."""

    record: Record
    producers: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """All that an operation changes, and its answer.

    Attributes:
        blocks: new messages, in order.
        wipe: forget the stored messages and producers first.
        trim: delete about `trim[1]` messages with seq <= `trim[0]`, oldest first; the answer is how many were.
        split: what is stored stays under this record, as a trailing segment; `record` is the order param's new one, which
            keeps the producers.
        volatile: nothing goes to disk; a restart forgets it.
        early: the answer need not wait for the disk.
    """

    result: Any
    record: Record
    blocks: Sequence[Block] = ()
    producers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    wipe: bool = False
    trim: tuple[int, int] | None = None
    split: Record | None = None
    volatile: bool = False
    early: bool = False


if TYPE_CHECKING:
    Operation = Callable[[Entry, Now], Effect]


def transition(step: Callable[[Record, float], Record]) -> Operation:
    """Return the operation that applies a step of `ownership`; its answer is the new record."""

    def operation(entry: Entry, now: Now) -> Effect:
        record = step(ownership.settled(entry.record, now.mono_s), now.mono_s)
        return Effect(record, record)

    return operation


@dataclass(frozen=True)
class Pause:
    """Step 1; see `ownership.paused`. Only in memory, since a restart ends every pause. Answers the record."""

    migration_id: str
    epoch: int
    lease_ms: int
    soft: bool = False

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        before = ownership.settled(entry.record, now.mono_s)
        record = ownership.paused(before, self.migration_id, self.epoch, self.lease_ms, now.mono_s, soft=self.soft)
        return Effect(record, record, volatile=True)


def look(entry: Entry, now: Now) -> Effect:
    """Change nothing; answer the record as everything submitted before has left it."""
    return Effect(ownership.settled(entry.record, now.mono_s), entry.record)


@dataclass(frozen=True)
class Append:
    """Messages of one producer, numbered from `first_producer_seq`. Answers (last sequence, all were there already).

    A repetition of the producer's newest append answers that append's sequence. One of an older append answers the
    newest sequence too, since only that is remembered: a producer that wants to know waits for each answer.
    """

    epoch: int
    producer: str
    first_producer_seq: int
    payloads: Sequence[bytes]

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`. What the producer has stored before is skipped; only the new part is written."""
        record = ownership.settled(entry.record, now.mono_s)
        ownership.require(record, self.epoch, append=True)
        last_number, last_seq = entry.producers.get(self.producer, (0, 0))
        known = last_number - self.first_producer_seq + 1
        if known < 0:
            raise SequenceGapError(self.producer, last_number)
        if known >= len(self.payloads):
            return Effect((last_seq, True), record)
        new = self.payloads[known:]
        number, seq = last_number + len(new), record.last_seq + len(new)
        size = sum(map(len, new))
        after = replace(record, last_seq=seq, bytes_total=record.bytes_total + size)
        blocks = tuple(self._blocks(new, record.last_seq + 1, last_number + 1, now))
        return Effect((seq, False), after, blocks, {self.producer: (number, seq)})

    def _blocks(self, payloads: Sequence[bytes], seq: int, number: int, now: Now) -> Iterator[Block]:
        """Yield the messages in blocks that are neither long nor large."""
        start = size = 0
        for place, payload in enumerate(payloads):
            if place > start and (place - start >= BLOCK_MESSAGES or size + len(payload) > BLOCK_BYTES):
                yield Block.appended(seq + start, self.producer, number + start, payloads[start:place], now.wall_s)
                start, size = place, 0
            size += len(payload)
        yield Block.appended(seq + start, self.producer, number + start, payloads[start:], now.wall_s)


@dataclass(frozen=True)
class Ack:
    """Everything up to a sequence is consumed. Cumulative, so that late and repeated acks do no harm."""

    epoch: int
    up_to_seq: int

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`. Answers the acknowledged sequence."""
        record = ownership.settled(entry.record, now.mono_s)
        ownership.require(record, self.epoch, append=False)
        if self.up_to_seq > record.last_seq:
            raise BadInputError(
                f"cannot acknowledge {self.up_to_seq} of {record.order_param!r}: the last message is {record.last_seq}"
            )
        acked_seq = max(record.acked_seq, self.up_to_seq)
        return Effect(acked_seq, replace(record, acked_seq=acked_seq))


@dataclass(frozen=True)
class BeginImport:
    """Make room for the copy of an order param; see `ownership.importing`. Answers the record."""

    migration_id: str
    epoch: int

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        before = ownership.settled(entry.record, now.mono_s)
        record = ownership.importing(before, self.migration_id, self.epoch)
        return Effect(record, record, wipe=record is not before)


@dataclass(frozen=True)
class ImportChunk:
    """Copied blocks, ascending without gaps. Answers (last sequence, messages and bytes that were new).

    The answer is early: the source keeps its copy until RESUME is on the destination's disk, and what came before with it.

    A chunk that starts after a gap says that what is between was acknowledged at the source meanwhile, and with it all
    that was copied before; `ownership.resumed` holds this against the seal.

    Attributes:
        after_seq: the last sequence that the copy believes to be here. If it is not, an early answer did not come true (the
            disk was full), and what follows is no gap: RetryableError, copy again.
    """

    migration_id: str
    epoch: int
    blocks: Sequence[Block]
    after_seq: int = 0

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        del now
        record = entry.record
        held = (record.ownership, record.migration_id, record.epoch)
        if held != (Ownership.IMPORTING, self.migration_id, self.epoch + 1):
            raise MigrationConflictError(f"{record.order_param!r} is not being imported by {self.migration_id} any more")
        if self.after_seq > record.last_seq:
            raise RetryableError(f"messages after {record.last_seq} of {record.order_param!r} were not written; copy again")
        new = [block for block in self.blocks if block.last_seq > record.last_seq]
        if not new:
            return Effect((record.last_seq, 0, 0), record, early=True)
        if new[0].first_seq <= record.last_seq:
            new[0] = new[0].part(record.last_seq + 1, new[0].last_seq)
        first, last = new[0].first_seq, new[-1].last_seq
        count, size = sum(map(len, new)), sum(block.payload_bytes for block in new)
        if last - first + 1 != count:
            raise BadInputError(f"a chunk of {record.order_param!r} has gaps between {first} and {last}")
        floor = record.acked_seq if first == record.last_seq + 1 else first - 1
        after = replace(record, last_seq=last, acked_seq=floor, bytes_total=record.bytes_total + size)
        return Effect((last, count, size), after, new, early=True)


@dataclass(frozen=True)
class Resume:
    """Take an order param over from its seal: bounds, cursor and dedupe table, and the tail that came with it.

    Answers the record. A tail that does not continue what is here is no help: the import is found incomplete.
    """

    migration_id: str
    sealed: SealRecord
    tail: Sequence[Block] = ()

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        before = ownership.settled(entry.record, now.mono_s)
        added = self._added(before, now)
        record = ownership.resumed(before if added is None else added.record, self.migration_id, self.sealed)
        if record is before:
            return Effect(record, record)
        producers = {known.producer: (known.producer_seq, known.seq) for known in self.sealed.producers}
        return Effect(record, record, () if added is None else added.blocks, producers)

    def _added(self, record: Record, now: Now) -> Effect | None:
        if not self.tail or record.ownership is not Ownership.IMPORTING:
            return None
        before_tail = self.tail[0].first_seq - 1
        after_seq = 0 if before_tail == self.sealed.acked_seq else before_tail
        return ImportChunk(self.migration_id, self.sealed.epoch - 1, self.tail, after_seq)(Entry(record, {}), now)


@dataclass(frozen=True)
class Seal:
    """The commit point; see `sealing.sealed`. Answers the `SealRecord`, the same one at each repeat."""

    order: SealOrder

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        before = ownership.settled(entry.record, now.mono_s)
        record, left = sealing.sealed(before, self.order)
        known = sorted(entry.producers.items())
        producers = tuple(ProducerState(name, number, seq) for name, (number, seq) in known)
        return Effect(sealing.seal_record(record, producers), record, split=left)


def forget(entry: Entry, now: Now) -> Effect:
    """Forget a trailing segment of which nothing is left. Answers whether it was one."""
    del now
    record = sealing.forgotten(entry.record)
    gone = record is not entry.record
    return Effect(gone, record, wipe=gone)


@dataclass(frozen=True)
class Abort:
    """Undo a migration before its commit point; see `ownership.aborted`. Answers the record."""

    migration_id: str

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        before = ownership.settled(entry.record, now.mono_s)
        record = ownership.aborted(before, self.migration_id)
        return Effect(record, record, wipe=before.ownership is Ownership.IMPORTING and record is not before)


@dataclass(frozen=True)
class Drain:
    """Step 5: delete a chunk of what was sealed by this migration. Answers how many were; 0 = nothing is left."""

    migration_id: str
    limit: int

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`. Where the order param is owned or not sealed yet this is refused."""
        record = ownership.settled(entry.record, now.mono_s)
        if record.ownership in ownership.OWNED:
            raise MigrationConflictError(f"{record.order_param!r} is {record.ownership} here: only sealed ones are drained")
        if record.ownership is not Ownership.SEALED or record.migration_id != self.migration_id:
            return Effect(0, record)
        return Effect(None, sealing.confirmed(record, self.migration_id), trim=(record.last_seq, self.limit))
