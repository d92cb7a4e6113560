"""Group "queue": where order params live, and the load of all shards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plb_ray.conformance.outcome import Failure, require, same
from plb_ray.conformance.registry import Needs, Table
from plb_ray.conformance.status import refused
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("queue", Needs.QUEUE)
TWO_SHARDS = Needs.QUEUE | Needs.TWO_QUEUE_SHARDS
WATCH_S = 5.0
NO_SHARD = "plb-conformance-no-such-shard"


@TABLE.check("shards")
async def shards(case: Case) -> None:
    """ListShards tells each shard's id, endpoint and capacity."""
    listed = (await case.queue.calls.one("ListShards", pb.ListShardsRequest())).shards
    require(listed, "it lists no shard")
    for shard in listed:
        require(shard.shard_id and shard.endpoint, f"a shard lacks id or endpoint: {shard.shard_id!r} {shard.endpoint!r}")
        require(shard.capacity.cpu_cores > 0, f"{shard.shard_id}: capacity.cpu_cores is not above 0")


@TABLE.check("allocate")
async def allocate(case: Case) -> None:
    """AllocateShards with one shard places an order param there, and is idempotent for the same list."""
    name, shard_id = case.name(), _shard(case)
    placed = await case.queue.allocate(name, [shard_id])
    same("shards and endpoints", (list(placed.shards), list(placed.endpoints)), ([shard_id], [case.queue.shards[shard_id]]))
    require(placed.epoch >= 1, f"the epoch is {placed.epoch}")
    same("the answer of a repeat", await case.queue.allocate(name, [shard_id]), placed)
    same("what ResolveOrderParam answers", await case.queue.resolve(name), placed)


@TABLE.check("allocate-several", TWO_SHARDS)
async def allocate_several(case: Case) -> None:
    """AllocateShards with several shards lets segments rotate over them, and is idempotent for the same list."""
    name, ids = case.name(), list(case.queue.shards)[:2]
    placed = await case.queue.allocate(name, ids)
    same("rotation", list(placed.rotation), ids)
    require(set(placed.shards) <= set(ids), f"it lives on {list(placed.shards)}, allocated are {ids}")
    again = await case.queue.allocate(name, ids)
    same("rotation and epoch of a repeat", (list(again.rotation), again.epoch), (ids, placed.epoch))
    same("rotation that ResolveOrderParam answers", list((await case.queue.resolve(name)).rotation), ids)


@TABLE.check("allocate-replaces", TWO_SHARDS)
async def allocate_replaces(case: Case) -> None:
    """A new list replaces the one before."""
    name, ids = case.name(), list(case.queue.shards)[:2]
    await case.queue.allocate(name, ids)
    other = await case.queue.allocate(name, ids[::-1])
    same("rotation", list(other.rotation), ids[::-1])


@TABLE.check("allocate-bad")
async def allocate_bad(case: Case) -> None:
    """AllocateShards to an unknown shard, to none, to one twice, or of a nameless order param is refused."""
    name, shard_id = case.name(), _shard(case)
    await refused(case.queue.allocate(name, [NO_SHARD]), "an allocation to an unknown shard", "UNKNOWN_SHARD")
    await refused(case.queue.allocate(name, [shard_id, NO_SHARD]), "one to a known and an unknown shard", "UNKNOWN_SHARD")
    await refused(case.queue.allocate(name, []), "an allocation to no shard", "BAD_INPUT")
    await refused(case.queue.allocate(name, [shard_id, shard_id]), "an allocation to one shard twice", "BAD_INPUT")
    await refused(case.queue.allocate("", [shard_id]), "an allocation of a nameless order param", "BAD_INPUT")
    await refused(case.queue.resolve(name), "resolving it after the refusals", "UNKNOWN_ORDER_PARAM")


@TABLE.check("resolve")
async def resolve(case: Case) -> None:
    """An unknown order param is NOT_FOUND, and is placed on request, once."""
    name = case.name()
    refusal = await refused(case.queue.resolve(name), "resolving an unknown order param", "UNKNOWN_ORDER_PARAM")
    same("ErrorInfo's order_param", refusal.data.get("order_param"), name)
    placed = await case.queue.resolve(name, create=True)
    require(placed.shards and placed.shards[0] in case.queue.shards, f"it was placed on {list(placed.shards)}")
    same("the answer of a repeat", await case.queue.resolve(name, create=True), placed)
    same("the answer without create", await case.queue.resolve(name), placed)


@TABLE.check("resolve-at-once")
async def resolve_at_once(case: Case) -> None:
    """Many that place one order param at the same time are told the same place."""
    name = case.name()
    found = await asyncio.gather(*(case.queue.resolve(name, create=True) for _ in range(8)))
    for placed in found[1:]:
        same("one answer among eight", placed, found[0])


@TABLE.check("watch")
async def watch(case: Case) -> None:
    """WatchAllocations sends the whole mapping first, then each change."""
    before, after = case.name("before"), case.name("after")
    await case.queue.allocate(before, [_shard(case)])
    watching = case.queue.calls.stream("WatchAllocations", pb.WatchAllocationsRequest())
    try:
        first = await _next(watching, "the whole mapping")
        require(first.complete, "the first update is not complete")
        require(before in _names(first), "the whole mapping lacks an order param that is placed")
        placed = await case.queue.allocate(after, [_shard(case)])
        while after not in _names(update := await _next(watching, "a change")):
            pass
        same("the change's placement", next(p for p in update.placements if p.order_param == after), placed)
        require(update.generation > first.generation, "the generation does not rise")
    finally:
        watching.cancel()


@TABLE.check("load")
async def load(case: Case) -> None:
    """GetLoadMetrics tells the load of the shards asked for, all if none is named; unknown ones are NOT_FOUND."""
    every = await case.queue.load_metrics()
    same("shards told or missing", {s.shard_id for s in every.shards} | set(every.missing), set(case.queue.shards))
    one = await case.queue.load_metrics(_shard(case))
    same("shards told when one is asked for", [shard.shard_id for shard in one.shards], [_shard(case)])
    await refused(case.queue.load_metrics(NO_SHARD), "the load of an unknown shard", "UNKNOWN_SHARD")


@TABLE.check("watch-load")
async def watch_load(case: Case) -> None:
    """WatchLoadMetrics goes on sending."""
    request = pb.WatchLoadMetricsRequest(shards=[_shard(case)], interval_s=0.05)
    watching = case.queue.calls.stream("WatchLoadMetrics", request)
    try:
        times = [(await _next(watching, "load metrics")).at_s for _ in range(3)]
    finally:
        watching.cancel()
    require(times == sorted(times), f"their times fall: {times}")


async def _next(watching: Any, what: str) -> Any:
    try:
        async with asyncio.timeout(WATCH_S):
            return await watching.read()
    except TimeoutError:
        raise Failure(f"{what} did not come within {WATCH_S:g} s") from None


def _names(update: pb.MappingUpdate) -> set[str]:
    return {placement.order_param for placement in update.placements}


def _shard(case: Case) -> str:
    return next(iter(case.queue.shards))
