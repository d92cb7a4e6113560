"""The same client without asyncio: it runs on an event loop in a thread of its own, and every call waits for its answer.

For programs that have no event loop. One that has one uses `Queue`: gRPC does badly with two loops in one process.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import wait
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from plb_ray.client.queue import SEND_TIMEOUT_S, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from plb_ray.queues.consumer import Consumer
    from plb_ray.queues.deliveries import Delivered
    from plb_ray.queues.outbox import Receipt
    from plb_ray.queues.producer import Producer

T = TypeVar("T")


class _Thread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plb-client", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.start(work).result()

    def close(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BlockingQueue:
    """See `Queue`. `with` closes it, its producers first. Safe to be used by several threads.

    Args:
        endpoint: `host:port` of the queue.

    Raises:
        BadInputError: the endpoint is not `host:port`.
    """

    def __init__(self, endpoint: str) -> None:
        self._thread = _Thread()
        self._held = AsyncExitStack()
        self._consumers: set[Consumer] = set()
        self._running: set[Future[None]] = set()
        try:
            self._queue: Queue = self._thread.run(self._opened(endpoint))
        except BaseException:
            self._thread.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close(kind, error, trace)

    def producer(
        self, name: str, *, run: str | None = None, timeout_s: float = SEND_TIMEOUT_S, create: bool = True
    ) -> BlockingProducer:
        """Return a producer that is open until the queue is closed, which sends what is still queued."""
        opening = self._held.enter_async_context(self._queue.producer(name, run=run, timeout_s=timeout_s, create=create))
        return BlockingProducer(self._thread, self._thread.run(opening))

    def consume(self, name: str, handler: Callable[[Delivered], None]) -> None:
        """Consume all order params until `stop` is called, by the handler or elsewhere; raises what the handler raises.

        The handler is called in threads of a pool: one order param's messages one after the other, different order params'
        side by side. It may raise `Retry`. Ctrl-C ends it as `stop` does, and is raised on.
        """
        running = self._thread.start(self._consume(name, handler))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            running.result()
        except KeyboardInterrupt:
            self.stop()
            running.result()
            raise

    def stop(self) -> None:
        """Make every `consume` return, after the acknowledgements of what was handled. Returns at once."""
        self._thread.start(self._stop())

    def shards(self) -> Mapping[str, str]:
        """See `Queue.shards`."""
        return self._thread.run(self._queue.shards())

    def close(self) -> None:
        """Stop consuming, send what producers still have, and close. To be called once, and not by a handler.

        Raises:
            OutcomeUnknownError: messages are not confirmed in time; they may or may not be stored.
        """
        self._close(None, None, None)

    def _close(self, *error: Any) -> None:
        """Close after an error (its type, itself, its trace), which drops what producers still have, or without one."""
        try:
            self._thread.run(self._stop())
            wait(tuple(self._running))
            self._thread.run(self._held.__aexit__(*error))
        finally:
            self._thread.close()

    async def _opened(self, endpoint: str) -> Queue:
        return await self._held.enter_async_context(Queue(endpoint))

    async def _consume(self, name: str, handler: Callable[[Delivered], None]) -> None:
        async def handle(message: Delivered) -> None:
            await asyncio.to_thread(handler, message)

        if inspect.iscoroutinefunction(handler):
            raise TypeError("BlockingQueue.consume takes a plain function; a coroutine function needs Queue.consumer")
        consumer = self._queue.consumer(name, handle)
        self._consumers.add(consumer)
        try:
            await consumer.run()
        finally:
            self._consumers.discard(consumer)

    async def _stop(self) -> None:
        for consumer in tuple(self._consumers):
            await consumer.stop()


class BlockingProducer:
    """See `Producer`; made by `BlockingQueue.producer`."""

    def __init__(self, thread: _Thread, producer: Producer) -> None:
        self._thread = thread
        self._producer = producer

    @property
    def name(self) -> str:
        """As consumers see it: name and run."""
        return self._producer.name

    def send(self, order_param: str, payloads: Sequence[bytes]) -> Receipt:
        """Append messages, wait until they are stored, and return where. Raises what `Producer.send` does."""
        return self._thread.run(self._producer.send(order_param, payloads))

    def enqueue(self, order_param: str, payloads: Sequence[bytes]) -> Future[Receipt]:
        """Queue messages in the order of the calls, and return at once; the future has their receipt, or the error."""
        return self._thread.start(self._enqueued(order_param, payloads))

    def flush(self) -> None:
        """Return when everything queued so far is stored or refused."""
        self._thread.run(self._producer.flush())

    async def _enqueued(self, order_param: str, payloads: Sequence[bytes]) -> Receipt:
        return await self._producer.enqueue(order_param, payloads)
