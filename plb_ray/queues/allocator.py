"""Where order params live: finds placements, makes first ones, and opens them on their shards.

An order param that the mapping does not know may live on a shard that has never been asked (see `migration.late_survey`);
until that is settled nothing is placed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from plb_ray.domain.mapping import Placement, rendezvous_shard
from plb_ray.errors import (
    BadInputError,
    FencedError,
    MigrationConflictError,
    OutcomeUnknownError,
    RetryableError,
    UnknownOrderParamError,
    UnknownShardError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from plb_ray.migration.late_survey import LateSurvey
    from plb_ray.migration.live_mapping import LiveMapping
    from plb_ray.migration.ports import ShardPort
    from plb_ray.queues.closing import Closing

log = logging.getLogger(__name__)
FIRST_EPOCH = 1


class Allocator:
    """See the module.

    Args:
        shards: by shard id.
        mapping: where placements are kept.
        late_survey: which shards were never asked what they own.
        candidates: returns the shards that may take new order params.
        opens_in_flight: how many placements are opened at the same time.
        closing: which shards take nothing.
    """

    def __init__(
        self,
        shards: Mapping[str, ShardPort],
        mapping: LiveMapping,
        late_survey: LateSurvey,
        candidates: Callable[[], Awaitable[Sequence[str]]],
        opens_in_flight: int,
        closing: Closing,
    ) -> None:
        self._closing = closing
        self._shards = shards
        self._mapping = mapping
        self._late_survey = late_survey
        self._candidates = candidates
        self._opened: set[str] = set()
        self._opening = asyncio.Semaphore(opens_in_flight)

    def note_opened(self, order_params: Iterable[str]) -> None:
        """Note which order params some shard has a record of."""
        self._opened.update(order_params)

    async def resolve(self, order_param: str, *, create: bool) -> Placement:
        """Return where an order param lives; with `create`, place an unknown one by hashing over the candidates.

        Raises:
            UnknownOrderParamError: unknown, and not to be created.
            ShardUnavailableError: its shard did not take it yet; the placement stands, try again.
            RetryableError: it may live on a shard that was never asked, or no shard answers.
        """
        placement = await self._known(order_param)
        if placement is None and not create:
            raise UnknownOrderParamError(order_param)
        return await self.open(placement or await self._placed(order_param))

    async def ensure(self, order_params: Iterable[str]) -> tuple[Placement, ...]:
        """Place many at once, and open what can be opened now; `resolve` opens the rest when its shard is back.

        Those that cannot be placed yet, because a shard that may own them was never asked, are logged and left out.
        """
        found = await asyncio.gather(*(self._ensured(name) for name in order_params))
        placements = tuple(placement for placement in found if placement is not None)
        for why in sorted(set(await asyncio.gather(*map(self._away, placements))) - {""}):
            log.warning("order params are not open yet: %s", why)
        return placements

    async def allocate(self, order_param: str, shards: Sequence[str]) -> Placement:
        """Give an order param its shards.

        One shard: it lives there. Several: its segments rotate over them from now on (see `chain_keeper`), and an order
        param that lives already is not moved by this call. Idempotent for the same list.

        Raises:
            BadInputError: no shard, or one of them twice.
            UnknownShardError.
            MigrationConflictError: it lives elsewhere, or one of the shards is being taken out.
        """
        wanted = _require_shards(order_param, shards)
        for shard_id in wanted:
            self._require_shard(shard_id)
        rotation = wanted if len(wanted) > 1 else ()
        self._closing.require_open(rotation)
        first = Placement(order_param, wanted[:1], FIRST_EPOCH, rotation)
        placement = await self._known(order_param) or await self._created(first)
        if not rotation and placement.owner != wanted[0]:
            raise MigrationConflictError(f"{order_param!r} lives on {placement.owner!r} already; migrate it from there")
        if placement.rotation != rotation:
            placement = await self._mapping.reshape(replace(placement, rotation=rotation))
        return await self.open(placement)

    async def open(self, placement: Placement) -> Placement:
        """Open a first placement on its shard, unless that is known to have been done."""
        if placement.epoch > FIRST_EPOCH or placement.order_param in self._opened:
            return placement
        async with self._opening:
            try:
                await self._require_shard(placement.owner).open(placement.order_param, placement.epoch)
            except FencedError:  # opened before and given away since; the mapping follows
                log.info("%r has left %s already", placement.order_param, placement.owner)
        self._opened.add(placement.order_param)
        return placement

    async def _known(self, order_param: str) -> Placement | None:
        """Return a placement; for an unknown order param, ask the shards that were never asked first."""
        if self._mapping.get(order_param) is None:
            await self._late_survey.catch_up()
        return self._mapping.get(order_param)

    async def _placed(self, order_param: str) -> Placement:
        """Store the first placement of an order param; another caller's, if that was faster."""
        _require_name(order_param)
        candidates = await self._candidates()
        if not candidates:
            raise RetryableError(f"no shard answers that could take {order_param!r}; check that the shards run")
        return await self._created(Placement(order_param, (rendezvous_shard(order_param, candidates),), FIRST_EPOCH))

    async def _created(self, placement: Placement) -> Placement:
        self._late_survey.require_all(placement.order_param)
        with self._closing.placing(placement.owner):
            return await self._mapping.create(placement)

    async def _ensured(self, order_param: str) -> Placement | None:
        try:
            return await self._known(order_param) or await self._placed(order_param)
        except RetryableError as error:
            log.warning("not placed yet: %s", error)
            return None

    async def _away(self, placement: Placement) -> str:
        """Open a placement, or return why its shard does not take it now."""
        try:
            await self.open(placement)
        except (RetryableError, OutcomeUnknownError, TimeoutError) as error:
            return f"{placement.owner}: {error}"
        return ""

    def _require_shard(self, shard_id: str) -> ShardPort:
        shard = self._shards.get(shard_id)
        if shard is None:
            raise UnknownShardError(shard_id)
        return shard


def _require_name(order_param: str) -> None:
    if not order_param:
        raise BadInputError("an order param needs a name of at least one character")


def _require_shards(order_param: str, shards: Sequence[str]) -> tuple[str, ...]:
    _require_name(order_param)
    if not shards:
        raise BadInputError(f"no shard given for {order_param!r}; name one, or several for its segments to rotate over")
    if len(set(shards)) < len(shards):
        raise BadInputError(f"{order_param!r}: a shard is named twice in {', '.join(shards)}")
    return tuple(shards)
