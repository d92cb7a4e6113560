"""What a coordinator does when it starts: ask every shard what it durably knows, and make the mapping and the journal agree.

The shards are believed before the journal and the mapping, because a shard's record is what appends are accepted by.
Per order param, with the states of all shards that answer:

    an ACTIVE or PAUSED record         that shard owns it; of several, the highest epoch (the others are not reachable by
                                       clients that have seen the newer one, and are fenced by their epoch)
    highest is SEALED, nobody serves   SEAL was the commit point: the migration is rolled forward, also if the journal has
                                       never heard of it
    nothing                            the mapping is kept as it is (its shard may be away)
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from plb_ray.domain.mapping import Placement
from plb_ray.domain.migration import MigrationMode, MigrationRecord, MigrationStep
from plb_ray.errors import PlbError
from plb_ray.migration.ports import Ownership
from plb_ray.migration.switching import advance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plb_ray.domain.mapping import Mapping
    from plb_ray.migration.ports import MappingPort, OrderParamState, ShardPort

log = logging.getLogger(__name__)
_SERVING = (Ownership.ACTIVE, Ownership.PAUSED)


@dataclass(frozen=True)
class Survey:
    """What the shards answered: per order param, shard id -> its record. `silent`: shard id -> why it did not answer."""

    states: dict[str, dict[str, OrderParamState]] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)


async def survey(shards: Iterable[ShardPort], timeout_s: float) -> Survey:
    """Ask every shard for all of its records, at the same time; one that takes longer than `timeout_s` is silent."""
    result = Survey()
    await asyncio.gather(*(_ask(shard, timeout_s, result) for shard in shards))
    return result


async def _ask(shard: ShardPort, timeout_s: float, result: Survey) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            answers = [state async for state in shard.states()]
    except (PlbError, TimeoutError) as error:
        result.silent[shard.shard_id] = str(error) or f"no answer in {timeout_s:g} s"
        return
    for state in answers:
        result.states.setdefault(state.order_param, {})[shard.shard_id] = state


def owner_of(states: dict[str, OrderParamState]) -> Placement | None:
    """Return who serves an order param according to the shards' records, after the trailing segments there are.

    None if nobody that answered serves it.
    """
    serving = [(state.epoch, shard_id) for shard_id, state in states.items() if state.ownership in _SERVING]
    if not serving:
        return None
    epoch, owner = max(serving)
    trailing = sorted((segment.epoch, shard_id) for shard_id, state in states.items() for segment in state.segments)
    return Placement(states[owner].order_param, (*(shard_id for _, shard_id in trailing), owner), epoch)


async def repair_mapping(mapping: MappingPort, found: Survey, known: Mapping | None = None) -> int:
    """Bring the mapping up to what the shards say, where it lacks an order param or has an older epoch.

    Args:
        mapping: to be repaired.
        found: what the shards say.
        known: what the mapping has, if that need not be loaded.

    Returns:
        How many placements were repaired.
    """
    epochs = {name: placement.epoch for name, placement in (known or await mapping.load()).placements.items()}
    owners = [owner for states in found.states.values() if (owner := owner_of(states)) is not None]
    behind = [owner for owner in owners if epochs.get(owner.order_param, 0) < owner.epoch]
    await asyncio.gather(*(advance(mapping, owner) for owner in behind))
    return len(behind)


def orphans(found: Survey, now_s: float) -> list[MigrationRecord]:
    """Return records for migrations that passed their commit point, and no destination says that it serves.

    The caller drops those that its journal knows. The others are to be recovered like any other: the shards are asked
    again, so that one that is done already just ends.
    """
    result = []
    for states in found.states.values():
        owned = {shard_id: state for shard_id, state in states.items() if state.ownership in (*_SERVING, Ownership.SEALED)}
        if not owned:
            continue
        shard_id, state = max(owned.items(), key=lambda item: (item[1].epoch, item[1].ownership in _SERVING))
        if state.ownership is Ownership.SEALED and state.migration_id:
            result.append(_record_of(shard_id, state, now_s))
    return result


def leftovers(found: Survey, unfinished: set[str]) -> list[tuple[str, OrderParamState]]:
    """Return (shard id, record) of every import whose migration is over; `unfinished`: ids of those that are not."""
    return [
        (shard_id, state)
        for states in found.states.values()
        for shard_id, state in states.items()
        if state.ownership is Ownership.IMPORTING and state.migration_id not in unfinished
    ]


def unopened(mapping: Mapping, found: Survey) -> list[Placement]:
    """Return first placements (epoch 1) that were stored, but never opened on their shard."""

    def is_open(placement: Placement) -> bool:
        return placement.owner in found.silent or placement.order_param in found.states

    return [placement for placement in mapping.placements.values() if placement.epoch == 1 and not is_open(placement)]


def _mode_of(state: OrderParamState) -> MigrationMode:
    stayed = any(segment.epoch == state.epoch - 1 for segment in state.segments)
    return MigrationMode.CHAIN if stayed else MigrationMode.COPY


def _record_of(shard_id: str, state: OrderParamState, now_s: float) -> MigrationRecord:
    return MigrationRecord(
        migration_id=state.migration_id,
        order_param=state.order_param,
        source=shard_id,
        destination=state.moved_to_shard,
        epoch=state.epoch - 1,
        step=MigrationStep.SEALED,
        reason="found sealed on its source, not in the journal",
        started_s=now_s,
        mode=_mode_of(state),
    )
