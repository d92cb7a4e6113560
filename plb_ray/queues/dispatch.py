"""Hands over to the handler what the lines give out, acknowledges it, and has shards deliver again what was refused.

Each order param that has something to hand over has a task of its own, so that one with a slow handler keeps up no other
and no poll.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from plb_ray.errors import NotTheHolderError, PlbError
from plb_ray.queues.acks import Ack, Acknowledger
from plb_ray.queues.deliveries import Batch, Delivered, Offer, Pool, Source
from plb_ray.queues.reassembly import Line

if TYPE_CHECKING:
    from plb_ray.queues.leases import Leases
    from plb_ray.queues.routes import DataStubs, Resolver

TURN_MESSAGES = 100  # handed over before others get their turn, and before acknowledging
ACK_S = 0.002  # how long an ack may wait for the next message's
REFUSED_DELAY_S = 0.1  # until what was refused is delivered again
AGAIN_DELAY_S = 0.005  # of a repeated nack, so that nothing is on its way when it is answered
STUCK_S = 5.0  # how long what is kept may wait for what comes before it
STUCK_DELAY_S = 2.0  # and then stays away, so that what it waits for is not always served after it
CLOSE_S = 5.0  # how long `close` waits for handlers
log = logging.getLogger(__name__)

Handler = Callable[[Delivered], Awaitable[None] | None]


class Retry(Exception):  # noqa: N818 - a request to the consumer, not an error
    """Raised by a handler: this message cannot be handled now. It comes again, and nothing of its order param before it.

    Args:
        delay_s: how long not, at least.
    """

    def __init__(self, delay_s: float = 1.0) -> None:
        super().__init__(delay_s)
        self.delay_s = max(0.0, delay_s)


class _Work:
    """A line and the state of its handing over."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.busy = False
        self.not_before_s = 0.0
        self.seen: int | None = None  # handled_seq when last looked at
        self.seen_s = 0.0


class Dispatcher:
    """Keeps the lines of a consumer and works on them. Belongs to one event loop; close it when done.

    Args:
        handler: see `Consumer`.
        stubs, resolver, name: for acks, see `Acknowledger`.
        pool: bounds and counts of all lines.
        leases: at the shards.
        now_s: monotonic time.
        failed: called once with what the handler raised.
    """

    def __init__(
        self,
        handler: Handler,
        stubs: DataStubs,
        resolver: Resolver,
        name: str,
        *,
        pool: Pool,
        leases: Leases,
        now_s: Callable[[], float],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._handler = handler
        self._pool = pool
        self._leases = leases
        self._now_s = now_s
        self._failed = failed
        self._acks = Acknowledger(stubs, resolver, name, self._settled)
        self._works: dict[str, _Work] = {}
        self._chained: set[str] = set()
        self._redeliver: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def offer(self, order_param: str, batch: Batch) -> None:
        """Take a delivery in."""
        work = self._works.get(order_param)
        if work is None:
            work = self._works[order_param] = _Work(Line(order_param, self._pool))
        offer = work.line.offer(batch)
        (self._chained.add if work.line.chained else self._chained.discard)(order_param)
        if offer is Offer.GAP:
            self._redeliver.add(batch.source.endpoint)
        elif offer in {Offer.FULL, Offer.STALE}:
            self._nack_refused(work, REFUSED_DELAY_S)
        elif offer is Offer.REPEATED:
            self._ack(work)
        elif offer is Offer.KEPT:
            self._go_on(work)

    def holds(self) -> dict[str, int]:
        """Return which order params this consumer holds whose parts are on several shards: name -> hold_no."""
        return {name: self._works[name].line.hold_no for name in self._chained}

    def want_redelivery(self, endpoint: str) -> None:
        """Have the next poll of this shard ask for redelivery."""
        self._redeliver.add(endpoint)

    def redelivery_wanted(self, endpoint: str) -> bool:
        """Say, once, that the next poll of this shard must ask for redelivery."""
        wanted = endpoint in self._redeliver
        self._redeliver.discard(endpoint)
        return wanted

    def tick(self) -> None:
        """Have delivered again what waits too long for what comes before it. To be called every second or so."""
        now_s = self._now_s()
        for work in self._works.values():
            line = work.line
            if work.busy or not line.kept.messages or line.handled_seq != work.seen or now_s < work.not_before_s:
                work.seen, work.seen_s = line.handled_seq, now_s
            elif now_s - work.seen_s >= STUCK_S:
                work.seen_s = now_s
                for source in line.stuck():
                    self._start(self._nack(work, source, STUCK_DELAY_S))

    async def close(self) -> None:
        """Let handlers finish the message they have, and acks go out; what is kept is dropped."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._acks.close()

    def _go_on(self, work: _Work) -> None:
        """Work on a line unless that is done already, or it is not the time."""
        if work.busy or self._closing or not work.line.kept.messages:
            return
        wait_s = work.not_before_s - self._now_s()
        if wait_s > 0:
            asyncio.get_running_loop().call_later(wait_s, self._go_on, work)
            return
        work.busy = True
        self._start(self._work(work))

    async def _work(self, work: _Work) -> None:
        try:
            await self._hand_over(work)
        except Exception as error:  # noqa: BLE001 - the handler's, passed on to whoever runs the consumer
            self._failed(error)
            return
        finally:
            work.busy = False
            self._ack(work)
        self._nack_refused(work, 0.0)

    async def _hand_over(self, work: _Work) -> None:
        """Hand over all that is ready, acknowledging now and then."""
        line, since, acked_s = work.line, 0, self._now_s()
        while not self._closing and (message := line.take(self._lease_number)) is not None:
            try:
                done = self._handler(message)
                if done is not None and inspect.isawaitable(done):
                    await done
            except Retry as retry:
                work.not_before_s = self._now_s() + retry.delay_s
                self._start(self._nack(work, line.put_back(), retry.delay_s))
                return
            line.handled()
            since += 1
            if since >= TURN_MESSAGES or self._now_s() - acked_s >= ACK_S:
                since, acked_s = 0, self._now_s()
                self._ack(work)
                await asyncio.sleep(0)

    def _ack(self, work: _Work) -> None:
        for source, up_to_seq in work.line.acks_due().items():
            self._acks.put(work.line.order_param, source, up_to_seq)

    def _settled(self, ack: Ack, error: PlbError | None) -> None:
        work = self._works[ack.order_param]
        if isinstance(error, NotTheHolderError):
            self._lost(work)
        elif error is None and ack.sure:
            work.line.confirmed(ack.source, ack.up_to_seq)
            self._go_on(work)
        else:
            work.line.unsure(ack.source)

    def _lost(self, work: _Work) -> None:
        self._redeliver.update(work.line.lost())
        self._chained.discard(work.line.order_param)

    def _nack_refused(self, work: _Work, delay_s: float) -> None:
        for source in work.line.refused():
            self._start(self._nack(work, source, delay_s))

    async def _nack(self, work: _Work, source: Source, delay_s: float) -> None:
        """Have a source delivered again after the delay; what comes of it before the nack is answered is refused."""
        line = work.line
        again = True
        while again:
            error = await self._acks.nack(line.order_param, source, line.nack_seq, round(delay_s * 1000))
            again = line.returned(source)
            if error is not None:
                if not isinstance(error, NotTheHolderError):
                    self._redeliver.add(source.endpoint)
                return
            if again:
                line.give_back(source)
                delay_s = max(AGAIN_DELAY_S, work.not_before_s - self._now_s())
        self._go_on(work)

    def _lease_number(self, endpoint: str) -> int:
        return self._leases.number(endpoint, self._now_s())

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
