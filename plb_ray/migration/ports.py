"""What the migration protocol needs from the outside: shards that take commands, a journal, and the mapping.

The adapters live in `plb_ray.rpc` (shards over gRPC) and `plb_ray.journal` (SQL). Every shard call is idempotent and
raises the errors of `plb_ray.errors`: a retryable one changed nothing or may be repeated with the same ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plb_ray.domain.load import Shard, ShardLoad
    from plb_ray.domain.mapping import Mapping, Placement
    from plb_ray.domain.migration import MigrationRecord


class Ownership(StrEnum):
    """A shard's durable relation to one order param; TRAILING is only that of a segment, see `SegmentState`."""

    NONE = "none"
    ACTIVE = "active"
    PAUSED = "paused"
    SEALED = "sealed"
    IMPORTING = "importing"
    TRAILING = "trailing"


@dataclass(frozen=True)
class SegmentState:
    """A trailing segment: appended here under `epoch`, left here by a chained migration, and consumed here.

    `front`: nothing before it is left to consume.
    """

    epoch: int
    first_seq: int
    last_seq: int
    acked_seq: int
    front: bool = True


@dataclass(frozen=True)
class OrderParamState:
    """A shard's durable record of one order param.

    `behind`: segments before its own are not consumed yet. `soft`: PAUSED, and appends go on until SEAL.
    """

    order_param: str
    ownership: Ownership
    epoch: int
    migration_id: str = ""
    last_seq: int = 0
    acked_seq: int = 0
    moved_to_shard: str = ""
    moved_to_endpoint: str = ""
    lease_left_ms: float = 0.0
    behind: bool = False
    segments: tuple[SegmentState, ...] = ()
    soft: bool = False


@dataclass(frozen=True)
class ProducerState:
    """Dedupe entry: the last number of a producer and the sequence it was stored under."""

    producer: str
    producer_seq: int
    seq: int


@dataclass(frozen=True)
class SealRecord:
    """What SEAL made final on the source and the destination takes over: bounds, cursor, in flight, dedupe table, holder.

    Attributes:
        acked_seq, delivered_seq: of the destination's first segment; = final_seq when chained, since what is before stays.
        chained: the backlog stays on the source.
        behind: segments before the destination's are not consumed yet: those up to `after_epoch`, the last of which is on
            the shard at `after_endpoint`.
        holder, hold_no: the consumer that holds the order param, and how often the holder has changed; empty: none.
        tail: what the destination lacked at a soft pause's SEAL, as blocks travel. Not final, so neither compared nor kept.
    """

    order_param: str
    migration_id: str
    epoch: int
    final_seq: int
    acked_seq: int
    delivered_seq: int
    bytes_total: int
    producers: tuple[ProducerState, ...]
    chained: bool = False
    behind: bool = False
    holder: str = ""
    hold_no: int = 0
    after_epoch: int = 0
    after_endpoint: str = ""
    tail: tuple[bytes, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class CopyProgress:
    """What the destination has: the last sequence, and the messages and bytes this call has copied so far.

    `left`: messages that the source had and the destination had not, at the last look. What is reported as copied is made
    durable by RESUME at the latest.
    """

    last_seq: int
    messages: int
    bytes: int
    left: int = 0


class ShardPort(Protocol):
    """One shard's `ShardControl`."""

    shard_id: str
    endpoint: str

    async def describe(self) -> Shard: ...
    async def load(self) -> ShardLoad: ...
    async def state(self, order_param: str) -> OrderParamState: ...
    def states(self) -> AsyncIterator[OrderParamState]: ...
    async def open(self, order_param: str, epoch: int) -> OrderParamState: ...
    async def begin(self, order_param: str, migration_id: str, epoch: int) -> OrderParamState: ...
    async def pause(
        self, order_param: str, migration_id: str, epoch: int, lease_ms: int, *, soft: bool = False
    ) -> OrderParamState: ...
    def copy_backlog(
        self, order_param: str, migration_id: str, epoch: int, source_endpoint: str, chunk_messages: int
    ) -> AsyncIterator[CopyProgress]: ...
    async def seal(
        self,
        order_param: str,
        migration_id: str,
        epoch: int,
        destination: Shard,
        *,
        chained: bool = False,
        tail_after_seq: int | None = None,
    ) -> SealRecord: ...
    async def update_mapping(self, order_param: str, epoch: int, owner: Shard) -> OrderParamState: ...
    async def resume(self, order_param: str, migration_id: str, sealed: SealRecord) -> OrderParamState: ...
    def drain(self, order_param: str, migration_id: str, chunk_messages: int) -> AsyncIterator[int]: ...
    async def abort(self, order_param: str, migration_id: str) -> OrderParamState: ...


class JournalPort(Protocol):
    """Durable memory of migrations. `write` returns only when the record is synced to disk."""

    async def write(self, record: MigrationRecord, sealed: SealRecord | None = None) -> None:
        """Store the record; with `sealed`, also what the source gave out, so that the rest can be done without it.

        Raises:
            RetryableError: the store did not take it now.
        """
        ...

    async def sealed(self, migration_id: str) -> SealRecord | None: ...
    async def get(self, migration_id: str) -> MigrationRecord | None: ...
    async def unfinished(self) -> tuple[MigrationRecord, ...]: ...
    async def recent(self, limit: int) -> tuple[MigrationRecord, ...]: ...
    async def history(self, migration_id: str) -> tuple[MigrationRecord, ...]: ...


class MappingPort(Protocol):
    """Durable mapping, changed by compare-and-set on the epoch."""

    async def load(self) -> Mapping: ...
    async def create(self, placement: Placement) -> Placement:
        """Store the first placement; if there is one already, change nothing and return that one."""
        ...

    async def compare_and_set(self, order_param: str, expected_epoch: int, placement: Placement) -> Placement:
        """Replace the placement if its epoch is `expected_epoch`; if it already equals `placement`, do nothing.

        Raises:
            StaleEpochError: the epoch is another one.
        """
        ...

    async def reshape(self, placement: Placement) -> Placement:
        """Replace shards and rotation of a placement of the same epoch; return what the mapping has afterwards.

        Where the epoch is another one nothing is changed.
        """
        ...

    async def surveyed(self) -> frozenset[str]:
        """Return the shards that some coordinator on this mapping has ever asked for all their order params."""
        ...

    async def note_surveyed(self, shards: frozenset[str]) -> None:
        """Remember, durably, that these shards have answered."""
        ...
