"""Acknowledgements on their way: cumulative, beside the polling, all that are due for one shard in one call; and nacks.

Each goes to the segment that delivered its messages: an order param may have several, on one shard even. One that meets a
redirect is repeated at the new owner under its epoch: sequences are the same on every shard. A redirect over several epochs
may lead past the segment that it is for: a shard knows of its last hand-over only, and a later segment takes the ack and
does nothing. Such an ack is not *sure*. One that cannot be placed is given up in the end; the messages are then delivered
again, dropped as repetitions by the consumer, and acknowledged again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.rpc import status_pb2

from plb_ray.errors import (
    MovedError,
    OutcomeUnknownError,
    PlbError,
    RetryableError,
    ShardUnavailableError,
    StaleEpochError,
)
from plb_ray.queues.deliveries import Source
from plb_ray.queues.routes import Lane, backoff_s, redirected
from plb_ray.rpc.channel import CALL_TIMEOUT_S
from plb_ray.rpc.errors import Peer, answer, error_of
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plb_ray.queues.routes import DataStubs, Resolver

ATTEMPTS = 300  # up to 100 ms apart: about half a minute
ASK_EVERY = 10  # attempts at a shard that does not answer, before the resolver is asked where to go
CLOSE_S = 2.0  # how long `close` lets acks go out
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ack:
    """Everything that `source` has delivered of an order param up to a sequence is handled.

    Attributes:
        to: where it is sent: its source, until a redirect says otherwise.
        attempts: refused ones.
        sure: it goes to the segment that it is for.
    """

    order_param: str
    source: Source
    up_to_seq: int
    to: Source
    attempts: int = 0
    sure: bool = True


if TYPE_CHECKING:
    Settled = Callable[[Ack, PlbError | None], None]
    """Called when an ack was taken by a shard, or given up because of an error."""


class Acknowledger:
    """Carries acks and nacks to the shards. Belongs to one event loop; close it when done.

    Args:
        stubs: connections, the caller's to close.
        resolver: where an order param lives, when its shard does not answer.
        consumer: in whose name.
        settled: told of every ack's end; acks that a newer one of their source contains have none of their own.
    """

    def __init__(self, stubs: DataStubs, resolver: Resolver, consumer: str, settled: Settled) -> None:
        self._stubs = stubs
        self._resolver = resolver
        self._consumer = consumer
        self._settled = settled
        self._lanes: dict[str, Lane[Ack]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._due = 0
        self._closed = False

    def put(self, order_param: str, source: Source, up_to_seq: int) -> None:
        """Send an ack as soon as its shard's last call is answered."""
        self._due += 1
        self._send(Ack(order_param, source, up_to_seq, source))

    async def nack(self, order_param: str, source: Source, seq: int, delay_ms: int) -> PlbError | None:
        """Acknowledge what is before `seq` and have it and the rest delivered again after the delay.

        Returns:
            None when a shard has taken it; else why it was given up.
        """
        to = source
        for attempt in range(1, ATTEMPTS + 1):
            request = pb.NackRequest(
                order_param=order_param, epoch=to.epoch, seq=seq, consumer=self._consumer, delay_ms=delay_ms
            )
            call = self._stubs.stub(to.endpoint).Nack(request, timeout=CALL_TIMEOUT_S)
            try:
                await answer(call, Peer("?", to.endpoint), mutating=True)
            except PlbError as refusal:
                error = refusal
            else:
                return None
            next_try = await self._next_try(order_param, to, error, attempt)
            if next_try is None:
                break
            to = next_try
            await asyncio.sleep(backoff_s(attempt))
        log.info("nack of %r from %d on is given up: %s", order_param, seq, error)
        return error

    async def close(self) -> None:
        """Let acks go out for a moment, then stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._due > 0:  # noqa: ASYNC110 - bounded by the timeout
                    await asyncio.sleep(0.005)
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes.values():
            await lane.close()

    def _send(self, ack: Ack) -> None:
        if self._closed:
            return
        endpoint = ack.to.endpoint
        if endpoint not in self._lanes:
            self._lanes[endpoint] = Lane(lambda acks: self._ack_many(endpoint, acks))
        self._lanes[endpoint].put(ack)

    async def _ack_many(self, endpoint: str, acks: list[Ack]) -> None:
        """Send one ack for each segment, the newest; the older ones are contained in it."""
        groups: dict[tuple[str, int], dict[Source, Ack]] = {}
        for ack in acks:
            group = groups.setdefault((ack.order_param, ack.to.epoch), {})
            older = group.get(ack.source)
            if older is None or older.up_to_seq < ack.up_to_seq:
                group[ack.source] = ack
        self._due -= len(acks) - sum(map(len, groups.values()))
        try:
            outcomes = await self._call_ack_many(endpoint, [_newest(group.values()) for group in groups.values()])
            refusals = [error_of(status_pb2.Status.FromString(one.error)) if one.error else None for one in outcomes]
        except PlbError as error:
            refusals = [error] * len(groups)
        for group, refusal in zip(groups.values(), refusals, strict=True):
            for ack in group.values():
                self._answered(ack, refusal)

    async def _call_ack_many(self, endpoint: str, acks: list[Ack]) -> Any:
        requests = [
            pb.AckRequest(order_param=ack.order_param, epoch=ack.to.epoch, up_to_seq=ack.up_to_seq, consumer=self._consumer)
            for ack in acks
        ]
        call = self._stubs.stub(endpoint).AckMany(pb.AckManyRequest(acks=requests), timeout=CALL_TIMEOUT_S)
        answered = await answer(call, Peer("?", endpoint), mutating=True)
        return answered.outcomes

    def _answered(self, ack: Ack, error: PlbError | None) -> None:
        if error is None:
            self._settle(ack, None)
            return
        task = asyncio.create_task(self._repeat(ack, error))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repeat(self, ack: Ack, error: PlbError) -> None:
        """Send the ack again where and when it may work, or give it up."""
        ack.attempts += 1
        next_try = await self._next_try(ack.order_param, ack.to, error, ack.attempts)
        if next_try is None or ack.attempts > ATTEMPTS:
            log.info("ack of %r up to %d is given up: %s", ack.order_param, ack.up_to_seq, error)
            self._settle(ack, error)
            return
        ack.sure &= next_try.epoch <= ack.to.epoch + 1
        ack.to = next_try
        await asyncio.sleep(backoff_s(ack.attempts))
        self._send(ack)

    def _settle(self, ack: Ack, error: PlbError | None) -> None:
        self._due -= 1
        self._settled(ack, error)

    async def _next_try(self, order_param: str, to: Source, error: PlbError, attempt: int) -> Source | None:
        """Return where to go after a refusal; None: nowhere."""
        if isinstance(error, MovedError) and error.epoch > to.epoch:
            located = redirected(error)
            return Source(located.endpoint, located.epoch)
        if isinstance(error, StaleEpochError) and error.current > to.epoch:
            return Source(to.endpoint, error.current)
        if isinstance(error, ShardUnavailableError) and attempt % ASK_EVERY == 0:
            return await self._relocated(order_param, to)
        return to if isinstance(error, RetryableError | OutcomeUnknownError) else None

    async def _relocated(self, order_param: str, to: Source) -> Source:
        """Ask where the order param lives now; stay if that cannot be told, or if the shard still has a part of it."""
        try:
            located = await self._resolver.resolve(order_param)
        except PlbError:
            return to
        if to.endpoint in located.endpoints:
            return to
        return Source(located.endpoint, max(to.epoch, located.epoch))


def _newest(acks: Iterable[Ack]) -> Ack:
    return max(acks, key=lambda ack: ack.up_to_seq)
