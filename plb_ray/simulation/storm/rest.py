"""What must be true once everything is healed: `unsettled` names what still moves, `left_over` what should not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.migration.ports import Ownership

if TYPE_CHECKING:
    from plb_ray.migration.ports import OrderParamState
    from plb_ray.simulation.storm.world import World

_SERVING = (Ownership.ACTIVE, Ownership.PAUSED)


async def unsettled(world: World) -> list[str]:
    """Return in words what is not at its end yet; empty: nothing moves any more."""
    found = [f"migration {one.migration_id} is still {one.step}" for one in await world.balancer.journal.unfinished()]
    if waiting := world.checker.outstanding():
        found.append(f"{waiting} messages are not consumed")
    for name in world.names:
        found += [
            f"{name}: {server.name} still holds a segment" for server in world.servers.values() if server.segments(name)
        ]
        found += [f"{name}: {server.name} is paused" for server in world.servers.values() if _is_paused(server.look(name))]
        found += _undrained(world, name)
        placement = world.balancer.mapping.placements.get(name)
        if placement is None or len(placement.shards) > 1:
            found.append(f"{name}: the mapping says {placement}")
    found += [
        f"{producer.name} waits with an append to {producer.order_param}"
        for producer in world.producers
        if producer.is_waiting
    ]
    return found


def _is_paused(state: OrderParamState) -> bool:
    """A pause that came late is over when its lease is."""
    return state.ownership is Ownership.PAUSED


def _stored(world: World, shard_id: str, name: str) -> int:
    return len(world.servers[shard_id].shard.stored_seqs(name))


def _undrained(world: World, name: str) -> list[str]:
    sealed = [shard_id for shard_id, server in world.servers.items() if server.look(name).ownership is Ownership.SEALED]
    return [f"{name}: {shard_id} still has its sealed copy" for shard_id in sealed if _stored(world, shard_id, name)]


def left_over(world: World) -> list[str]:
    """Return in words what is wrong with the end state."""
    return [text for name in world.names for text in _of(world, name)]


def _of(world: World, name: str) -> list[str]:
    found = []
    states = {server.name: server.look(name) for server in world.servers.values()}
    owners = [(shard_id, state.epoch) for shard_id, state in states.items() if state.ownership in _SERVING]
    placement = world.balancer.mapping.placements.get(name)
    if placement is None or owners != [(placement.owner, placement.epoch)]:
        found.append(f"{name}: served by {owners}, the mapping says {placement}")
    for shard_id, state in states.items():
        if state.ownership is Ownership.IMPORTING:
            found.append(f"{name}: {shard_id} still imports for {state.migration_id}")
        elif state.ownership is Ownership.PAUSED:
            found.append(f"{name}: {shard_id} is still paused by {state.migration_id}")
        elif state.ownership not in _SERVING and (stored := _stored(world, shard_id, name)):
            found.append(f"{name}: {shard_id} was not drained, it has {stored} messages")
        elif state.ownership is Ownership.ACTIVE and state.behind:
            found.append(f"{name}: {shard_id} still believes that segments come before its own")
    return found
