"""Carries out the commands of the protocol on shards and mapping. One method per command, each may be repeated.

Here are the five steps; asking and undoing are in `undoing`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import FencedError, PermanentError, PlbError
from plb_ray.migration import undoing
from plb_ray.migration.hands import Hands, Outcome
from plb_ray.migration.ports import Ownership
from plb_ray.migration.protocol import Command, Event, destination_serves
from plb_ray.migration.switching import switch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.domain.mapping import Placement
    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.hands import Surroundings
    from plb_ray.migration.ports import OrderParamState, SealRecord


class Actions:
    """Carries out one migration's commands.

    Args:
        record: at its start; `perform` is given the newest one.
        around: shards, journal, mapping, settings and clocks.
        note: called with a record that has new copy progress or the measured pause.
    """

    def __init__(self, record: MigrationRecord, around: Surroundings, note: Callable[[MigrationRecord], None]) -> None:
        self.sealed: SealRecord | None = None
        self._hands = hands = Hands(record, around, note)
        self._copied_seq = 0  # last message that the destination has
        self._paused: OrderParamState | None = None  # what PAUSE answered, in this process
        self._switching: asyncio.Task[Placement] | None = None
        self._do: dict[Command, Callable[[], Awaitable[Outcome]]] = {
            Command.PRECOPY: self._precopy,
            Command.PAUSE: self._pause,
            Command.COPY_TAIL: self._copy_tail,
            Command.SEAL: self._seal,
            Command.ASK_SOURCE: lambda: undoing.ask_source(hands),
            Command.ASK_DESTINATION: lambda: undoing.ask_destination(hands),
            Command.SWITCH_MAPPING: self._switch_mapping,
            Command.RESUME: self._resume,
            Command.REDIRECT: self._redirect,
            Command.DRAIN: self._drain,
            Command.UNDO: lambda: undoing.undo(hands),
        }

    async def perform(self, command: Command, record: MigrationRecord) -> Outcome:
        """Carry out one command.

        Raises:
            PlbError, TimeoutError: it failed, or its outcome is unknown.
        """
        self._hands.record = record
        return await self._do[command]()

    def drop(self) -> None:
        """Stop what runs beside the commands, as a crash would."""
        if self._switching is not None:
            self._switching.cancel()

    async def _precopy(self) -> Outcome:
        """Copy in rounds while writes go on, until a round was short or the rounds are used up.

        A round copies what was appended during the round before it, so after a short one a short tail is left. A backlog
        that is no longer than such a tail needs no round.
        """
        if self._hands.chained:
            return Outcome(Event.PRECOPIED)
        settings = self._hands.around.settings
        source = await self._hands.source.state(self._hands.record.order_param)
        if source.last_seq - source.acked_seq < settings.tail_messages:
            return Outcome(Event.PRECOPIED)
        for _ in range(settings.precopy_rounds):
            before = self._hands.record.messages_copied
            self._copied_seq = await self._hands.copy()
            if self._hands.record.messages_copied - before <= settings.tail_messages:
                break
        return Outcome(Event.PRECOPIED)

    async def _pause(self) -> Outcome:
        """Pause, softly if the source can: then appends go on until SEAL, and nobody waits for anything before it."""
        record, hands = self._hands.record, self._hands
        ids = (record.order_param, record.migration_id, record.epoch)
        hands.pause_begins()
        self._paused = await hands.source.pause(*ids, hands.around.settings.lease_ms, soft=True)
        if self._paused.soft:
            hands.pause_is_soft()
        return Outcome(Event.PAUSED)

    async def _copy_tail(self) -> Outcome:
        """Copy what is left, if it is more than SEAL brings along. While paused, no longer than the lease.

        The answer also makes sure that the destination lives: once sealed, the order param waits for it.
        """
        paused_now = self._hands.record.step is MigrationStep.PAUSED
        if self._hands.chained or (paused_now and self._left < self._comes_with_seal):
            record = self._hands.record
            await self._hands.destination.begin(record.order_param, record.migration_id, record.epoch)
            return Outcome(Event.COPIED)
        async with asyncio.timeout(self._hands.around.settings.lease_ms / 1000 if paused_now else None):
            self._copied_seq = await self._hands.copy()
            if self._left <= 0 or (paused_now and self._soft):
                return Outcome(Event.COPIED)
            # acks go on: the rest may need no copy any more
            source = await self._hands.source.state(self._hands.record.order_param)
        if max(self._copied_seq, source.acked_seq) < source.last_seq:
            return Outcome(Event.FAILED, f"the destination has messages up to {self._copied_seq} of {source.last_seq}")
        return Outcome(Event.COPIED)

    @property
    def _soft(self) -> bool:
        """Appends go on until SEAL, which brings what came after the copy."""
        return self._paused is not None and self._paused.soft

    @property
    def _left(self) -> int:
        """How many of the messages that there were at PAUSE the destination lacks."""
        paused = self._paused
        return 0 if paused is None else paused.last_seq - max(paused.acked_seq, self._copied_seq)

    @property
    def _comes_with_seal(self) -> int:
        """If fewer messages than this are left, none need be copied before SEAL."""
        return self._hands.around.settings.tail_messages if self._soft else 1

    async def _seal(self) -> Outcome:
        if self._soft:
            self._hands.pause_begins()
        self.sealed = await self._hands.seal(self._copied_seq if self._soft else None)
        if self.sealed.tail:
            messages = self.sealed.final_seq - max(self.sealed.acked_seq, self._copied_seq)
            self._hands.came_along(messages, sum(map(len, self.sealed.tail)))
        return Outcome(Event.SEALED)

    async def _switch_mapping(self) -> Outcome:
        """Begin to switch; whether that has worked is looked at in `_redirect`, so that RESUME does not wait for a disk."""
        self.drop()
        self._switching = asyncio.create_task(switch(self._hands.around.mapping, self._hands.record))
        return Outcome(Event.MAPPING_SWITCHED)

    async def _resume(self) -> Outcome:
        record, journal = self._hands.record, self._hands.around.journal
        try:
            self.sealed = self.sealed or await journal.sealed(record.migration_id) or await self._hands.seal()
            await self._hands.destination.resume(record.order_param, record.migration_id, self.sealed)
        except PlbError as error:
            return await self._after_refused_resume(error)
        self._hands.pause_is_over()
        return Outcome(Event.RESUMED)

    async def _after_refused_resume(self, error: PlbError) -> Outcome:
        """Learn from the destination why: it serves already, it lacks messages, or it will do it next time.

        Also a source that gives out no seal record is no reason not to ask: it refuses for ever once it has got the order
        param back, and that can only be after the destination has served.
        """
        state = await self._hands.destination.state(self._hands.record.order_param)
        if destination_serves(self._hands.record, state):
            self._hands.pause_is_over()
            return Outcome(Event.RESUMED)
        sealed = self.sealed
        if sealed is None:
            return Outcome(Event.FAILED, f"no seal record: {error}")
        imports = state.ownership is Ownership.IMPORTING and state.migration_id == sealed.migration_id
        complete = imports and max(state.last_seq, sealed.acked_seq) >= sealed.final_seq
        return Outcome(Event.FAILED if complete else Event.LACKING, f"resume failed: {error}")

    async def _redirect(self) -> Outcome:
        """Switch the mapping for sure, and confirm to the source that the destination serves, unless DRAIN will.

        A source that refuses has moved on, and knows better.
        """
        record, switching = self._hands.record, self._switching
        self._switching = None
        await (switching or switch(self._hands.around.mapping, record))
        if not self._hands.chained:
            return Outcome(Event.REDIRECTED)
        try:
            await self._hands.source.update_mapping(record.order_param, record.epoch + 1, self._hands.as_destination)
        except (PermanentError, FencedError):
            return Outcome(Event.REDIRECTED)
        return Outcome(Event.REDIRECTED)

    async def _drain(self) -> Outcome:
        """Delete the source's copy in chunks. A source that refuses, or is gone, has nothing of ours to delete."""
        record = self._hands.record
        if self._hands.chained:
            return Outcome(Event.DRAINED)
        try:
            chunk_messages = self._hands.around.settings.chunk_messages
            async for _ in self._hands.source.drain(record.order_param, record.migration_id, chunk_messages):
                pass
        except (PermanentError, FencedError):
            return Outcome(Event.DRAINED)
        return Outcome(Event.DRAINED)
