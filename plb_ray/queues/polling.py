"""Polls one shard for ever, whatever it answers, and passes on what it delivers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from plb_ray.errors import PermanentError, PlbError
from plb_ray.queues.deliveries import Batch, Delivered, Source
from plb_ray.queues.routes import backoff_s
from plb_ray.rpc.channel import CALL_TIMEOUT_S
from plb_ray.rpc.errors import Peer, answer
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.queues.deliveries import Pool
    from plb_ray.queues.dispatch import Dispatcher
    from plb_ray.queues.leases import Leases

FIRST_WAIT_MS = 50  # of a poll before the shard has told its lease
WAIT_MS = 1000
WAIT_MS_CHAINED = 100  # while holds must get around
POLLS_IN_LEASE = 4  # at least, so that one may fail
FULL_BYTES = 1 << 20  # an answer this large is followed by the next poll at once
RELEASE_S = 1.0
log = logging.getLogger(__name__)


class Poller:
    """Polls one shard. One poll is under way at a time, so that the shard's deliveries arrive in order.

    Args:
        peer: the shard.
        stub: its data plane.
        dispatcher: takes what is delivered.
        pool: how much may be in flight.
        leases: kept up to date.
        name: of the consumer.
        now_s: monotonic time.
        max_messages, linger_s: see `Consumer`.
    """

    def __init__(
        self,
        peer: Peer,
        stub: Any,
        dispatcher: Dispatcher,
        *,
        pool: Pool,
        leases: Leases,
        name: str,
        now_s: Callable[[], float],
        max_messages: int,
        linger_s: float,
    ) -> None:
        self._peer = peer
        self._stub = stub
        self._dispatcher = dispatcher
        self._pool = pool
        self._leases = leases
        self._name = name
        self._now_s = now_s
        self._max_messages = max_messages
        self._linger_s = linger_s
        self._lease_ms: int | None = None

    async def run(self) -> None:
        """Poll until cancelled."""
        failures = 0
        while True:
            try:
                full = await self._poll()
            except PlbError as error:
                failures += 1
                if failures == 1:
                    level = logging.WARNING if isinstance(error, PermanentError) else logging.INFO
                    log.log(level, "poll of %s failed: %s", self._peer.shard_id, error)
                await asyncio.sleep(backoff_s(failures))
            else:
                failures = 0
                await asyncio.sleep(0 if full else self._linger_s)

    async def release(self) -> None:
        """Give back, as far as the shard can be reached, what it has in flight to this consumer."""
        request = pb.PollRequest(consumer=self._name, max_messages=1, redeliver=True)
        with contextlib.suppress(PlbError, TimeoutError):
            async with asyncio.timeout(RELEASE_S):
                found = await answer(self._stub.Poll(request, timeout=RELEASE_S), self._peer, mutating=False)
                for batch in found.batches:
                    nack = pb.NackRequest(
                        order_param=batch.order_param, epoch=batch.epoch, seq=batch.messages[0].seq, consumer=self._name
                    )
                    await answer(self._stub.Nack(nack, timeout=RELEASE_S), self._peer, mutating=True)

    async def _poll(self) -> bool:
        """Poll once; return whether there is probably more."""
        endpoint, sent_s = self._peer.endpoint, self._now_s()
        is_new = self._leases.polling(endpoint, sent_s)
        wanted = self._dispatcher.redelivery_wanted(endpoint)
        try:
            found = await self._call(redeliver=is_new or wanted)
        except PlbError:  # what it has delivered may be lost
            self._dispatcher.want_redelivery(endpoint)
            raise
        self._lease_ms = found.lease_ms
        self._leases.answered(endpoint, sent_s, found.lease_ms, self._now_s())
        lease_no = self._leases.number(endpoint, self._now_s())
        count = size = 0
        for delivered in found.batches if lease_no else ():
            batch = self._batch(delivered, lease_no)
            if batch.messages:
                count += len(batch.messages)
                size += self._pool.arrived(batch)
                self._dispatcher.offer(delivered.order_param, batch)
        return count >= self._max_messages or size >= FULL_BYTES

    async def _call(self, *, redeliver: bool) -> Any:
        holds = self._dispatcher.holds()
        wait_ms = self._wait_ms(chained=bool(holds))
        request = pb.PollRequest(
            consumer=self._name,
            max_messages=self._max_messages,
            wait_ms=wait_ms,
            redeliver=redeliver,
            max_in_flight=self._pool.window(),
            holds=[pb.Hold(order_param=name, hold_no=hold_no) for name, hold_no in holds.items()],
        )
        timeout_s = wait_ms / 1000 + CALL_TIMEOUT_S
        return await answer(self._stub.Poll(request, timeout=timeout_s), self._peer, mutating=False)

    def _wait_ms(self, *, chained: bool) -> int:
        if self._lease_ms is None:
            return FIRST_WAIT_MS
        wait_ms = WAIT_MS_CHAINED if chained else WAIT_MS
        return min(wait_ms, max(1, self._lease_ms // POLLS_IN_LEASE)) if self._lease_ms else wait_ms

    def _batch(self, batch: Any, lease_no: int) -> Batch:
        name, shard_id = batch.order_param, self._peer.shard_id
        messages = [
            Delivered(name, one.seq, one.producer, one.producer_seq, one.payload, one.appended_s, shard_id)
            for one in batch.messages
        ]
        source = Source(self._peer.endpoint, batch.epoch)
        return Batch(source, messages, lease_no, batch.hold_no, batch.behind, batch.followed, batch.acked_seq)
