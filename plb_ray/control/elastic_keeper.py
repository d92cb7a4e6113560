"""Keeps as many shards as `ElasticPolicy` advises: one turn per tick, beside the control loop.

    look -> advise -> more:   take drains back first, then start shards
                      fewer:  drain the least loaded shard that was started here; the loop's plans empty it
    and in every turn: remove what has been emptied

A turn that fails changes nothing that the next one would not see. What lives here is the order of these steps; what is
needed is computed in `control.elastic`, and processes are started by a `ShardProvider`. Without one a turn only advises, and
so it does while no moves may be sent: a shard that came would stay empty, and one that is to leave would stay full.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.elastic import ElasticMemory, least_loaded
from plb_ray.control.fleet_view import FleetView, ShardNeed
from plb_ray.errors import NotReadyError, PlbError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from numpy.typing import NDArray

    from plb_ray.control.elastic import ElasticAdvice, ElasticPolicy, Outlook
    from plb_ray.control.ports import ProvidedShard, ShardProvider
    from plb_ray.domain.load import Shard

LOG = logging.getLogger("plb.elastic")


@dataclass(frozen=True, eq=False)
class FleetPicture:
    """What a turn looks at.

    Attributes:
        shards: S shards, as the queue describes them.
        owner: (K,) index of the shard of each order param of `outlook.measured`.
        outlook: what is and what is foreseen.
    """

    shards: tuple[Shard, ...]
    owner: NDArray[np.int64]
    outlook: Outlook

    def carried(self) -> NDArray[np.float64]:
        """Return the (S, R) load that each shard carries now."""
        total = np.zeros((len(self.shards), self.outlook.measured.shape[1]))
        np.add.at(total, self.owner, self.outlook.measured)
        return total


class ElasticKeeper:
    """See the module.

    Args:
        policy: advises.
        provider: acts; None: nobody does.
        look: returns the newest picture; None while there is none.
        shard_type: what is started.
        held: why no moves may be sent now, in words; empty if they may.

    Attributes:
        advice: of the last turn; None before the first.
        last_error: why the last turn could not do what it should; empty if it could.
    """

    def __init__(
        self,
        policy: ElasticPolicy,
        provider: ShardProvider | None,
        look: Callable[[], Awaitable[FleetPicture | None]],
        shard_type: str,
        held: Callable[[], str] = str,
    ) -> None:
        self.advice: ElasticAdvice | None = None
        self.last_error = ""
        self._view: FleetView | None = None
        self._turning = asyncio.Lock()
        self._policy = policy
        self._provider = provider
        self._look = look
        self._shard_type = shard_type
        self._held = held
        self._memory = ElasticMemory()

    @property
    def acts(self) -> bool:
        """Whether shards are started and drained; else the turns only advise."""
        return self._provider is not None

    async def turn(self) -> None:
        """Make one turn; what goes wrong is in `last_error` and in the log."""
        async with self._turning:
            try:
                await self._turn()
                self.last_error = ""
            except PlbError as error:
                self.last_error = str(error)
                LOG.warning("the number of shards stays as it is for now: %s", error)

    async def view(self) -> FleetView:
        """Return what the last turn advised, and how far it is.

        Raises:
            NotReadyError: there was no turn with a picture yet.
        """
        if self._view is None:
            raise NotReadyError("nothing is known of the load yet: the first tick is outstanding")
        provided = await self._provider.shards() if self._provider else ()
        return replace(
            self._view,
            starting=tuple(shard.shard_id for shard in provided if shard.starting),
            draining=tuple(shard.shard_id for shard in provided if shard.draining),
            error=self.last_error or (self._held() if self._provider else ""),
        )

    async def _turn(self) -> None:
        provider = self._provider
        if provider is not None:
            await _remove_the_empty(provider)
        picture = await self._look()
        if picture is None or not picture.shards:
            return
        provided = {shard.shard_id: shard for shard in await provider.shards()} if provider else {}
        now = _taking_load(picture, provided)
        capacity = _least_capacity(picture)
        advice, self._memory = await asyncio.to_thread(self._policy.advise, picture.outlook, capacity, now, self._memory)
        self.advice, self._view = advice, _view(picture, now, advice, managed=provider is not None)
        if provider is None or self._held():
            return
        if advice.target > now:
            LOG.info("scale out: %s", advice.reason)
            leaving = sorted(shard_id for shard_id, shard in provided.items() if shard.draining)
            await self._more(provider, advice.target - now, leaving)
        elif advice.target < now:
            LOG.info("scale in: %s", advice.reason)
            await _fewer(provider, picture, provided)

    async def _more(self, provider: ShardProvider, count: int, leaving: list[str]) -> None:
        for shard_id in leaving[:count]:
            await provider.keep(shard_id)
        if count > len(leaving):
            await provider.scale_out(count - len(leaving), self._shard_type)


async def _remove_the_empty(provider: ShardProvider) -> None:
    for shard in await provider.shards():
        if shard.draining and await provider.remove(shard.shard_id):
            LOG.info("shard %s is empty and has left", shard.shard_id)


async def _fewer(provider: ShardProvider, picture: FleetPicture, provided: dict[str, ProvidedShard]) -> None:
    """Drain one shard at a time: a second one waits until the first has left."""
    if any(shard.draining for shard in provided.values()):
        return
    may_go = np.array([shard.shard_id in provided for shard in picture.shards], dtype=np.bool_)
    capacity = np.array([shard.capacity.array() for shard in picture.shards])
    chosen = least_loaded(picture.carried(), capacity, may_go)
    if chosen is not None:
        await provider.drain(picture.shards[chosen].shard_id)


def _taking_load(picture: FleetPicture, provided: dict[str, ProvidedShard]) -> int:
    """Return how many shards take load; one that has just joined may not be in the picture yet."""
    described = {shard.shard_id for shard in picture.shards if not shard.draining}
    return len((described | provided.keys()) - {shard_id for shard_id, shard in provided.items() if shard.draining})


def _view(picture: FleetPicture, now: int, advice: ElasticAdvice, *, managed: bool) -> FleetView:
    starts = zip(advice.starts_s.tolist(), advice.needed.tolist(), strict=True)
    needs = tuple(ShardNeed(float(starts_s), int(shards)) for starts_s, shards in starts)
    return FleetView(managed, picture.outlook.at_s, now, advice.target, advice.reason, needs, advice.short)


def _least_capacity(picture: FleetPicture) -> NDArray[np.float64]:
    """Return (R,) what the smallest shard can give: more of these suffice wherever larger ones do."""
    stated = np.array([shard.capacity.array() for shard in picture.shards])
    return np.asarray(np.where(stated > 0, stated, np.inf).min(axis=0), dtype=np.float64)
