"""The seal and what follows from it: the tombstone, the trailing segment that a chained one leaves, and their ends.

Pure steps on records like those of `ownership`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from plb_ray.errors import LeaseExpiredError, PausedError, UnknownOrderParamError
from plb_ray.migration.ports import Ownership, ProducerState, SealRecord, SegmentState
from plb_ray.queues.embedded.ownership import (
    OWNED,
    RETRY_MS,
    Command,
    Record,
    confirmed_there,
    moved,
    next_state,
    other_migration,
    require_epoch,
)


@dataclass(frozen=True)
class SealOrder:
    """What a SEAL is told.

    Attributes:
        moved_to: the new owner's shard id and endpoint.
        own_endpoint: where this shard listens, for a destination that comes behind it.
        delivered_seq: the last message handed to a consumer.
        holder, hold_no: the consumer that holds the order param; empty: none.
        chained: what is not consumed stays here.
    """

    migration_id: str
    epoch: int
    moved_to: tuple[str, str]
    delivered_seq: int
    own_endpoint: str = ""
    holder: str = ""
    hold_no: int = 0
    chained: bool = False


def sealed(record: Record, order: SealOrder) -> tuple[Record, Record | None]:
    """The commit point: PAUSED by this migration, its lease alive (see `settled`) -> SEALED(epoch + 1).

    Returns:
        The tombstone, and the trailing segment's record if a chained seal leaves one.
    """
    if record.ownership is Ownership.SEALED and record.migration_id == order.migration_id:
        return record, None
    if record.ownership in OWNED:
        require_epoch(record, order.epoch)
    if record.ownership is Ownership.ACTIVE:
        raise LeaseExpiredError(f"the pause of {record.order_param!r} by {order.migration_id} is over; it serves again")
    if record.ownership is Ownership.PAUSED and record.migration_id != order.migration_id:
        raise other_migration(record)
    raised = record.hold_no > order.hold_no  # by an advance that came after the seal's order was made
    tombstone = replace(
        record,
        ownership=next_state(Command.SEAL, record, order.epoch),
        epoch=order.epoch + 1,
        delivered_seq=max(order.delivered_seq, record.acked_seq),
        moved_to_shard=order.moved_to[0],
        moved_to_endpoint=order.moved_to[1],
        moved_epoch=order.epoch + 1,
        lease_until_s=0.0,
        soft=False,
        chained=order.chained,
        handed_over=False,
        served_there=False,
        holder=record.holder if raised else order.holder,
        hold_no=record.hold_no if raised else order.hold_no,
    )
    if not order.chained:
        return tombstone, None
    tombstone = replace(tombstone, acked_seq=record.last_seq, delivered_seq=record.last_seq)
    if record.acked_seq == record.last_seq:
        return tombstone, None
    left = replace(
        record,
        ownership=Ownership.TRAILING,
        lease_until_s=0.0,
        soft=False,
        moved_to_shard=order.moved_to[0],
        moved_to_endpoint=order.moved_to[1],
        moved_epoch=order.epoch + 1,
    )
    return replace(tombstone, after_epoch=record.epoch, after_endpoint=order.own_endpoint), left


def advanced(record: Record, epoch: int, hold_no: int = 0, holder: str = "") -> Record:
    """All segments up to `epoch` are consumed: a record that waited for no later one is behind no longer.

    If another consumer has held these under a higher number than the holder here, that one has fallen behind: it is the
    holder no longer, and the next one gets a number above both. If it is the same one, or nobody knows who it was, the
    holder here goes on under the higher number: it may be at work on what it has, and its lease keeps others from that.
    """
    serves = record.ownership in OWNED or record.ownership is Ownership.TRAILING
    if serves and 0 < record.after_epoch <= epoch:
        front = replace(record, after_epoch=0, after_endpoint="")
        if hold_no <= record.hold_no:
            return front
        return replace(front, holder=record.holder if holder in ("", record.holder) else "", hold_no=hold_no)
    return record


def told(record: Record, epoch: int) -> Record:
    """Return an order param's own record as it is, if there is none after it that would have to be told the same.

    Raises:
        PausedError: it is being imported; it will know only from its seal that it is behind.
        MovedError: it was sealed while it waited for these segments, so its destination may wait for them now. So may the
            owner that an import has found here, which may be one that nobody goes on with.
        UnknownOrderParamError: this is no shard of the order param.
    """
    if record.ownership is Ownership.NONE:
        raise UnknownOrderParamError(record.order_param)
    if record.ownership is Ownership.IMPORTING:
        raise moved(record) if record.moved_epoch > epoch else PausedError(record.order_param, RETRY_MS)
    if record.ownership is Ownership.SEALED and 0 < record.after_epoch <= epoch:
        raise moved(record)
    return record


def has_ended(record: Record) -> bool:
    """Say of a trailing segment whether nothing of it or before it is left to consume.

    One that is all acknowledged and still behind has not: the acks of what is before it may have been lost, and then that
    comes again. So it stays, and those after it stay behind.
    """
    return record.ownership is Ownership.TRAILING and record.acked_seq == record.last_seq and not record.behind


def forgotten(record: Record) -> Record:
    """A trailing segment that has ended is forgotten: NONE. Anything else stays as it is."""
    return Record(record.order_param) if has_ended(record) else record


def confirmed(record: Record, migration_id: str) -> Record:
    """Somebody knows that the destination of this migration serves."""
    return confirmed_there(record) if _is_sealed_by(record, migration_id) else record


def drained(record: Record, migration_id: str) -> Record:
    """Nothing is left here of what this migration sealed, and its destination serves."""
    done = _is_sealed_by(record, migration_id) and record.served_there
    return replace(record, handed_over=True) if done else record


def _is_sealed_by(record: Record, migration_id: str) -> bool:
    return record.ownership is Ownership.SEALED and record.migration_id == migration_id


def segment_of(record: Record) -> SegmentState:
    """Return a trailing segment as the protocol shows it; it begins after what was acknowledged."""
    return SegmentState(record.epoch, record.acked_seq + 1, record.last_seq, record.acked_seq, front=not record.behind)


def seal_record(record: Record, producers: tuple[ProducerState, ...]) -> SealRecord:
    """Return what SEAL made final; a tombstone's record and producers do not change any more."""
    return SealRecord(
        order_param=record.order_param,
        migration_id=record.migration_id,
        epoch=record.epoch,
        final_seq=record.last_seq,
        acked_seq=record.acked_seq,
        delivered_seq=record.delivered_seq,
        bytes_total=record.bytes_total,
        producers=producers,
        chained=record.chained,
        behind=record.behind,
        holder=record.holder,
        hold_no=record.hold_no,
        after_epoch=record.after_epoch,
        after_endpoint=record.after_endpoint,
    )
