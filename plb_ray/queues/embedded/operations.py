"""What the writer thread does to one order param, as pure functions from its entry to an `Effect`.

An operation sees the newest entry (all operations before it are applied), and either raises, then nothing has changed, or
returns everything that is to be written. Nothing here touches SQLite or gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from plb_ray.errors import BadInputError, MigrationConflictError, SequenceGapError
from plb_ray.migration.ports import Ownership, ProducerState, SealRecord
from plb_ray.queues.embedded import ownership

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from plb_ray.queues.embedded.ownership import Record


@dataclass(frozen=True)
class Now:
    """The time of an operation: monotonic seconds for leases, wall seconds for the stamps of messages."""

    mono_s: float
    wall_s: float


@dataclass(frozen=True)
class StoredMessage:
    """One message as it is stored."""

    seq: int
    producer: str
    producer_seq: int
    payload: bytes
    appended_s: float


@dataclass(frozen=True)
class Entry:
    """An order param as an operation finds it. `producers`: name -> (its last number, the sequence it is stored under)."""

    record: Record
    producers: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """All that an operation changes, and its answer.

    Attributes:
        wipe: forget the stored messages and producers first.
        trim: delete at most `trim[1]` messages with seq <= `trim[0]`, oldest first; the answer is how many were.
    """

    result: Any
    record: Record
    messages: Sequence[StoredMessage] = ()
    producers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    wipe: bool = False
    trim: tuple[int, int] | None = None


if TYPE_CHECKING:
    Operation = Callable[[Entry, Now], Effect]


def transition(step: Callable[[Record, float], Record]) -> Operation:
    """Return the operation that applies a step of `ownership`; its answer is the new record."""

    def operation(entry: Entry, now: Now) -> Effect:
        record = step(ownership.settled(entry.record, now.mono_s), now.mono_s)
        return Effect(record, record)

    return operation


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
        messages = self._messages(record.last_seq, known, now)
        number, seq = messages[-1].producer_seq, messages[-1].seq
        size = sum(len(message.payload) for message in messages)
        after = replace(record, last_seq=seq, bytes_total=record.bytes_total + size)
        return Effect((seq, False), after, messages, {self.producer: (number, seq)})

    def _messages(self, last_seq: int, known: int, now: Now) -> list[StoredMessage]:
        first = self.first_producer_seq + known
        return [
            StoredMessage(last_seq + 1 + place, self.producer, first + place, payload, now.wall_s)
            for place, payload in enumerate(self.payloads[known:])
        ]


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
    """Copied messages, ascending without gaps. Answers (last sequence, messages and bytes that were new).

    A chunk that starts after a gap says that what is between was acknowledged at the source meanwhile, and with it all
    that was copied before; `ownership.resumed` holds this against the seal.
    """

    migration_id: str
    epoch: int
    messages: Sequence[StoredMessage]

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        del now
        record = entry.record
        held = (record.ownership, record.migration_id, record.epoch)
        if held != (Ownership.IMPORTING, self.migration_id, self.epoch + 1):
            raise MigrationConflictError(f"{record.order_param!r} is not being imported by {self.migration_id} any more")
        new = [message for message in self.messages if message.seq > record.last_seq]
        if not new:
            return Effect((record.last_seq, 0, 0), record)
        first, last = new[0].seq, new[-1].seq
        if last - first + 1 != len(new):
            raise BadInputError(f"a chunk of {record.order_param!r} has gaps between {first} and {last}")
        floor = record.acked_seq if first == record.last_seq + 1 else first - 1
        size = sum(len(message.payload) for message in new)
        after = replace(record, last_seq=last, acked_seq=floor, bytes_total=record.bytes_total + size)
        return Effect((last, len(new), size), after, new)


@dataclass(frozen=True)
class Resume:
    """Take an order param over from its seal: bounds, cursor and dedupe table. Answers the record."""

    migration_id: str
    sealed: SealRecord

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        before = ownership.settled(entry.record, now.mono_s)
        record = ownership.resumed(before, self.migration_id, self.sealed)
        if record is before:
            return Effect(record, record)
        producers = {known.producer: (known.producer_seq, known.seq) for known in self.sealed.producers}
        return Effect(record, record, producers=producers)


@dataclass(frozen=True)
class Seal:
    """The commit point; see `ownership.sealed`. Answers the `SealRecord`, the same one at each repeat."""

    migration_id: str
    epoch: int
    moved_to: tuple[str, str]
    delivered_seq: int

    def __call__(self, entry: Entry, now: Now) -> Effect:
        """See `Operation`."""
        before = ownership.settled(entry.record, now.mono_s)
        record = ownership.sealed(before, self.migration_id, self.epoch, self.moved_to, self.delivered_seq)
        return Effect(seal_record(record, entry.producers), record)


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
        return Effect(None, record, trim=(record.last_seq, self.limit))


def seal_record(record: Record, producers: Mapping[str, tuple[int, int]]) -> SealRecord:
    """Return what SEAL made final; a tombstone's record and producers do not change any more."""
    return SealRecord(
        order_param=record.order_param,
        migration_id=record.migration_id,
        epoch=record.epoch,
        final_seq=record.last_seq,
        acked_seq=record.acked_seq,
        delivered_seq=record.delivered_seq,
        bytes_total=record.bytes_total,
        producers=tuple(ProducerState(name, number, seq) for name, (number, seq) in sorted(producers.items())),
    )
