"""The shards of a coordinator while it runs: one joins, one closes, one leaves. At the start they are given.

    joins    it is asked for all that it owns before anything is placed on it, as every shard is at a coordinator's start
    closes   it takes nothing new and is described as draining, so that the next plans empty it; `reopen` takes that back
    leaves   once nothing lives on it, nothing is on its way to or from it, and it says itself that it owns nothing

Nothing here is durable: who starts and stops shards remembers which there are (`queues.fleet_file`), gives them all to the
next coordinator, and closes again those that were closed. Every call may be repeated.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError, MigrationConflictError, ShardUnavailableError, UnknownShardError
from plb_ray.migration import recovery
from plb_ray.migration.ports import Ownership

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.domain.load import Shard
    from plb_ray.domain.mapping import Placement
    from plb_ray.migration.live_mapping import LiveMapping
    from plb_ray.migration.ports import OrderParamState, ShardPort
    from plb_ray.migration.recovery import Survey
    from plb_ray.migration.runner import Runner
    from plb_ray.queues.closing import Closing

_HOLDS = (Ownership.ACTIVE, Ownership.PAUSED, Ownership.IMPORTING, Ownership.TRAILING)


class Roster:
    """See the module.

    Args:
        shards: by shard id; changed in place, and shared with all who look shards up.
        closing: which take nothing.
        mapping, runner: what lives where, and what is on its way.
        survey_s: how long a shard may take to list all that it has.
        learn: takes what a shard that joins knows into mapping and journal.
    """

    def __init__(
        self,
        shards: dict[str, ShardPort],
        closing: Closing,
        mapping: LiveMapping,
        runner: Runner,
        survey_s: float,
        learn: Callable[[Survey, str], Awaitable[None]],
    ) -> None:
        self._shards = shards
        self._closing = closing
        self._mapping = mapping
        self._runner = runner
        self._survey_s = survey_s
        self._learn = learn
        self._changing = asyncio.Lock()

    def __contains__(self, shard_id: str) -> bool:
        return shard_id in self._shards

    async def add(self, shard: ShardPort) -> None:
        """Let a shard join; it may be given order params when this returns.

        Raises:
            BadInputError: another shard has its id.
            ShardUnavailableError: it does not answer; nothing was changed.
        """
        async with self._changing:
            present = self._shards.get(shard.shard_id)
            if present is not None and present.endpoint != shard.endpoint:
                raise BadInputError(
                    f"shard {shard.shard_id!r} is at {present.endpoint} already; give the new one another id"
                )
            if present is not None:
                return
            found = await self._asked(shard)
            self._shards[shard.shard_id] = shard
            await self._learn(found, shard.shard_id)

    def close(self, shard_id: str) -> None:
        """Let nothing new onto a shard, which is to leave.

        Raises:
            UnknownShardError.
            MigrationConflictError: segments rotate over it, or no other shard would be open.
        """
        if shard_id not in self._shards:
            raise UnknownShardError(shard_id)
        rotating = [each.order_param for each in self._placements() if shard_id in each.rotation]
        if rotating:
            raise MigrationConflictError(
                f"the segments of {rotating[0]!r} rotate over shard {shard_id!r}; allocate it to other shards first"
            )
        if not any(other != shard_id and other not in self._closing for other in self._shards):
            raise MigrationConflictError(f"shard {shard_id!r} is the last one that takes order params; it must stay")
        self._closing.close(shard_id)

    def reopen(self, shard_id: str) -> None:
        """Let order params onto a shard again, which is not to leave after all. Raises UnknownShardError."""
        if shard_id not in self._shards:
            raise UnknownShardError(shard_id)
        self._closing.open(shard_id)

    async def retire(self, shard_id: str) -> None:
        """Let a closed shard leave. One that is not there any more has left.

        Raises:
            MigrationConflictError: it is not closed, or something is on it or on its way.
            ShardUnavailableError: it does not answer, so nobody knows what is on it.
        """
        async with self._changing:
            shard = self._shards.get(shard_id)
            if shard is None:
                return
            found = await self._asked(shard)
            held = [state.order_param for states in found.states.values() for state in states.values() if _held(state)]
            why = self._why_not(shard_id, held)  # no await from here on
            if why:
                raise MigrationConflictError(f"shard {shard_id!r} cannot leave yet: {why}")
            del self._shards[shard_id]
            self._closing.open(shard_id)

    def described(self, shard: Shard) -> Shard:
        """Return the shard as planners should see it."""
        return replace(shard, draining=True) if shard.shard_id in self._closing else shard

    def _why_not(self, shard_id: str, held: list[str]) -> str:
        if shard_id not in self._closing:
            return "it takes order params; close it first"
        living = [each.order_param for each in self._placements() if shard_id in (*each.shards, *each.rotation)]
        if living:
            return f"{len(living)} order params are on it, {living[0]!r} for one"
        if self._closing.awaits(shard_id):
            return "an order param is being placed on it"
        moving = [each for each in self._runner.active() if shard_id in (each.source, each.destination)]
        if moving:
            return f"migration {moving[0].migration_id!r} has it in hand"
        return f"it says that it has {held[0]!r}" if held else ""

    def _placements(self) -> list[Placement]:
        return list(self._mapping.current().placements.values())

    async def _asked(self, shard: ShardPort) -> Survey:
        found = await recovery.survey([shard], self._survey_s)
        if found.silent:
            raise ShardUnavailableError(shard.shard_id, shard.endpoint, found.silent[shard.shard_id])
        return found


def _held(state: OrderParamState) -> bool:
    return state.ownership in _HOLDS or bool(state.segments)
