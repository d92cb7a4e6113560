"""Who may do what with an order param on this shard: the states, the table of legal transitions, and the pure steps.

    NONE --open--> ACTIVE(e) --pause--> PAUSED(e, migration, lease) --seal--> SEALED(e+1) = tombstone that redirects
                      ^                     |  abort, or the lease ends         (chained: and TRAILING(e) beside it)
                      +---------------------+
    NONE, SEALED --begin--> IMPORTING(migration, e+1) --resume--> ACTIVE(e+1)
                                  | abort --> NONE, or SEALED again if there was a tombstone

Each step takes a record and returns the new one; the same record returned means "already so, nothing to write". A step that
is not allowed raises. Time is `now_s` on the shard's own monotonic clock; leases do not survive a restart, and neither
does the pause (`after_restart`): a source that cannot know how long it was away serves again, and a late SEAL is refused.
For that reason a pause is never written to disk.

*Segments.* A chained seal leaves what is stored under a record of its own, TRAILING(e), beside the tombstone (`sealing`).
It takes polls and acks of epoch e until all of it is acknowledged, then it is forgotten. A record with `after_epoch` > 0 is
*behind*: segments up to that epoch, the last of them on the shard at `after_endpoint`, are not consumed yet (see `delivery`
and `herald`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from plb_ray.errors import (
    BadInputError,
    MigrationConflictError,
    MovedError,
    PausedError,
    PermanentError,
    PlbError,
    RetryableError,
    StaleEpochError,
    UnknownOrderParamError,
)
from plb_ray.migration.ports import OrderParamState, Ownership, SealRecord, SegmentState

RETRY_MS = 2


@dataclass(frozen=True)
class Record:
    """What the shard durably knows of one order param, or of one trailing segment of it.

    `lease_until_s` and `soft` are only in memory.

    Attributes:
        epoch: of the shard's own ownership; while SEALED the one after it, while IMPORTING the one to come; of a trailing
            segment the one it was appended under.
        migration_id: that paused, sealed, is importing, or resumed it here.
        acked_seq: while IMPORTING: everything up to here was acknowledged at the source and is not copied.
        delivered_seq: set by SEAL: acked_seq < seq <= delivered_seq were in flight.
        moved_epoch: epoch of the owner that `moved_to_*` name; 0 if there is none. Of a trailing segment: where the next
            segment began.
        lease_until_s: end of the pause, monotonic.
        soft: of the pause: appends go on, it only keeps the order param for its migration's SEAL.
        chained: SEALED by a chained migration.
        served_there: SEALED, and somebody has confirmed that the destination serves; an import here may wipe the copy.
        handed_over: that, and nothing of the copy is left here; while it is False `herald` has something to do.
        after_epoch, after_endpoint: what comes before and is not consumed; 0: nothing. While SEALED: what the destination
            was told of itself.
        holder, hold_no: SEALED or just resumed: the consumer that held the order param at the seal.
    """

    order_param: str
    ownership: Ownership = Ownership.NONE
    epoch: int = 0
    migration_id: str = ""
    last_seq: int = 0
    acked_seq: int = 0
    delivered_seq: int = 0
    bytes_total: int = 0
    moved_to_shard: str = ""
    moved_to_endpoint: str = ""
    moved_epoch: int = 0
    lease_until_s: float = 0.0
    chained: bool = False
    handed_over: bool = True
    after_epoch: int = 0
    after_endpoint: str = ""
    holder: str = ""
    hold_no: int = 0
    soft: bool = False
    served_there: bool = False

    @property
    def behind(self) -> bool:
        """Segments before this one are not consumed yet."""
        return self.after_epoch > 0


class Command(StrEnum):
    """What moves an order param from state to state."""

    OPEN = "open"
    PAUSE = "pause"
    SEAL = "seal"
    BEGIN = "begin"
    RESUME = "resume"
    ABORT = "abort"


_O = Ownership
TRANSITIONS: dict[tuple[Command, Ownership], Ownership] = {
    (Command.OPEN, _O.NONE): _O.ACTIVE,
    (Command.PAUSE, _O.ACTIVE): _O.PAUSED,
    (Command.PAUSE, _O.PAUSED): _O.PAUSED,  # renews the lease
    (Command.SEAL, _O.PAUSED): _O.SEALED,
    (Command.BEGIN, _O.NONE): _O.IMPORTING,
    (Command.BEGIN, _O.SEALED): _O.IMPORTING,  # it comes back
    (Command.BEGIN, _O.IMPORTING): _O.IMPORTING,  # a newer migration replaces an older one
    (Command.RESUME, _O.IMPORTING): _O.ACTIVE,
    (Command.ABORT, _O.PAUSED): _O.ACTIVE,
    (Command.ABORT, _O.IMPORTING): _O.NONE,
}
OWNED = frozenset({Ownership.ACTIVE, Ownership.PAUSED})


def settled(record: Record, now_s: float) -> Record:
    """Return the record as it is at `now_s`: a pause whose lease has ended is over."""
    if record.ownership is Ownership.PAUSED and now_s >= record.lease_until_s:
        return replace(record, ownership=Ownership.ACTIVE, migration_id="", lease_until_s=0.0, soft=False)
    return record


def after_restart(record: Record) -> Record:
    """Return the record as a new process takes it over: no lease survives, so no pause does."""
    return settled(record, now_s=float("inf"))


def require(record: Record, epoch: int, *, append: bool) -> None:
    """Let a data call pass, or say why not.

    Raises:
        UnknownOrderParamError, MovedError, PausedError, StaleEpochError.
    """
    if record.ownership is Ownership.TRAILING and (append or epoch != record.epoch):
        raise moved(record)
    match record.ownership:
        case Ownership.NONE:
            raise UnknownOrderParamError(record.order_param)
        case Ownership.SEALED:
            raise moved(record)
        case Ownership.IMPORTING:
            if epoch < record.moved_epoch:  # from before it left; an import that nobody goes on with must not hold it
                raise moved(record)
            raise PausedError(record.order_param, RETRY_MS)
    require_epoch(record, epoch)
    if append and record.ownership is Ownership.PAUSED and not record.soft:
        raise PausedError(record.order_param, RETRY_MS)


def moved(record: Record) -> MovedError:
    """Return the redirect of a tombstone."""
    return MovedError(record.order_param, record.moved_to_shard, record.moved_to_endpoint, record.moved_epoch)


def opened(record: Record, epoch: int) -> Record:
    """NONE -> ACTIVE(epoch)."""
    if epoch < 1:
        raise BadInputError(f"epoch {epoch} of {record.order_param!r} must be 1 or more")
    if record.ownership in OWNED and record.epoch == epoch:
        return record
    return replace(record, ownership=next_state(Command.OPEN, record, epoch), epoch=epoch)


def paused(record: Record, migration_id: str, epoch: int, lease_ms: int, now_s: float, *, soft: bool = False) -> Record:
    """Step 1: ACTIVE(epoch) -> PAUSED with a lease; a repeat by the same migration renews it."""
    if lease_ms < 1 or not migration_id:
        raise BadInputError(f"a pause of {record.order_param!r} needs a migration id and a lease of at least 1 ms")
    if record.ownership in OWNED:
        require_epoch(record, epoch)
    if record.ownership is Ownership.PAUSED and record.migration_id != migration_id:
        raise other_migration(record)
    state = next_state(Command.PAUSE, record, epoch)
    return replace(record, ownership=state, migration_id=migration_id, lease_until_s=now_s + lease_ms / 1000, soft=soft)


def importing(record: Record, migration_id: str, epoch: int) -> Record:
    """Begin the import of an order param whose source is at `epoch`. A changed record means: wipe what is stored of it."""
    if not migration_id or epoch < 1:
        raise BadInputError(f"an import of {record.order_param!r} needs a migration id and the source's epoch")
    same = record.migration_id == migration_id and record.epoch == epoch + 1
    if record.ownership is Ownership.IMPORTING and same:
        return record
    known = max(record.epoch - 1 if record.ownership is Ownership.IMPORTING else record.epoch, record.moved_epoch)
    if epoch < known:
        raise StaleEpochError(record.order_param, epoch, known)
    if not (record.handed_over or record.served_there):
        raise RetryableError(f"the hand-over of {record.order_param!r} by {record.migration_id} is not confirmed yet")
    return Record(
        record.order_param,
        next_state(Command.BEGIN, record, epoch),
        epoch + 1,
        migration_id,
        moved_to_shard=record.moved_to_shard,
        moved_to_endpoint=record.moved_to_endpoint,
        moved_epoch=record.moved_epoch,
    )


def resumed(record: Record, migration_id: str, seal: SealRecord) -> Record:
    """Step 4: IMPORTING by this migration and complete up to final_seq -> ACTIVE(seal.epoch)."""
    if record.ownership in OWNED and record.epoch >= seal.epoch:
        return record
    if record.ownership is Ownership.IMPORTING and (record.migration_id, record.epoch) != (migration_id, seal.epoch):
        raise other_migration(record)
    state = next_state(Command.RESUME, record, seal.epoch - 1)
    complete = record.last_seq >= seal.final_seq or seal.acked_seq >= seal.final_seq
    if not complete or record.acked_seq > seal.acked_seq:
        have = f"has messages {record.acked_seq + 1} to {record.last_seq} of {seal.acked_seq + 1} to {seal.final_seq}"
        raise RetryableError(f"the import of {record.order_param!r} {have}; copy the backlog again, then resume")
    return replace(
        record,
        ownership=state,
        last_seq=seal.final_seq,
        acked_seq=seal.acked_seq,
        delivered_seq=seal.delivered_seq,
        bytes_total=seal.bytes_total,
        moved_to_shard="",
        moved_to_endpoint="",
        moved_epoch=0,
        after_epoch=seal.after_epoch,
        after_endpoint=seal.after_endpoint,
        holder=seal.holder,
        hold_no=seal.hold_no,
    )


def aborted(record: Record, migration_id: str) -> Record:
    """Undo a migration before its commit point; where it has no hold, nothing happens.

    An import returns to NONE, or to the tombstone that was there before; its messages are to be wiped.
    """
    if record.migration_id != migration_id or not migration_id:
        return record
    if record.ownership is Ownership.SEALED:
        raise moved(record)
    if record.ownership is Ownership.ACTIVE:
        raise PermanentError(f"migration {migration_id} of {record.order_param!r} is committed: this shard serves it now")
    state = next_state(Command.ABORT, record, record.epoch)
    if record.ownership is Ownership.PAUSED:
        return replace(record, ownership=state, migration_id="", lease_until_s=0.0, soft=False)
    if not record.moved_epoch:
        return Record(record.order_param)
    return _tombstone(record, record.moved_epoch, record.moved_to_shard, record.moved_to_endpoint)


def redirected(record: Record, epoch: int, shard_id: str, endpoint: str) -> Record:
    """Step 3, on a shard that does not own it: remember the owner since `epoch`. An older epoch changes nothing.

    An epoch has one owner: another one than is known for it is refused.
    """
    if record.ownership is Ownership.NONE:
        return _tombstone(record, epoch, shard_id, endpoint)
    if record.ownership is Ownership.SEALED:
        if epoch < record.moved_epoch:
            return record
        if epoch == record.moved_epoch and shard_id != record.moved_to_shard:
            known = f"{record.order_param!r} has been on {record.moved_to_shard!r} since epoch {epoch}"
            raise MigrationConflictError(f"{known}; it cannot also live on {shard_id!r}")
        served = confirmed_there(record)
        return replace(served, moved_to_shard=shard_id, moved_to_endpoint=endpoint, moved_epoch=epoch)
    if epoch > record.epoch:
        here = f"{record.order_param!r} is {record.ownership} here at epoch {record.epoch}"
        raise MigrationConflictError(f"{here}; it cannot also live on {shard_id!r} at epoch {epoch}")
    return record


def confirmed_there(record: Record) -> Record:
    """The destination of a seal serves."""
    return record if record.handed_over or record.served_there else replace(record, served_there=True)


def state_of(record: Record, now_s: float, segments: tuple[SegmentState, ...] = ()) -> OrderParamState:
    """Return the record as the protocol shows it, with the trailing segments that are beside it."""
    now = settled(record, now_s)
    return OrderParamState(
        order_param=now.order_param,
        ownership=now.ownership,
        epoch=max(now.epoch, now.moved_epoch),
        migration_id=now.migration_id,
        last_seq=now.last_seq,
        acked_seq=now.acked_seq,
        moved_to_shard=now.moved_to_shard,
        moved_to_endpoint=now.moved_to_endpoint,
        lease_left_ms=max(0.0, now.lease_until_s - now_s) * 1000 if now.ownership is Ownership.PAUSED else 0.0,
        soft=now.soft,
        behind=now.behind and now.ownership in OWNED,
        segments=segments,
    )


def _tombstone(record: Record, epoch: int, shard_id: str, endpoint: str) -> Record:
    return Record(
        record.order_param,
        Ownership.SEALED,
        epoch,
        moved_to_shard=shard_id,
        moved_to_endpoint=endpoint,
        moved_epoch=epoch,
    )


def next_state(command: Command, record: Record, epoch: int) -> Ownership:
    """Return the state that a command leads to, or raise why it is not possible."""
    state = TRANSITIONS.get((command, record.ownership))
    if state is None:
        raise _refusal(command, record, epoch)
    return state


def _refusal(command: Command, record: Record, epoch: int) -> PlbError:
    if record.ownership is Ownership.NONE:
        return UnknownOrderParamError(record.order_param)
    if record.ownership is Ownership.SEALED:
        return moved(record)
    if record.ownership in OWNED and record.epoch != epoch:
        return StaleEpochError(record.order_param, epoch, record.epoch)
    return MigrationConflictError(f"{record.order_param!r} is {record.ownership} here: {command} is not possible")


def other_migration(record: Record) -> MigrationConflictError:
    """Return the refusal of a migration that does not hold the order param."""
    return MigrationConflictError(f"{record.order_param!r} is held by migration {record.migration_id}")


def require_epoch(record: Record, epoch: int) -> None:
    """Raise StaleEpochError unless the record is at this epoch."""
    if record.epoch != epoch:
        raise StaleEpochError(record.order_param, epoch, record.epoch)
