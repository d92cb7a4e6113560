"""Carries out the commands of the protocol on shards and mapping. One method per command, each may be repeated."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from plb_ray import clock
from plb_ray.domain.load import ResourceVector, Shard
from plb_ray.domain.mapping import Placement
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import FencedError, PermanentError, PlbError, StaleEpochError, UnknownShardError
from plb_ray.migration.abort import AbortAnswer, asked_to_abort
from plb_ray.migration.ports import Ownership
from plb_ray.migration.protocol import Command, Event, destination_serves, source_event
from plb_ray.migration.settings import MigrationSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.ports import JournalPort, MappingPort, SealRecord, ShardPort


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


class Actions:
    """The hands of one migration.

    Args:
        record: at its start; `perform` is given the newest one.
        around: shards, journal, mapping, settings and clocks.
        note: called with a record that has new copy progress or the measured pause.
    """

    def __init__(self, record: MigrationRecord, around: Surroundings, note: Callable[[MigrationRecord], None]) -> None:
        self.sealed: SealRecord | None = None
        self._record = record
        self._around = around
        self._note = note
        self._paused_at_s: float | None = None
        self._tail_seq = 0  # last message when PAUSE was accepted
        self._do: dict[Command, Callable[[], Awaitable[Outcome]]] = {
            Command.PRECOPY: self._precopy,
            Command.PAUSE: self._pause,
            Command.COPY_TAIL: self._copy_tail,
            Command.SEAL: self._seal,
            Command.ASK_SOURCE: self._ask_source,
            Command.ASK_DESTINATION: self._ask_destination,
            Command.SWITCH_MAPPING: self._switch_mapping,
            Command.RESUME: self._resume,
            Command.REDIRECT: self._redirect,
            Command.DRAIN: self._drain,
            Command.UNDO: self._undo,
        }

    async def perform(self, command: Command, record: MigrationRecord) -> Outcome:
        """Carry out one command.

        Raises:
            PlbError, TimeoutError: it failed, or its outcome is unknown.
        """
        self._record = record
        return await self._do[command]()

    # The five steps

    async def _precopy(self) -> Outcome:
        """Copy in rounds while writes go on, until the tail is short or the rounds are used up."""
        settings = self._around.settings
        for _ in range(settings.precopy_rounds):
            copied_seq = await self._copy()
            state = await self._source.state(self._record.order_param)
            if state.last_seq - max(copied_seq, state.acked_seq) <= settings.tail_messages:
                break
        return Outcome(Event.PRECOPIED)

    async def _pause(self) -> Outcome:
        record = self._record
        self._paused_at_s = self._around.monotonic_s()
        lease_ms = self._around.settings.lease_ms
        paused = await self._source.pause(record.order_param, record.migration_id, record.epoch, lease_ms)
        self._tail_seq = paused.last_seq
        return Outcome(Event.PAUSED)

    async def _copy_tail(self) -> Outcome:
        """Copy what is left; the destination's answer also proves that it lives. While paused, no longer than the lease."""
        paused_now = self._record.step is MigrationStep.PAUSED
        async with asyncio.timeout(self._around.settings.lease_ms / 1000 if paused_now else None):
            copied_seq = await self._copy()
            if copied_seq >= self._tail_seq:
                return Outcome(Event.COPIED)
            source = await self._source.state(self._record.order_param)  # acks go on: the rest may need no copy any more
        if max(copied_seq, source.acked_seq) < source.last_seq:
            return Outcome(Event.FAILED, f"the destination has messages up to {copied_seq} of {source.last_seq}")
        return Outcome(Event.COPIED)

    async def _seal(self) -> Outcome:
        self.sealed = await self._seal_record()
        return Outcome(Event.SEALED)

    async def _switch_mapping(self) -> Outcome:
        record = self._record
        await advance(self._around.mapping, Placement(record.order_param, (record.destination,), record.epoch + 1))
        return Outcome(Event.MAPPING_SWITCHED)

    async def _resume(self) -> Outcome:
        record = self._record
        if self.sealed is None:
            self.sealed = await self._around.journal.sealed(record.migration_id) or await self._seal_record()
        try:
            await self._destination.resume(record.order_param, record.migration_id, self.sealed)
        except PlbError as error:
            return await self._after_refused_resume(self.sealed, error)
        self._pause_is_over()
        return Outcome(Event.RESUMED)

    async def _after_refused_resume(self, sealed: SealRecord, error: PlbError) -> Outcome:
        """Learn from the destination why: it serves already, it lacks messages, or it will do it next time."""
        state = await self._destination.state(self._record.order_param)
        if destination_serves(self._record, state):
            self._pause_is_over()
            return Outcome(Event.RESUMED)
        imports = state.ownership is Ownership.IMPORTING and state.migration_id == sealed.migration_id
        complete = imports and max(state.last_seq, sealed.acked_seq) >= sealed.final_seq
        return Outcome(Event.FAILED if complete else Event.LACKING, f"resume failed: {error}")

    async def _redirect(self) -> Outcome:
        """Point the source to the destination. A source that refuses has moved on, and knows better."""
        record = self._record
        try:
            await self._source.update_mapping(record.order_param, record.epoch + 1, self._as_shard(record.destination))
        except (PermanentError, FencedError):
            return Outcome(Event.REDIRECTED)
        return Outcome(Event.REDIRECTED)

    async def _drain(self) -> Outcome:
        """Delete the source's copy in chunks. A source that refuses, or is gone, has nothing of ours to delete."""
        record = self._record
        try:
            chunk_messages = self._around.settings.chunk_messages
            async for _ in self._source.drain(record.order_param, record.migration_id, chunk_messages):
                pass
        except (PermanentError, FencedError):
            return Outcome(Event.DRAINED)
        return Outcome(Event.DRAINED)

    # Asking and undoing

    async def _ask_source(self) -> Outcome:
        state = await self._source.state(self._record.order_param)
        sealing = self._record.step is MigrationStep.SEALING
        when = "SEAL came too late, the lease had ended" if sealing else "when the coordinator came back"
        why = f"the source is {state.ownership} at epoch {state.epoch} ({when})"
        return Outcome(source_event(self._record, state), why)

    async def _ask_destination(self) -> Outcome:
        state = await self._destination.state(self._record.order_param)
        if destination_serves(self._record, state):
            return Outcome(Event.DESTINATION_SERVES)
        return Outcome(Event.LACKING, f"the destination is {state.ownership} at epoch {state.epoch}")

    async def _undo(self) -> Outcome:
        """Abort on the source, then on the destination: its copy is needed if the source turns out to be sealed.

        What does not answer is left to its lease (source, SEAL not sent) or to the next first copy (destination).
        """
        undone = await self._abort_source()
        if undone.event is Event.UNDONE:
            await self._abort(self._record.destination)
        return undone

    async def _abort_source(self) -> Outcome:
        """Return UNDONE only when the destination's copy is not needed; else that the source is sealed, or must be asked."""
        answer = await self._abort(self._record.source)
        if answer is AbortAnswer.REFUSED:
            return await self._after_refused_abort()
        if answer is AbortAnswer.UNANSWERED:
            return self._unless_seal_was_sent("the source does not answer")
        self._pause_is_over()
        return Outcome(Event.UNDONE)

    async def _after_refused_abort(self) -> Outcome:
        """Ask why. A source that owns the order param would not have refused: that answer is stale."""
        try:
            state = await self._source.state(self._record.order_param)
        except (PlbError, TimeoutError) as error:
            return self._unless_seal_was_sent(f"the source refused to abort, then failed: {error}")
        if source_event(self._record, state) is Event.SOURCE_SEALED:
            return Outcome(Event.SOURCE_SEALED)
        if state.ownership in (Ownership.ACTIVE, Ownership.PAUSED):
            return self._unless_seal_was_sent(f"the source is {state.ownership}, yet refused to abort")
        self._pause_is_over()
        return Outcome(Event.UNDONE)

    def _unless_seal_was_sent(self, why: str) -> Outcome:
        sent = self._record.step is MigrationStep.SEALING
        return Outcome(Event.UNANSWERED, why) if sent else Outcome(Event.UNDONE)

    async def _abort(self, shard_id: str) -> AbortAnswer:
        around = self._around
        return await asked_to_abort(around.shards.get(shard_id), self._record, around.settings, around.sleep)

    # Parts

    async def _copy(self) -> int:
        """Let the destination pull what it lacks; return the last sequence it has."""
        record, last_seq = self._record, 0
        chunks = self._destination.copy_backlog(
            record.order_param,
            record.migration_id,
            record.epoch,
            self._source.endpoint,
            self._around.settings.chunk_messages,
        )
        async for progress in chunks:
            last_seq = progress.last_seq
            messages, bytes_ = record.messages_copied + progress.messages, record.bytes_copied + progress.bytes
            self._progress(replace(self._record, messages_copied=messages, bytes_copied=bytes_))
        return last_seq

    async def _seal_record(self) -> SealRecord:
        """SEAL; a repeat returns the same record."""
        record = self._record
        destination = self._as_shard(record.destination)
        return await self._source.seal(record.order_param, record.migration_id, record.epoch, destination)

    def _pause_is_over(self) -> None:
        """Note the pause, from before PAUSE was sent (so never too short); unknown if another process began it."""
        if self._paused_at_s is not None:
            pause_ms = (self._around.monotonic_s() - self._paused_at_s) * 1000
            self._paused_at_s = None
            self._progress(replace(self._record, pause_ms=pause_ms))

    def _progress(self, record: MigrationRecord) -> None:
        self._record = record
        self._note(record)

    @property
    def _source(self) -> ShardPort:
        return self._port(self._record.source)

    @property
    def _destination(self) -> ShardPort:
        return self._port(self._record.destination)

    def _port(self, shard_id: str) -> ShardPort:
        port = self._around.shards.get(shard_id)
        if port is None:
            raise UnknownShardError(shard_id)
        return port

    def _as_shard(self, shard_id: str) -> Shard:
        return Shard(shard_id, self._port(shard_id).endpoint, ResourceVector())


async def advance(mapping: MappingPort, placement: Placement) -> Placement:
    """Bring the mapping up to a placement, from whatever older epoch it has; a newer one is left as it is.

    Returns:
        What the mapping has afterwards.
    """
    expected = placement.epoch - 1
    while True:
        try:
            return await mapping.compare_and_set(placement.order_param, expected, placement)
        except StaleEpochError:
            present = await mapping.create(placement)
        if present.epoch >= placement.epoch:
            return present
        expected = present.epoch
