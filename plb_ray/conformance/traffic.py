"""Producers and a consumer of one order param that find their way by redirects, under the eyes of the order checker.

They are clients as the contract wants them, and no more: a producer repeats what was not answered, waits out a pause and
follows MOVED; the consumer asks every shard, keeps what is *behind* until what is before it has been handed over, and
acknowledges each message under the epoch it came with. There is one consumer and it loses nothing, so a batch that is not
behind and jumps ahead is a violation, as is a message that never comes.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s
from plb_ray.conformance.flows import Got, append, unpacked
from plb_ray.conformance.outcome import Failure, require
from plb_ray.conformance.status import Refusal
from plb_ray.simulation.checker import OrderChecker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from plb_ray.conformance.shard import ShardUnderTest

CONSUMER = "traffic"
PRODUCERS = 3
BATCH = 2
EVERY_S = 0.004
RETRY_S = 0.005
POLL_MS = 10
PAUSE_S_MAX = 5.0
DRAIN_S = 20.0
_NOT_HERE = frozenset({"MOVED", "UNKNOWN_ORDER_PARAM", "PAUSED", "SHARD_UNAVAILABLE"})


@dataclass
class Place:
    """Where a client believes the order param to be."""

    shard: ShardUnderTest
    epoch: int


class Traffic:
    """See the module. `shards` are all on which the order param may come to live; the first one has it, at `epoch`."""

    def __init__(self, name: str, shards: Sequence[ShardUnderTest], epoch: int = 1) -> None:
        self.sent = 0
        self.pause_s_max = 0.0
        self._name = name
        self._shards = {shard.shard_id: shard for shard in shards}
        self._home = Place(shards[0], epoch)
        self._checker = OrderChecker()
        self._sending = True
        self._done = asyncio.Event()
        self._hold_no = 0
        self._next_seq = 1
        self._ahead: dict[int, tuple[Got, Place]] = {}
        self._to_ack: dict[tuple[str, int], int] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Traffic]:
        """Send and consume; at the end stop sending, wait until everything is consumed, and judge.

        Raises:
            Failure: a promise was broken; the checker's words.
            Refusal: a client was refused what it must be given.
        """
        producers = [asyncio.create_task(self._produce(f"p{n}")) for n in range(PRODUCERS)]
        consumer = asyncio.create_task(self._consume())
        try:
            await self.more(20)
            yield self
            await self.more(20)
            self._sending = False
            await asyncio.gather(*producers)
            await self._drained(consumer)
            self._done.set()
            await consumer
        finally:
            for task in (*producers, consumer):
                task.cancel()
            ended = await asyncio.gather(*producers, consumer, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        self._judge()

    async def more(self, messages: int) -> None:
        """Return when so many more are acknowledged, or no more come."""
        goal, until_s = self.sent + messages, monotonic_s() + PAUSE_S_MAX + 1
        while self.sent < goal and monotonic_s() < until_s:  # noqa: ASYNC110  bounded by time
            await asyncio.sleep(RETRY_S)
        require(self.sent >= goal, f"no append was accepted for {PAUSE_S_MAX + 1:g} s")

    # Producers

    async def _produce(self, producer: str) -> None:
        place, first = Place(self._home.shard, self._home.epoch), 1
        while self._sending:
            refused_since_s: float | None = None
            while True:
                try:
                    last_seq = await append(place.shard, self._name, first, BATCH, place.epoch, producer)
                    break
                except Refusal as refusal:
                    refused_since_s = refused_since_s or monotonic_s()
                    await self._after_refusal(refusal, place, refused_since_s)
            if refused_since_s is not None:
                self.pause_s_max = max(self.pause_s_max, monotonic_s() - refused_since_s)
            self._checker.appended(self._name, last_seq, BATCH, place.shard.shard_id, place.epoch)
            self.sent += BATCH
            first += BATCH
            await asyncio.sleep(EVERY_S)

    async def _after_refusal(self, refusal: Refusal, place: Place, since_s: float) -> None:
        """Follow a redirect, wait out a pause, or give up."""
        if monotonic_s() - since_s > PAUSE_S_MAX:
            raise Failure(f"an append was refused for {PAUSE_S_MAX:g} s; the last time: {refusal}")
        if not self._followed(refusal, place):
            if refusal.code.name not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise refusal
            await asyncio.sleep(refusal.retry_s or RETRY_S)

    def _followed(self, refusal: Refusal, place: Place) -> bool:
        """Correct a place by what a refusal tells."""
        if refusal.reason == "MOVED":
            shard = self._shards.get(refusal.data["shard_id"])
            if shard is None:
                raise Failure(f"a redirect names a shard that is not among the targets: {refusal}")
            place.shard, place.epoch = shard, int(refusal.data["epoch"])
            return True
        if refusal.reason == "STALE_EPOCH" and int(refusal.data["current"]) > place.epoch:
            place.epoch = int(refusal.data["current"])
            return True
        return False

    # Consumer

    async def _consume(self) -> None:
        while not self._done.is_set():
            for shard in self._shards.values():
                for message in await self._polled(shard):
                    self._take(message, shard)
            self._hand_over()
            await self._acknowledge()

    async def _polled(self, shard: ShardUnderTest) -> list[Got]:
        try:
            return unpacked(await shard.poll([self._name], CONSUMER, wait_ms=POLL_MS, hold_no=self._hold_no))
        except Refusal as refusal:
            if refusal.reason not in _NOT_HERE and refusal.code.name not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise
            return []

    def _take(self, message: Got, shard: ShardUnderTest) -> None:
        """Keep a message until its turn. One that is not behind has its turn now, whatever is missing before it."""
        self._hold_no = max(self._hold_no, message.hold_no)
        if message.seq < self._next_seq:  # delivered again, since its acknowledgement was not heard
            self._to_ack.setdefault((shard.shard_id, message.epoch), message.seq)
            return
        self._ahead[message.seq] = (message, Place(shard, message.epoch))
        self._hand_over()
        if not message.behind and message.seq in self._ahead:
            self._consumed(message.seq)

    def _hand_over(self) -> None:
        while self._next_seq in self._ahead:
            self._consumed(self._next_seq)

    def _consumed(self, seq: int) -> None:
        message, place = self._ahead.pop(seq)
        self._checker.consumed(self._name, seq, message.producer, message.producer_seq)
        self._next_seq = seq + 1
        self._to_ack[place.shard.shard_id, place.epoch] = seq

    async def _acknowledge(self) -> None:
        """Acknowledge what was handed over, following it to where it has moved. What is not accepted is tried again."""
        for (shard_id, epoch), seq in list(self._to_ack.items()):
            place = Place(self._shards[shard_id], epoch)
            try:
                await place.shard.ack(self._name, seq, place.epoch, CONSUMER)
            except Refusal as refusal:
                if self._followed(refusal, place):
                    del self._to_ack[shard_id, epoch]
                    key = (place.shard.shard_id, place.epoch)
                    self._to_ack[key] = max(seq, self._to_ack.get(key, 0))
                elif refusal.code.name not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    raise
            else:
                del self._to_ack[shard_id, epoch]

    async def _drained(self, consumer: asyncio.Task[None]) -> None:
        until_s = monotonic_s() + DRAIN_S
        while monotonic_s() < until_s and not consumer.done():
            if not self._checker.outstanding() and not self._to_ack:
                return
            await asyncio.sleep(RETRY_S)

    def _judge(self) -> None:
        verdict = self._checker.verdict()
        if not verdict.clean:
            raise Failure(f"of {verdict.sent} messages: {'; '.join(verdict.examples[:5])}")
        require(not self._to_ack, f"handed over, and the acknowledgement is not accepted: {self._to_ack}")
