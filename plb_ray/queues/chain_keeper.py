"""Looks after order params whose backlog is spread over several shards: lets segments rotate, and shortens their chains.

An order param with a *rotation* [S1, S2, ...] takes its appends on one of them, the head. When the head holds
`segment_messages` that are not consumed, a chained migration takes the appends on to the next shard of the rotation: so the
backlog is cut into segments, each on one shard, and the shards serve them side by side. While consumption keeps up
nothing rotates. The allocation in the mapping names the shards of all segments in the order of consumption; a segment that
is consumed is taken off it.

    head on S1 is full --> chained migration S1 -> S2     allocation [S1, S2]
    head on S2 is full --> chained migration S2 -> S1     allocation [S1, S2, S1]
    S1's first segment is consumed                        allocation [S2, S1]

Order and safety do not depend on any of this: without a keeper the head goes on to take what comes, and the shards tell one
another when a segment has ended. One task per order param of this kind, which asks the head every `look_s` while it fills,
and up to `IDLE_LOOKS` times more seldom while it does not. Cost: one call per look, and one per shard of the chain.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plb_ray.domain.migration import MigrationMode, MigrationRequest
from plb_ray.errors import BadInputError, PlbError
from plb_ray.migration.ports import Ownership

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from plb_ray.domain.mapping import Placement
    from plb_ray.migration.live_mapping import LiveMapping
    from plb_ray.migration.ports import OrderParamState, ShardPort
    from plb_ray.migration.runner import Runner

log = logging.getLogger(__name__)
IDLE_LOOKS = 20


@dataclass(frozen=True)
class ChainSettings:
    """How chains are kept.

    Attributes:
        segment_messages: unconsumed messages at which the head rotates, in [1, 10 000 000]. Consumers read ahead on all
            shards of a rotation, and keep up to (shards - 1) x this many messages in memory to do so.
        look_s: how often a head that fills is looked at, > 0.
        segments_max: no rotation while a chain has so many segments, in [2, 100 000]; each is an entry of the allocation.
    """

    segment_messages: int = 1000
    look_s: float = 0.05
    segments_max: int = 4096

    def __post_init__(self) -> None:
        for name, ok, want in (
            ("segment_messages", 1 <= self.segment_messages <= 10_000_000, "from 1 to 10000000"),
            ("look_s", self.look_s > 0, "above 0"),
            ("segments_max", 2 <= self.segments_max <= 100_000, "from 2 to 100000"),
        ):
            if not ok:
                raise BadInputError(f"chain setting {name}: must be {want}")


class ChainKeeper:
    """See the module. Call `start`, and `close` at the end.

    Args:
        shards: by shard id.
        mapping: tells of chains, and is shortened.
        runner: carries the rotations out.
        settings: when to rotate.
        sleep: waits between looks.
    """

    def __init__(
        self,
        shards: Mapping[str, ShardPort],
        mapping: LiveMapping,
        runner: Runner,
        settings: ChainSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shards = shards
        self._mapping = mapping
        self._runner = runner
        self._settings = settings
        self._sleep = sleep
        self._keeping: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to look after every chain that there is, and that there will be."""
        self._mapping.on_change = self._begin
        for placement in self._mapping.current().placements.values():
            self._begin(placement)

    async def close(self) -> None:
        """Stop looking; what is under way is dropped."""
        tasks = list(self._keeping.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, placement: Placement) -> None:
        if _is_chain(placement) and placement.order_param not in self._keeping:
            self._keeping[placement.order_param] = asyncio.create_task(self._keep(placement.order_param))

    async def _keep(self, order_param: str) -> None:
        looks = 1
        while True:
            placement = self._mapping.get(order_param)
            if placement is None or not _is_chain(placement):
                del self._keeping[order_param]  # no await since the look: a later change starts anew
                return
            try:
                busy = await self._look(placement)
            except (PlbError, TimeoutError) as error:
                busy = False
                log.info("the chain of %r is looked at again later: %s", order_param, error)
            looks = 1 if busy else min(IDLE_LOOKS, looks * 2)
            await self._sleep(self._settings.look_s * looks)

    async def _look(self, placement: Placement) -> bool:
        """Shorten and rotate one chain; return whether it is worth looking again soon."""
        head = await self._shards[placement.owner].state(placement.order_param)
        if len(placement.shards) > 1:
            placement = await self._shortened(placement, head)
        changed = self._mapping.get(placement.order_param) != placement
        if changed or head.ownership is not Ownership.ACTIVE or head.epoch != placement.epoch or not placement.rotation:
            return changed
        waiting = head.last_seq - head.acked_seq
        if len(placement.shards) < self._settings.segments_max:
            following = _next(placement)
            outside = placement.owner not in placement.rotation
            if outside or (waiting >= self._settings.segment_messages and following != placement.owner):
                await self._rotate(placement, following, waiting)
        return waiting > 0

    async def _rotate(self, placement: Placement, following: str, waiting: int) -> None:
        """Take the appends on; the id makes a repeat of the same rotation join the first one."""
        trail = await self._runner.start(
            MigrationRequest(
                request_id=f"rotate-{placement.order_param}-{placement.epoch}",
                order_param=placement.order_param,
                source=placement.owner,
                destination=following,
                reason=f"rotation: the segment on {placement.owner} holds {waiting} messages",
                mode=MigrationMode.CHAIN,
            )
        )
        await trail.end()

    async def _shortened(self, placement: Placement, head: OrderParamState) -> Placement:
        """Take the segments off the allocation that are consumed. A shard that is away keeps those it has."""
        distinct = tuple(dict.fromkeys(placement.shards[:-1]))
        states = [head if shard_id == placement.owner else await self._asked(shard_id, placement) for shard_id in distinct]
        if None in states:
            return placement
        segments = [
            (segment.epoch, shard_id)
            for shard_id, state in zip(distinct, states, strict=True)
            if state is not None
            for segment in state.segments
        ]
        shards = (*(shard_id for _, shard_id in sorted(segments)), placement.owner)
        if shards == placement.shards or self._mapping.get(placement.order_param) != placement:
            return placement
        return await self._mapping.reshape(replace(placement, shards=shards))

    async def _asked(self, shard_id: str, placement: Placement) -> OrderParamState | None:
        try:
            return await self._shards[shard_id].state(placement.order_param)
        except (PlbError, KeyError):
            return None


def _is_chain(placement: Placement) -> bool:
    return bool(placement.rotation) or len(placement.shards) > 1


def _next(placement: Placement) -> str:
    """Return the shard after the owner in the rotation; the first one if the owner is not in it."""
    rotation = placement.rotation
    place = rotation.index(placement.owner) + 1 if placement.owner in rotation else 0
    return rotation[place % len(rotation)]
