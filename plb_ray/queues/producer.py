"""The producer: numbers its messages per order param, keeps their order, and repeats until the shard has them once.

Per order param there is one append in flight at a time; what is sent meanwhile goes into the next one together. An append
is repeated with the same numbers and the same messages until its outcome is known, so that the shard can drop what it
has already: numbers get free only if the shard itself refuses them for good, and no earlier attempt of them had an unknown
outcome. Redirects are followed at once, and a pause, which is mostly a matter of milliseconds, is tried again every
millisecond at first. Order params do not wait for each other: all that are ready for
one shard share a call.

    IDLE --send--> RESOLVING --located--> READY (in a lane) --answered--> IDLE, or READY with what was sent meanwhile
                       ^                     | refused: paused, moved, stale, no answer
                       +------ WAITING <-----+
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from typing import TYPE_CHECKING

from google.rpc import status_pb2

from plb_ray.clock import wall_time_s
from plb_ray.errors import (
    BadInputError,
    MovedError,
    OutcomeUnknownError,
    PausedError,
    PermanentError,
    PlbError,
    RetryableError,
    StaleEpochError,
    UnknownOrderParamError,
)
from plb_ray.queues.outbox import Outbox, Receipt, Send
from plb_ray.queues.routes import DataStubs, Lane, Resolver, backoff_s, paused_backoff_s, redirected, served_again
from plb_ray.rpc.channel import BATCH_BYTES, CALL_TIMEOUT_S, MAX_PAYLOAD_BYTES
from plb_ray.rpc.errors import Peer, answer, error_of
from plb_ray.rpc.v1 import queue_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

ASK_AGAIN_AFTER = 5  # refused attempts before the resolver is asked again
LANE_CALLS = 2  # appends at one shard at a time; of one order param there is never more than one
_RUNS = itertools.count(1)
log = logging.getLogger(__name__)


class Producer:
    """Sends messages. Belongs to one event loop; close it when done.

    Args:
        resolver: where order params live.
        name: of this producer. Shards know it as `name/run`.
        run: tells runs of the same producer apart, since each numbers from 1: were it the same again, the second run's
            messages would be taken for repetitions of the first one's. None makes one from process id and clock.
        timeout_s: how long `send` waits; the messages stay queued, and are repeated, until `close`.
        create: place order params that are unknown.
    """

    def __init__(
        self,
        resolver: Resolver,
        name: str,
        *,
        run: str | None = None,
        timeout_s: float = 60.0,
        create: bool = True,
    ) -> None:
        self.name = f"{name}/{_new_run() if run is None else run}"
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._create = create
        self._stubs = DataStubs()
        self._outboxes: dict[str, Outbox] = {}
        self._lanes: dict[str, Lane[Outbox]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, order_param: str, payloads: Sequence[bytes]) -> Receipt:
        """Append messages and return where they are stored.

        Raises:
            BadInputError: no payload, one that is not bytes or is too large, or no order param.
            OutcomeUnknownError: no answer in time; the messages stay queued and may still be stored.
            UnknownOrderParamError: it is unknown, and `create` is off.
        """
        future = self.enqueue(order_param, payloads)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(future)
        except TimeoutError:
            future.add_done_callback(_forget)
            why = self._outboxes[order_param].last_error or "no answer"
            text = f"messages of {order_param!r} are not confirmed after {self._timeout_s:g} s ({why}); they stay queued"
            raise OutcomeUnknownError(text) from None

    def enqueue(self, order_param: str, payloads: Sequence[bytes]) -> asyncio.Future[Receipt]:
        """Queue messages in the order of the calls; the future has their receipt. Raises BadInputError."""
        payload_bytes = _checked_size(order_param, payloads)
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        outbox = self._outboxes.setdefault(order_param, Outbox(order_param))
        outbox.waiting.append(Send(tuple(payloads), payload_bytes, future))
        if not outbox.busy:
            self._go_on(outbox)
        return future

    async def flush(self) -> None:
        """Return when everything queued so far is stored or refused."""
        pending = [send.future for outbox in self._outboxes.values() for send in (*outbox.batch, *outbox.waiting)]
        if pending:
            await asyncio.wait(pending)

    async def close(self) -> None:
        """Stop at once; whoever still waits for a receipt gets OutcomeUnknownError. To send the rest first, `flush`."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes.values():
            await lane.close()
        for outbox in self._outboxes.values():
            for send in (*outbox.batch, *outbox.waiting):
                _fail(send.future, OutcomeUnknownError(f"the producer was closed before {outbox.order_param!r} answered"))
        await self._stubs.close()

    def _go_on(self, outbox: Outbox) -> None:
        """Take the outbox to its next state: into a lane, to the resolver, or to rest."""
        outbox.busy = bool(outbox.batch or outbox.waiting)
        if self._closed or not outbox.busy:
            return
        if outbox.located is None:
            self._start(self._resolve(outbox))
        else:
            self._lane(outbox.located.endpoint).put(outbox)

    def _start(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]  # always a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _lane(self, endpoint: str) -> Lane[Outbox]:
        if endpoint not in self._lanes:
            self._lanes[endpoint] = Lane(lambda outboxes: self._append(endpoint, outboxes), LANE_CALLS)
        return self._lanes[endpoint]

    async def _resolve(self, outbox: Outbox) -> None:
        try:
            outbox.located = await self._resolver.resolve(outbox.order_param, create=self._create)
        except (RetryableError, OutcomeUnknownError) as error:
            self._retry(outbox, error)
        except PlbError as error:
            self._refuse(outbox, error)
        else:
            self._go_on(outbox)

    async def _append(self, endpoint: str, outboxes: list[Outbox]) -> None:
        """Carry out one call for all these order params."""
        taken, size = [], 0
        for outbox in outboxes:
            if size > BATCH_BYTES:
                self._go_on(outbox)  # the next call's
                continue
            size += sum(send.payload_bytes for send in outbox.next_batch())
            taken.append(outbox)
        try:
            request = pb.AppendManyRequest(appends=map(self._request, taken))
            call = self._stubs.stub(endpoint).AppendMany(request, timeout=CALL_TIMEOUT_S)
            answered = await answer(call, Peer(_shard_of(taken[0]), endpoint), mutating=True)
        except Exception as error:  # noqa: BLE001 - no shard has spoken about these batches, whatever broke
            for outbox in taken:
                outbox.uncertain = True
                self._refused(outbox, error if isinstance(error, PlbError) else _mistake(error))
            return
        for outbox, outcome in zip(taken, answered.outcomes, strict=True):
            refusal = error_of(status_pb2.Status.FromString(outcome.error)) if outcome.error else None
            if refusal is None:
                self._stored(outbox, outcome.ok.last_seq)
            else:
                self._refused(outbox, refusal)

    def _request(self, outbox: Outbox) -> pb.AppendRequest:
        assert outbox.located is not None
        return pb.AppendRequest(
            order_param=outbox.order_param,
            epoch=outbox.located.epoch,
            producer=self.name,
            first_producer_seq=outbox.stored + 1,
            payloads=outbox.payloads(),
        )

    def _stored(self, outbox: Outbox, last_seq: int) -> None:
        """The batch is stored in one piece that ends at `last_seq`."""
        assert outbox.located is not None
        located, batch, outbox.batch, outbox.attempts = outbox.located, outbox.batch, [], 0
        outbox.uncertain, outbox.last_error = False, ""
        outbox.stored += sum(len(send.payloads) for send in batch)
        seq = last_seq - sum(len(send.payloads) for send in batch)
        for send in batch:
            seq += len(send.payloads)
            if not send.future.done():
                send.future.set_result(Receipt(seq, located.shard_id, located.epoch))
        self._go_on(outbox)

    def _refused(self, outbox: Outbox, error: PlbError) -> None:
        """Do what the error says: go there, ask again, wait, or give up."""
        match error:
            case MovedError():
                self._redirect(outbox, error)
            case StaleEpochError() | UnknownOrderParamError():
                outbox.located = served_again(outbox.located, error)
                self._retry(outbox, error)
            case RetryableError() | OutcomeUnknownError():
                if not isinstance(error, PausedError) and outbox.attempts % ASK_AGAIN_AFTER == ASK_AGAIN_AFTER - 1:
                    outbox.located = None
                self._retry(outbox, error)
            case PermanentError():
                self._refuse(outbox, error)
            case _:
                outbox.uncertain = True
                self._retry(outbox, error)

    def _retry(self, outbox: Outbox, error: PlbError) -> None:
        outbox.attempts += 1
        outbox.last_error = str(error)
        delay_s = backoff_s(outbox.attempts)
        if isinstance(error, PausedError):
            delay_s = paused_backoff_s(outbox.attempts, error.retry_after_ms)
        asyncio.get_running_loop().call_later(delay_s, self._go_on, outbox)

    def _redirect(self, outbox: Outbox, error: MovedError) -> None:
        """Go there at once if it is news; epochs rise, so this ends."""
        if outbox.located is not None and error.epoch <= outbox.located.epoch:
            outbox.located = None
            self._retry(outbox, error)
            return
        outbox.located, outbox.attempts = redirected(error), 0
        self._go_on(outbox)

    def _refuse(self, outbox: Outbox, error: PlbError) -> None:
        """The batch can never be stored: its numbers are free again. Without a batch, what waits cannot be either.

        An uncertain batch is repeated instead: under its numbers, were they given to others, those would be taken for it.
        """
        if outbox.uncertain:
            outbox.located = None
            self._retry(outbox, error)
            return
        sends = outbox.batch or list(outbox.waiting)
        if not outbox.batch:
            outbox.waiting.clear()
        outbox.batch, outbox.attempts = [], 0
        for send in sends:
            _fail(send.future, error)
        self._go_on(outbox)


def _checked_size(order_param: str, payloads: Sequence[bytes]) -> int:
    """Return the bytes of all payloads. Raises BadInputError for what no shard could store."""
    if not isinstance(order_param, str) or not order_param:
        raise BadInputError(f"an order param is a string that is not empty, not {order_param!r}")
    if isinstance(payloads, bytes | str) or not all(isinstance(payload, bytes) for payload in payloads):
        raise BadInputError(f"one send to {order_param!r} takes a sequence of bytes objects")
    sizes = [len(payload) for payload in payloads]
    if not sizes or max(sizes) > MAX_PAYLOAD_BYTES or sum(sizes) > BATCH_BYTES:
        raise BadInputError(
            f"one send to {order_param!r} takes 1 message or more, of {MAX_PAYLOAD_BYTES} bytes each and "
            f"{BATCH_BYTES} together at most"
        )
    return sum(sizes)


def _new_run() -> str:
    return f"{os.getpid():x}-{int(wall_time_s() * 1e6):x}-{next(_RUNS)}"


def _mistake(error: Exception) -> OutcomeUnknownError:
    log.error("an append failed unexpectedly; it is repeated", exc_info=error)
    return OutcomeUnknownError(f"the call failed unexpectedly: {error!r}")


def _shard_of(outbox: Outbox) -> str:
    return outbox.located.shard_id if outbox.located else "?"


def _fail(future: asyncio.Future[Receipt], error: PlbError) -> None:
    if not future.done():
        future.set_exception(error)
        future.add_done_callback(_forget)


def _forget(future: asyncio.Future[Receipt]) -> None:
    """Look at an outcome that nobody may be waiting for, so that asyncio does not complain."""
    if not future.cancelled():
        future.exception()
