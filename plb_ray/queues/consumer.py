"""The consumer: polls every shard, hands each order param's messages to the handler in order and once, acknowledges them.

Order across shards. Each shard delivers an order param in order, but when it moves, two shards may have delivered parts of
it, and their answers may arrive in any order. Per order param the consumer remembers the last sequence it has handled, and
under a lock per order param takes only what continues it:

    seq <= last handled       a repetition: dropped and counted, and acknowledged again (the first ack may be lost)
    seq == last handled + 1   handed over
    a gap                     refused: nothing is handed over or acknowledged, and the next poll of this shard asks for
                              redelivery. The shard then begins with its first unacknowledged message, so if the gap is
                              still there, what is missing was acknowledged by somebody else, and the jump is right

After a failed poll (the answer may be lost) and at its start the consumer asks for redelivery too.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from plb_ray.errors import OutcomeUnknownError, PlbError, RetryableError
from plb_ray.queues.acks import Ack, Acknowledger
from plb_ray.queues.routes import DataStubs, Resolver, ShardEndpoints, backoff_s
from plb_ray.rpc.channel import CALL_TIMEOUT_S
from plb_ray.rpc.errors import Peer, answer
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

POLL_WAIT_MS = 1000
REFRESH_S = 1.0  # how often the list of shards is asked for
log = logging.getLogger(__name__)


class Delivered(NamedTuple):
    """One message as the handler gets it. `appended_s`: wall time at the shard that took it."""

    order_param: str
    seq: int
    producer: str
    producer_seq: int
    payload: bytes
    appended_s: float
    shard_id: str


if TYPE_CHECKING:
    Handler = Callable[[Delivered], Awaitable[None] | None]


@dataclass
class Line:
    """What is known of one order param: the last sequence handled, None before the first."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    handled_seq: int | None = None
    refused_at: set[str] = field(default_factory=set)  # endpoints whose last batch had a gap


class Consumer:
    """Consumes all order params of all shards. Belongs to one event loop.

    Consumers with different names may share the shards: an order param is worked on by one of them at a time.

    Args:
        endpoints: which shards there are; asked every second.
        resolver: where an order param lives, for acks whose shard has gone.
        handler: called once per message, in order per order param; order params run side by side if it is async. What
            it raises ends `run`.
        name: tells consumers apart; the same after a restart.
        linger_s: pause after each delivery, so that messages come in batches; bounds the polls per second.
        max_messages: of one poll.
    """

    def __init__(
        self,
        endpoints: ShardEndpoints,
        resolver: Resolver,
        handler: Handler,
        name: str,
        *,
        linger_s: float = 0.005,
        max_messages: int = 500,
    ) -> None:
        self.name = name
        self.repetitions = 0
        self.gaps = 0
        self.jumps = 0
        self._endpoints = endpoints
        self._handler = handler
        self._linger_s = linger_s
        self._max_messages = max_messages
        self._stubs = DataStubs()
        self._lines: defaultdict[str, Line] = defaultdict(Line)
        self._pollers: dict[str, asyncio.Task[None]] = {}
        self._acks = Acknowledger(self._stubs, resolver, name)
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Consume until `stop`; raises what the handler raised."""
        try:
            while not self._stopping.is_set():
                await self._refresh()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_S):
                        await self._stopping.wait()
        finally:
            await self._close()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Make `run` return, after the acks of what was handled."""
        self._stopping.set()

    async def _refresh(self) -> None:
        """Begin to poll new shards and stop polling those that are gone."""
        try:
            shards = await self._endpoints()
        except (RetryableError, OutcomeUnknownError) as error:
            log.warning("cannot ask for the list of shards, keeping the known ones: %s", error)
            return
        wanted = {endpoint: shard_id for shard_id, endpoint in shards.items()}
        for endpoint in self._pollers.keys() - wanted.keys():
            self._pollers.pop(endpoint).cancel()
        for endpoint in wanted.keys() - self._pollers.keys():
            poller = asyncio.create_task(self._poll_for_ever(Peer(wanted[endpoint], endpoint)))
            poller.add_done_callback(self._poller_done)
            self._pollers[endpoint] = poller

    def _poller_done(self, poller: asyncio.Task[None]) -> None:
        if not poller.cancelled() and poller.exception() is not None:
            self._failure = self._failure or poller.exception()
            self._stopping.set()

    async def _poll_for_ever(self, peer: Peer) -> None:
        redeliver, failures = True, 0
        while True:
            try:
                batches = await self._poll(peer, redeliver=redeliver)
            except PlbError as error:
                redeliver, failures = True, failures + 1
                if failures == 1:
                    log.info("poll of %s failed: %s", peer.shard_id, error)
                await asyncio.sleep(backoff_s(failures))
                continue
            failures = 0
            taken = await asyncio.gather(*(self._take(batch, peer) for batch in batches))
            redeliver = not all(taken)
            if batches:
                await asyncio.sleep(self._linger_s)

    async def _poll(self, peer: Peer, *, redeliver: bool) -> Any:
        request = pb.PollRequest(
            consumer=self.name, max_messages=self._max_messages, wait_ms=POLL_WAIT_MS, redeliver=redeliver
        )
        timeout_s = POLL_WAIT_MS / 1000 + CALL_TIMEOUT_S
        found = await answer(self._stubs.stub(peer.endpoint).Poll(request, timeout=timeout_s), peer, mutating=False)
        return found.batches

    async def _take(self, batch: Any, peer: Peer) -> bool:
        """Hand a batch over as far as it continues its order param; return False if it has a gap."""
        line = self._lines[batch.order_param]
        async with line.lock:
            first_seq = batch.messages[0].seq
            if line.handled_seq is None:
                line.handled_seq = first_seq - 1
            if first_seq > line.handled_seq + 1 and not self._jump(line, peer):
                return False
            line.refused_at.discard(peer.endpoint)
            for message in batch.messages:
                await self._hand_over(line, batch.order_param, message, peer)
            ack = Ack(batch.order_param, peer.endpoint, batch.epoch, line.handled_seq)
        self._acks.put(ack)
        return True

    def _jump(self, line: Line, peer: Peer) -> bool:
        """Say whether a gap is right: it is, if it is still there after a redelivery."""
        if peer.endpoint in line.refused_at:
            self.jumps += 1
            return True
        self.gaps += 1
        line.refused_at.add(peer.endpoint)
        return False

    async def _hand_over(self, line: Line, order_param: str, message: Any, peer: Peer) -> None:
        assert line.handled_seq is not None
        if message.seq <= line.handled_seq:
            self.repetitions += 1
            return
        done = self._handler(
            Delivered(
                order_param,
                message.seq,
                message.producer,
                message.producer_seq,
                message.payload,
                message.appended_s,
                peer.shard_id,
            )
        )
        if inspect.isawaitable(done):
            await done
        line.handled_seq = message.seq

    async def _close(self) -> None:
        """Stop polling, let the acks go out, close all connections."""
        for poller in self._pollers.values():
            poller.cancel()
        await asyncio.gather(*self._pollers.values(), return_exceptions=True)
        await self._acks.close()
        await self._stubs.close()
