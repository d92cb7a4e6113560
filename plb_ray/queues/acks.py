"""Acknowledgements on their way: cumulative, beside the polling, all that are due for one shard in one call.

An ack that meets a redirect is repeated at the new owner under its epoch: sequences are the same on every shard. One that
cannot be placed is given up in the end; the messages are then delivered again, dropped as repetitions by the consumer, and
acknowledged again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Any

from google.rpc import status_pb2

from plb_ray.errors import (
    MovedError,
    OutcomeUnknownError,
    PlbError,
    RetryableError,
    ShardUnavailableError,
    StaleEpochError,
)
from plb_ray.queues.routes import DataStubs, Lane, Resolver, backoff_s, redirected
from plb_ray.rpc.channel import CALL_TIMEOUT_S
from plb_ray.rpc.errors import Peer, answer, error_of
from plb_ray.rpc.v1 import queue_pb2 as pb

ACK_ATTEMPTS = 300  # up to 100 ms apart: about half a minute
ASK_EVERY = 10  # attempts at a shard that does not answer, before the resolver is asked where to go
CLOSE_S = 2.0  # how long `close` lets acks go out
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ack:
    """Everything of an order param up to a sequence is handled."""

    order_param: str
    endpoint: str
    epoch: int
    up_to_seq: int
    attempts: int = 0


class Acknowledger:
    """Carries acks to the shards. Belongs to one event loop; close it when done.

    Args:
        stubs: connections, the caller's to close.
        resolver: where an order param lives, when its shard does not answer.
        consumer: in whose name.
    """

    def __init__(self, stubs: DataStubs, resolver: Resolver, consumer: str) -> None:
        self._stubs = stubs
        self._resolver = resolver
        self._consumer = consumer
        self._lanes: dict[str, Lane[Ack]] = {}
        self._due = 0
        self._closed = False

    def put(self, ack: Ack) -> None:
        """Send an ack as soon as its shard's last call is answered."""
        self._due += 1
        self._send(ack)

    async def close(self) -> None:
        """Let acks go out for a moment, then stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._due > 0:  # noqa: ASYNC110 - bounded by the timeout
                    await asyncio.sleep(0.005)
        self._closed = True
        for lane in self._lanes.values():
            await lane.close()

    def _send(self, ack: Ack) -> None:
        if self._closed:
            return
        if ack.endpoint not in self._lanes:
            self._lanes[ack.endpoint] = Lane(lambda acks: self._ack_many(ack.endpoint, acks))
        self._lanes[ack.endpoint].put(ack)

    async def _ack_many(self, endpoint: str, acks: list[Ack]) -> None:
        """Send the newest ack of each order param; the older ones are contained in it."""
        newest: dict[str, Ack] = {}
        for ack in sorted(acks, key=lambda one: (one.epoch, one.up_to_seq)):
            older = newest.get(ack.order_param, ack)
            newest[ack.order_param] = replace(ack, up_to_seq=max(ack.up_to_seq, older.up_to_seq))
        self._due -= len(acks) - len(newest)
        sent = list(newest.values())
        try:
            outcomes = await self._call_ack_many(endpoint, sent)
        except PlbError as error:
            for ack in sent:
                await self._ack_refused(ack, error)
            return
        for ack, outcome in zip(sent, outcomes, strict=True):
            refusal = error_of(status_pb2.Status.FromString(outcome.error)) if outcome.error else None
            if refusal is None:
                self._due -= 1
            else:
                await self._ack_refused(ack, refusal)

    async def _call_ack_many(self, endpoint: str, acks: list[Ack]) -> Any:
        requests = [
            pb.AckRequest(order_param=ack.order_param, epoch=ack.epoch, up_to_seq=ack.up_to_seq, consumer=self._consumer)
            for ack in acks
        ]
        call = self._stubs.stub(endpoint).AckMany(pb.AckManyRequest(acks=requests), timeout=CALL_TIMEOUT_S)
        answered = await answer(call, Peer("?", endpoint), mutating=True)
        return answered.outcomes

    async def _ack_refused(self, ack: Ack, error: PlbError) -> None:
        """Repeat the ack where and when it may work, or give it up."""
        next_try = replace(ack, attempts=ack.attempts + 1)
        if isinstance(error, MovedError) and error.epoch > ack.epoch:
            located = redirected(error)
            next_try = replace(next_try, endpoint=located.endpoint, epoch=located.epoch)
        elif isinstance(error, StaleEpochError) and error.current > ack.epoch:
            next_try = replace(next_try, epoch=error.current)
        elif not isinstance(error, RetryableError | OutcomeUnknownError):
            log.info("ack of %r up to %d is given up: %s", ack.order_param, ack.up_to_seq, error)
            self._due -= 1
            return
        elif isinstance(error, ShardUnavailableError):
            next_try = await self._relocated(next_try)
        if next_try.attempts > ACK_ATTEMPTS:
            self._due -= 1
            return
        asyncio.get_running_loop().call_later(backoff_s(next_try.attempts), self._send, next_try)

    async def _relocated(self, ack: Ack) -> Ack:
        """Ask where the order param lives now; keep the ack as it is if that cannot be told."""
        if ack.attempts % ASK_EVERY:
            return ack
        try:
            located = await self._resolver.resolve(ack.order_param)
        except PlbError:
            return ack
        return replace(ack, endpoint=located.endpoint, epoch=max(ack.epoch, located.epoch))
