"""Group "append": sequences, dedupe, batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from plb_ray.conformance.flows import append, opened, payloads, take
from plb_ray.conformance.outcome import require, same
from plb_ray.conformance.registry import ONE, Table
from plb_ray.conformance.shard import append_request
from plb_ray.conformance.status import Refusal, demand, refused
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.simulation.checker import OrderChecker

if TYPE_CHECKING:
    from plb_ray.conformance.case import Case

TABLE = Table("append", ONE)
PRODUCERS, ROUNDS, BATCH = 4, 15, 3


@TABLE.check("sequences")
async def sequences(case: Case) -> None:
    """An order param's messages are numbered from 1 without gaps, whoever sends them."""
    name = case.name()
    await opened(case.a, name)
    same("last_seq after 3 messages", await append(case.a, name, 1, 3), 3)
    same("last_seq after 2 more by another", await append(case.a, name, 1, 2, producer="q"), 5)
    same("last_seq in the state", (await case.a.state(name)).last_seq, 5)
    got = await take(case.a, name, 5)
    same("sequences", [message.seq for message in got], [1, 2, 3, 4, 5])
    same("payloads", [message.payload for message in got], payloads(1, 3) + payloads(1, 2, "q"))
    same("producers", [(m.producer, m.producer_seq) for m in got], [*(("p", n) for n in (1, 2, 3)), ("q", 1), ("q", 2)])


@TABLE.check("dedupe")
async def dedupe(case: Case) -> None:
    """A repeated append is answered as a duplicate with its sequence, and stored once."""
    name = case.name()
    await opened(case.a, name, 3)
    again = await case.a.append(name, 1, payloads(1, 3))
    same("the repeat's last_seq and duplicate", (again.last_seq, again.duplicate), (3, True))
    same("last_seq in the state", (await case.a.state(name)).last_seq, 3)


@TABLE.check("dedupe-part")
async def dedupe_part(case: Case) -> None:
    """Of an append that repeats a part, only the new part is stored."""
    name = case.name()
    await opened(case.a, name, 3)
    mixed = await case.a.append(name, 2, payloads(2, 4))
    same("last_seq and duplicate", (mixed.last_seq, mixed.duplicate), (5, False))
    got = await take(case.a, name, 5)
    same("producer's numbers", [message.producer_seq for message in got], [1, 2, 3, 4, 5])


@TABLE.check("producers-apart")
async def producers_apart(case: Case) -> None:
    """Each producer of each order param has its own numbers."""
    for tail in ("x", "y"):
        await opened(case.a, case.name(tail), 1)
        answer = await case.a.append(case.name(tail), 1, payloads(1, 1, "q"), producer="q")
        same("last_seq and duplicate", (answer.last_seq, answer.duplicate), (2, False))


@TABLE.check("gap")
async def gap(case: Case) -> None:
    """An append that skips one of its producer's numbers is refused, and says the last one stored."""
    name = case.name()
    await opened(case.a, name, 3)
    refusal = await refused(case.a.append(name, 5, payloads(5, 1)), "number 5 after 3", "SEQUENCE_GAP")
    same("ErrorInfo's last_seq", refusal.data["last_seq"], "3")
    same("last_seq in the state", (await case.a.state(name)).last_seq, 3)


@TABLE.check("many")
async def many(case: Case) -> None:
    """AppendMany answers each of its appends on its own, in their order."""
    good, bad = case.name("good"), case.name("not-open")
    await opened(case.a, good)
    asked = [
        append_request(good, 1, payloads(1, 2)),
        append_request(bad, 1, [b"x"]),
        append_request(good, 3, payloads(3, 1)),
    ]
    found = await case.a.calls.one("AppendMany", pb.AppendManyRequest(appends=asked))
    same("outcomes", len(found.outcomes), 3)
    require(not found.outcomes[0].error, "the first append failed")
    same("the last sequences", (found.outcomes[0].ok.last_seq, found.outcomes[2].ok.last_seq), (2, 3))
    require(found.outcomes[1].error, "an append to an unknown order param was accepted among others")
    demand(Refusal.of_bytes("AppendMany", found.outcomes[1].error), "an append among others", "UNKNOWN_ORDER_PARAM")


@TABLE.check("stream")
async def stream(case: Case) -> None:
    """AppendStream answers in order, and ends with the error of the first refused append."""
    name = case.name()
    await opened(case.a, name)
    numbers = (1, 2, 3, 9)

    async def requests() -> Any:
        for number in numbers:
            yield append_request(name, number, payloads(number, 1))

    answers = []
    try:
        async for answer in case.a.calls.stream("AppendStream", requests()):
            answers.append(answer.last_seq)  # noqa: PERF401  what came before the error counts
    except grpc.aio.AioRpcError as error:
        demand(Refusal.of("AppendStream", error), "number 9 after 3", "SEQUENCE_GAP")
    else:
        require(holds=False, words="the stream ended without the error of its last append")
    same("answers before the error", answers, [1, 2, 3])


@TABLE.check("at-once")
async def at_once(case: Case) -> None:
    """Appends of many producers at once are all numbered, each producer's in its own order."""
    name, checker = case.name(), OrderChecker()
    await opened(case.a, name)

    async def produce(producer: str) -> None:
        for round_ in range(ROUNDS):
            last_seq = await append(case.a, name, 1 + round_ * BATCH, BATCH, producer=producer)
            checker.appended(name, last_seq, BATCH, case.a.shard_id, 1)

    await asyncio.gather(*(produce(f"p{n}") for n in range(PRODUCERS)))
    for message in await take(case.a, name, PRODUCERS * ROUNDS * BATCH):
        checker.consumed(name, message.seq, message.producer, message.producer_seq)
    verdict = checker.verdict()
    require(verdict.clean, f"the order checker found {'; '.join(verdict.examples)}")
