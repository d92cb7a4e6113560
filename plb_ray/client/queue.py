"""A queue as one handle: where it is, who sends to it, who consumes it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from plb_ray.errors import BadInputError, OutcomeUnknownError
from plb_ray.queues.consumer import Consumer
from plb_ray.queues.embedded.blocks import MAX_NAME_BYTES
from plb_ray.queues.producer import Producer
from plb_ray.queues.routes import QueueResolver
from plb_ray.rpc.channel import CALL_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType
    from typing import Self

    from plb_ray.queues.deliveries import Bounds
    from plb_ray.queues.dispatch import Handler
    from plb_ray.queues.routes import Located

SEND_TIMEOUT_S = 60.0


class Queue:
    """A queue behind a `QueueControl`. Belongs to one event loop; `async with` closes it.

    Nothing is connected until it is needed, and everything connects again by itself: a queue that is away is waited for.

    Args:
        endpoint: `host:port` of the queue; `plb serve` prints it.
        timeout_s: how long one question to it may take.

    Raises:
        BadInputError: the endpoint is not `host:port`.
    """

    def __init__(self, endpoint: str, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        _require_endpoint(endpoint)
        self._resolver = QueueResolver(endpoint, timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def producer(
        self, name: str, *, run: str | None = None, timeout_s: float = SEND_TIMEOUT_S, create: bool = True
    ) -> AsyncIterator[Producer]:
        """Yield a producer; leaving the block sends what is still queued, leaving it by an error drops that.

        Args:
            name: of the producer; consumers see it in `Delivered.producer`, followed by the run.
            run: tells runs of one producer apart; see `Producer`. None makes a new one, which is what most want.
            timeout_s: how long `send`, and the end of the block, wait for the queue.
            create: place order params that the queue does not know.

        Raises:
            BadInputError: the name is none.
            OutcomeUnknownError: at the end of the block messages are not confirmed in time; they may or may not be stored.
        """
        _require_name("a producer", name)
        producer = Producer(self._resolver, name, run=run, timeout_s=timeout_s, create=create)
        try:
            yield producer
            async with asyncio.timeout(timeout_s):
                await producer.flush()
        except TimeoutError as error:
            raise OutcomeUnknownError(f"messages of producer {name!r} are not confirmed after {timeout_s:g} s") from error
        finally:
            await producer.close()

    def consumer(
        self,
        name: str,
        handler: Handler,
        *,
        linger_s: float = 0.005,
        max_messages: int = 500,
        bounds: Bounds | None = None,
    ) -> Consumer:
        """Return a consumer of all order params; its `run` consumes until its `stop`.

        Args:
            name: tells consumers that share the queue apart; keep it over restarts.
            handler: called with each message; see `Consumer`.
            linger_s: pause after each delivery, so that messages come in batches.
            max_messages: of one poll.
            bounds: how much is kept that the handler has not got yet.

        Raises:
            BadInputError: the name is none.
        """
        _require_name("a consumer", name)
        resolver = self._resolver
        return Consumer(
            resolver.endpoints, resolver, handler, name, linger_s=linger_s, max_messages=max_messages, bounds=bounds
        )

    async def shards(self) -> Mapping[str, str]:
        """Return shard id -> endpoint; also the quickest way to learn whether the queue is there.

        Raises:
            ShardUnavailableError: it does not answer.
            PermanentError: what answers there is no queue.
        """
        return await self._resolver.endpoints()

    async def locate(self, order_param: str, *, create: bool = False) -> Located:
        """Return where an order param lives; `create` places an unknown one.

        Raises:
            UnknownOrderParamError: it is unknown, and is not to be created.
            ShardUnavailableError: the queue does not answer.
        """
        return await self._resolver.resolve(order_param, create=create)

    async def close(self) -> None:
        """Close the connection to the queue. Producers and consumers have their own; close them first."""
        await self._resolver.close()


def _require_endpoint(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":") if isinstance(endpoint, str) else ("", "", "")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadInputError(f"a queue is at HOST:PORT, such as 127.0.0.1:7070, not at {endpoint!r}")


def _require_name(whose: str, name: str) -> None:
    """Refuse what every shard refuses."""
    if not isinstance(name, str) or not 0 < len(name.encode()) <= MAX_NAME_BYTES:
        raise BadInputError(f"{whose} has a name of 1 to {MAX_NAME_BYTES} bytes, not {str(name)[:40]!r}")
