"""What the migration protocol needs from the outside: shards that take commands, a journal, and the mapping.

The adapters live in `plb_ray.rpc` (shards over gRPC) and `plb_ray.journal` (SQL). Every shard call is idempotent and
raises the errors of `plb_ray.errors`: a retryable one changed nothing or may be repeated with the same ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from plb_ray.domain.load import Shard, ShardLoad
    from plb_ray.domain.mapping import Mapping, Placement
    from plb_ray.domain.migration import MigrationRecord


class Ownership(StrEnum):
    """A shard's durable relation to one order param."""

    NONE = "none"
    ACTIVE = "active"
    PAUSED = "paused"
    SEALED = "sealed"
    IMPORTING = "importing"


@dataclass(frozen=True)
class OrderParamState:
    """A shard's durable record of one order param."""

    order_param: str
    ownership: Ownership
    epoch: int
    migration_id: str = ""
    last_seq: int = 0
    acked_seq: int = 0
    moved_to_shard: str = ""
    moved_to_endpoint: str = ""
    lease_left_ms: float = 0.0


@dataclass(frozen=True)
class ProducerState:
    """Dedupe entry: the last number of a producer and the sequence it was stored under."""

    producer: str
    producer_seq: int
    seq: int


@dataclass(frozen=True)
class SealRecord:
    """What SEAL made final on the source and the destination takes over: bounds, cursor, in flight, dedupe table."""

    order_param: str
    migration_id: str
    epoch: int
    final_seq: int
    acked_seq: int
    delivered_seq: int
    bytes_total: int
    producers: tuple[ProducerState, ...]


@dataclass(frozen=True)
class CopyProgress:
    """What the destination has: the last sequence, and the messages and bytes this call has copied so far."""

    last_seq: int
    messages: int
    bytes: int


class ShardPort(Protocol):
    """One shard's `ShardControl`."""

    shard_id: str
    endpoint: str

    async def describe(self) -> Shard: ...
    async def load(self) -> ShardLoad: ...
    async def state(self, order_param: str) -> OrderParamState: ...
    def states(self) -> AsyncIterator[OrderParamState]: ...
    async def open(self, order_param: str, epoch: int) -> OrderParamState: ...
    async def pause(self, order_param: str, migration_id: str, epoch: int, lease_ms: int) -> OrderParamState: ...
    def copy_backlog(
        self, order_param: str, migration_id: str, epoch: int, source_endpoint: str, chunk_messages: int
    ) -> AsyncIterator[CopyProgress]: ...
    async def seal(self, order_param: str, migration_id: str, epoch: int, destination: Shard) -> SealRecord: ...
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
