"""Group "deliver": order, cursor, redelivery, holders, negative acknowledgements."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s
from plb_ray.conformance.case import PREFIX
from plb_ray.conformance.flows import QUIET_MS, append, nothing_comes, opened, payloads, poll, take_exactly, unpacked
from plb_ray.conformance.outcome import Skip, require, same
from plb_ray.conformance.registry import ONE, Table
from plb_ray.conformance.status import Refusal, demand, refused
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("deliver", ONE)
LONGEST_LEASE_MS = 5_000
NACK_DELAY_MS = 400


@TABLE.check("in-order")
async def in_order(case: Case) -> None:
    """Messages are delivered in sequence, each once, with what was sent."""
    name = case.name()
    await opened(case.a, name, 10)
    got = await take_exactly(case.a, name, 1, 10)
    same("payloads", [message.payload for message in got], payloads(1, 10))
    same("epochs", {message.epoch for message in got}, {1})
    await nothing_comes(case.a, name, "everything is in flight")


@TABLE.check("max-messages")
async def max_messages(case: Case) -> None:
    """A poll takes at most max_messages, and the next one goes on."""
    name = case.name()
    await opened(case.a, name, 7)
    got = await poll(case.a, name, most=3, wait_ms=1000)
    require(len(got) <= 3, f"{len(got)} messages came for max_messages = 3")
    await take_exactly(case.a, name, len(got) + 1, 7)


@TABLE.check("max-in-flight")
async def max_in_flight(case: Case) -> None:
    """A poll that names max_in_flight is given no more of an order param than so many unacknowledged messages."""
    name = case.name()
    await opened(case.a, name, 6)
    first = await poll(case.a, name, wait_ms=1000, max_in_flight=3)
    require(len(first) <= 3, f"{len(first)} messages came for max_in_flight = 3")
    await take_exactly(case.a, name, len(first) + 1, 4)
    await nothing_comes(case.a, name, "4 are in flight, and it named max_in_flight = 3", max_in_flight=3)
    await case.a.ack(name, 4)
    await take_exactly(case.a, name, 5, 6, max_in_flight=3)


@TABLE.check("wait")
async def wait(case: Case) -> None:
    """A waiting poll is answered when a message is appended."""
    name = case.name()
    await opened(case.a, name)
    start_s = monotonic_s()
    waiting = asyncio.create_task(poll(case.a, name, wait_ms=5000))
    await asyncio.sleep(0.05)
    await append(case.a, name, 1, 1)
    same("sequences", [message.seq for message in await waiting], [1])
    require(monotonic_s() - start_s < 3, "the poll was not woken up by the append")


@TABLE.check("ack")
async def ack(case: Case) -> None:
    """Acknowledging is cumulative, and late or repeated acknowledgements change nothing."""
    name = case.name()
    await opened(case.a, name, 6)
    await take_exactly(case.a, name, 1, 6)
    answers = [await case.a.ack(name, seq) for seq in (4, 2, 4)]
    same("acked_seq", answers, [4, 4, 4])
    await take_exactly(case.a, name, 5, 6, redeliver=True)


@TABLE.check("ack-many")
async def ack_many(case: Case) -> None:
    """AckMany answers each on its own, in their order."""
    name = case.name()
    await opened(case.a, name, 3)
    await take_exactly(case.a, name, 1, 3)
    acks = [pb.AckRequest(order_param=name, epoch=epoch, up_to_seq=2, consumer="c") for epoch in (1, 7)]
    found = await case.a.calls.one("AckMany", pb.AckManyRequest(acks=acks))
    same("acked_seq of the first", found.outcomes[0].ok.acked_seq, 2)
    demand(Refusal.of_bytes("AckMany", found.outcomes[1].error), "an ack at epoch 7 of one at epoch 1", "STALE_EPOCH")


@TABLE.check("redeliver")
async def redeliver(case: Case) -> None:
    """What is not acknowledged is delivered again, first, to a consumer that asks."""
    name = case.name()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 3)
    await take_exactly(case.a, name, 1, 5, redeliver=True)


@TABLE.check("take-over")
async def take_over(case: Case) -> None:
    """A consumer that names an order param takes it over, unacknowledged messages first."""
    name = case.name()
    await opened(case.a, name, 5)
    first = await take_exactly(case.a, name, 1, 3, "c1")
    second = await take_exactly(case.a, name, 1, 5, "c2")
    require(
        second[0].hold_no > first[0].hold_no,
        f"hold_no went from {first[0].hold_no} to {second[0].hold_no} with the holder; it rises with each change",
    )


@TABLE.check("old-holder")
async def old_holder(case: Case) -> None:
    """A consumer that has lost an order param cannot acknowledge it any more."""
    name = case.name()
    await opened(case.a, name, 3)
    await take_exactly(case.a, name, 1, 3, "c1")
    await take_exactly(case.a, name, 1, 3, "c2")
    refusal = await refused(case.a.ack(name, 3, consumer="c1"), "an ack by the holder before", "NOT_THE_HOLDER")
    same("ErrorInfo's holder", refusal.data["holder"], "c2")
    same("acked_seq", (await case.a.state(name)).acked_seq, 0)
    same("the holder's own ack", await case.a.ack(name, 3, consumer="c2"), 3)


@TABLE.check("one-holder")
async def one_holder(case: Case) -> None:
    """While a consumer has messages in flight, others are given nothing of that order param."""
    name = case.name()
    await _require_alone(case)
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 2, "c1")
    got = unpacked(await case.a.poll([], "c2", wait_ms=QUIET_MS))
    require(not got, f"a second consumer was given {len(got)} messages behind the holder's back")
    await case.a.ack(name, 2, consumer="c1")
    await take_exactly(case.a, name, 3, 5, "c1")


@TABLE.check("lease")
async def lease(case: Case) -> None:
    """A poll's answer tells how long a silent consumer keeps what it holds."""
    name = case.name()
    await opened(case.a, name, 1)
    require((await case.a.poll([name])).lease_ms > 0, "lease_ms is 0")


@TABLE.check("lease-ends")
async def lease_ends(case: Case) -> None:
    """What a silent consumer holds is delivered to another after lease_ms, and not before."""
    name = case.name()
    await _require_alone(case)
    await opened(case.a, name, 3)
    start_s = monotonic_s()
    response = await case.a.poll([name], "c1", wait_ms=1000)
    if response.lease_ms > LONGEST_LEASE_MS:
        raise Skip(f"its lease is {response.lease_ms} ms; start the shard with at most {LONGEST_LEASE_MS} ms to see it end")
    same("in flight", len(unpacked(response)), 3)
    until_s = start_s + response.lease_ms / 1000 + 3
    got = []
    while not got and monotonic_s() < until_s:
        got = unpacked(await case.a.poll([], "c2", wait_ms=200))
    require(got, f"nothing was delivered again within {response.lease_ms} ms + 3 s")
    early_s = response.lease_ms / 1000 - (monotonic_s() - start_s)
    require(early_s < 0.1, f"it was delivered to another {early_s * 1000:.0f} ms before the lease had ended")
    same("the first sequence", got[0].seq, 1)


@TABLE.check("nack")
async def nack(case: Case) -> None:
    """Nack acknowledges what is before, and everything from it on is delivered again, it first."""
    name = case.name()
    await opened(case.a, name, 5)
    await take_exactly(case.a, name, 1, 4)
    same("Nack's acked_seq", await case.a.nack(name, 3), 2)
    await take_exactly(case.a, name, 3, 5)


@TABLE.check("nack-delay")
async def nack_delay(case: Case) -> None:
    """Nothing of the order param is delivered before the delay has passed; others go on."""
    name, other = case.name(), case.name("other")
    await opened(case.a, name, 5)
    await opened(case.a, other, 1)
    await take_exactly(case.a, name, 1, 3)
    start_s = monotonic_s()
    await case.a.nack(name, 2, delay_ms=NACK_DELAY_MS)
    await nothing_comes(case.a, name, f"it was asked back with a delay of {NACK_DELAY_MS} ms")
    await take_exactly(case.a, other, 1, 1)
    await take_exactly(case.a, name, 2, 5)
    early_s = NACK_DELAY_MS / 1000 - (monotonic_s() - start_s)
    require(early_s < 0.02, f"it was delivered {early_s * 1000:.0f} ms before its delay had passed")


@TABLE.check("nack-by-another")
async def nack_by_another(case: Case) -> None:
    """A Nack by a consumer that does not hold it is refused and changes nothing."""
    name = case.name()
    await opened(case.a, name, 3)
    await take_exactly(case.a, name, 1, 3, "c1")
    await refused(case.a.nack(name, 2, consumer="c2"), "a Nack by a stranger", "NOT_THE_HOLDER")
    await nothing_comes(case.a, name, "everything is in flight", "c1")
    same("acked_seq", (await case.a.state(name)).acked_seq, 0)


async def _require_alone(case: Case) -> None:
    """A poll without names takes whatever the shard has; only do it where that can be nobody else's."""
    foreign = [
        state.order_param
        for state in await case.a.states()
        if not state.order_param.startswith(PREFIX) and (state.state != pb.OWNERSHIP_STATE_SEALED or state.segments)
    ]
    if foreign:
        raise Skip(f"polls without names, and the shard has order params of others ({foreign[0]!r}); use an empty shard")
