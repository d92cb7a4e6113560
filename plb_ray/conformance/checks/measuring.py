"""Group "load": the metrics that the balancer plans by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import append, chained, moved, opened, payloads, take_exactly
from plb_ray.conformance.outcome import Failure, require, same
from plb_ray.conformance.registry import ONE, TWO, Table

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case
    from plb_ray.conformance.shard import ShardUnderTest
    from plb_ray.rpc.v1 import queue_pb2 as pb

TABLE = Table("load", ONE)


@TABLE.check("shard")
async def shard_load(case: Case) -> None:
    """GetLoad tells the shard's id, the time and its use of resources."""
    load = await case.a.load()
    same("shard_id", load.shard_id, case.a.shard_id)
    require(load.at_s > 1_600_000_000, f"at_s is {load.at_s:g}, not seconds since 1970")
    require(load.use.memory_bytes > 0, "use.memory_bytes is 0")
    require(load.use.cpu_cores >= 0, f"use.cpu_cores is {load.use.cpu_cores:g}")


@TABLE.check("counters")
async def counters(case: Case) -> None:
    """Per order param: messages, bytes, consumed, backlog."""
    name = case.name()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 2)
    load = await _of(case.a, name)
    sizes = [len(payload) for payload in payloads(1, 5)]
    same("epoch", load.epoch, 1)
    found = (load.messages_total, load.consumed_total, load.backlog)
    same("messages_total, consumed_total and backlog (waiting or in flight)", found, (5, 2, 3))
    same("bytes_total and backlog_bytes", (load.bytes_total, load.backlog_bytes), (sum(sizes), sum(sizes[2:])))
    require(0 <= load.oldest_age_s < 60, f"oldest_age_s is {load.oldest_age_s:g}")


@TABLE.check("moves", TWO)
async def totals_move(case: Case) -> None:
    """The totals move with an order param, and only its owner lists it."""
    name = case.name()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 3)
    await case.a.ack(name, 2)
    before = await _of(case.a, name)
    await moved(case, name, case.a, case.b)
    await append(case.b, name, 6, 1, epoch=2)
    after = await _of(case.b, name)
    same("messages_total", after.messages_total, before.messages_total + 1)
    same("bytes_total", after.bytes_total, before.bytes_total + len(payloads(6, 1)[0]))
    same("consumed_total and backlog", (after.consumed_total, after.backlog), (2, 4))
    listed = [load.order_param for load in (await case.a.load()).order_params]
    require(name not in listed, "the source still lists it")


@TABLE.check("segments", TWO)
async def segments(case: Case) -> None:
    """A backlog that stayed in a chained migration is counted where it is."""
    name = case.name()
    await opened(case.a, name, 5)
    await chained(case, name, case.a, case.b)
    found = [(load.epoch, load.backlog) for load in (await case.a.load()).segments if load.order_param == name]
    same("the source's segments (epoch, backlog)", found, [(1, 5)])
    same("backlog at the destination", (await _of(case.b, name)).backlog, 0)


async def _of(shard: ShardUnderTest, name: str) -> pb.OrderParamLoad:
    found = [load for load in (await shard.load()).order_params if load.order_param == name]
    if len(found) != 1:
        raise Failure(f"{shard.shard_id} lists the order param {len(found)} times in its load; it owns it")
    return found[0]
