"""What the commands of one migration share: its newest record, its two shards, the copy, the seal, the measured pause."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from plb_ray import clock
from plb_ray.domain.load import ResourceVector, Shard
from plb_ray.domain.migration import MigrationMode
from plb_ray.errors import UnknownShardError
from plb_ray.migration.settings import MigrationSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.ports import JournalPort, MappingPort, SealRecord, ShardPort
    from plb_ray.migration.protocol import Event


@dataclass(frozen=True)
class Outcome:
    """What came of a command; `why` explains what is not progress."""

    event: Event
    why: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What every migration of one coordinator shares.

    Attributes:
        shards: by shard id; a migration may name a shard that is not there any more.
        now_s: wall clock, for the records.
        monotonic_s: for measuring the pause.
        sleep: waits between attempts.
    """

    shards: Mapping[str, ShardPort]
    journal: JournalPort
    mapping: MappingPort
    settings: MigrationSettings = field(default_factory=MigrationSettings)
    now_s: Callable[[], float] = clock.wall_time_s
    monotonic_s: Callable[[], float] = clock.monotonic_s
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Hands:
    """The hands of one migration.

    Args:
        record: its newest record.
        around: shards, journal, mapping, settings and clocks.
        note: called with a record that has new copy progress or the measured pause.
    """

    def __init__(self, record: MigrationRecord, around: Surroundings, note: Callable[[MigrationRecord], None]) -> None:
        self.record = record
        self.around = around
        self._note = note
        self._paused_at_s: float | None = None

    @property
    def chained(self) -> bool:
        """The backlog stays on the source."""
        return self.record.mode is MigrationMode.CHAIN

    @property
    def source(self) -> ShardPort:
        """Raises UnknownShardError: it is not configured any more."""
        return self._port(self.record.source)

    @property
    def destination(self) -> ShardPort:
        """Raises UnknownShardError: it is not configured any more."""
        return self._port(self.record.destination)

    @property
    def as_destination(self) -> Shard:
        """The destination as a source is told of it."""
        return Shard(self.record.destination, self.destination.endpoint, ResourceVector())

    async def copy(self) -> int:
        """Let the destination pull what it lacks; return the last sequence it has."""
        record, last_seq = self.record, 0
        chunks = self.destination.copy_backlog(
            record.order_param, record.migration_id, record.epoch, self.source.endpoint, self.around.settings.chunk_messages
        )
        async for progress in chunks:
            last_seq = progress.last_seq
            messages = record.messages_copied + progress.messages
            self._progress(
                replace(
                    self.record,
                    messages_copied=messages,
                    bytes_copied=record.bytes_copied + progress.bytes,
                    lag_messages=progress.left,
                    eta_s=self._eta_s(messages, progress.left),
                )
            )
        return last_seq

    async def seal(self, tail_after_seq: int | None = None) -> SealRecord:
        """SEAL; a repeat returns the same record. Given what the destination has, the rest comes with it if it is little."""
        record = self.record
        ids = (record.order_param, record.migration_id, record.epoch)
        wanted = None if self.chained else tail_after_seq
        return await self.source.seal(*ids, self.as_destination, chained=self.chained, tail_after_seq=wanted)

    def came_along(self, messages: int, size: int) -> None:
        """Note the messages that SEAL has brought: they count as copied."""
        messages, size = self.record.messages_copied + messages, self.record.bytes_copied + size
        self._progress(replace(self.record, messages_copied=messages, bytes_copied=size))

    def pause_begins(self) -> None:
        """Call it before what may stop appends is sent, so that the measured pause is never too short."""
        self._paused_at_s = self.around.monotonic_s()

    def pause_is_soft(self) -> None:
        """Appends go on after all."""
        self._paused_at_s = None

    def pause_is_over(self) -> None:
        """Note how long it was; that stays unknown if another process began it."""
        if self._paused_at_s is not None:
            pause_ms = (self.around.monotonic_s() - self._paused_at_s) * 1000
            self._paused_at_s = None
            self._progress(replace(self.record, pause_ms=pause_ms, lag_messages=0, eta_s=None))

    def _eta_s(self, copied: int, left: int) -> float | None:
        """Return how long what is left takes at the rate so far; None before anything is copied."""
        took_s = self.around.now_s() - self.record.started_s
        return left * max(0.0, took_s) / copied if copied else None

    def _progress(self, record: MigrationRecord) -> None:
        self.record = record
        self._note(record)

    def _port(self, shard_id: str) -> ShardPort:
        port = self.around.shards.get(shard_id)
        if port is None:
            raise UnknownShardError(shard_id)
        return port
