"""The consumer: polls every shard, hands each order param's messages to the handler in order and once, acknowledges them.

Three parts work together: a `Poller` per shard (polling.py), a `Line` per order param that puts deliveries of several shards
back into sequence (reassembly.py, where the rules of order are), and a `Dispatcher` (dispatch.py) that calls the handler
and acknowledges. What is handled is acknowledged after it: whoever is killed in between handles it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from plb_ray.clock import monotonic_s
from plb_ray.errors import OutcomeUnknownError, RetryableError
from plb_ray.queues.deliveries import Bounds, Pool
from plb_ray.queues.dispatch import Dispatcher
from plb_ray.queues.leases import Leases
from plb_ray.queues.polling import Poller
from plb_ray.queues.routes import DataStubs
from plb_ray.rpc.errors import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.queues.dispatch import Handler
    from plb_ray.queues.routes import Resolver, ShardEndpoints

REFRESH_S = 1.0  # how often the list of shards is asked for
log = logging.getLogger(__name__)


class Consumer:
    """Consumes all order params of all shards. Belongs to one event loop.

    Consumers with different names may share the shards: an order param is worked on by one of them at a time, who holds it
    by a lease of the shard (`--consumer-lease-s` of the embedded one).

    Args:
        endpoints: which shards there are; asked every second.
        resolver: where an order param lives, for acks whose shard has gone.
        handler: called once per message, in order per order param; order params run side by side if it is async. If it
            raises `Retry`, the message comes again and its followers wait for it; anything else it raises ends `run`.
        name: tells consumers apart; the same after a restart.
        linger_s: pause after each delivery, so that messages come in batches; bounds the polls per second.
        max_messages: of one poll.
        bounds: how much is kept that the handler has not got yet.
        now_s: monotonic time, for leases.
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
        bounds: Bounds | None = None,
        now_s: Callable[[], float] = monotonic_s,
    ) -> None:
        self.name = name
        self.pool = Pool(bounds or Bounds())
        self._endpoints = endpoints
        self._linger_s = linger_s
        self._max_messages = max_messages
        self._now_s = now_s
        self._stubs = DataStubs()
        self._leases = Leases()
        self._pollers: dict[str, tuple[Poller, asyncio.Task[None]]] = {}
        self._dispatcher = Dispatcher(
            handler,
            self._stubs,
            resolver,
            name,
            pool=self.pool,
            leases=self._leases,
            now_s=now_s,
            failed=self._failed,
        )
        self._cut_off = False
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Consume until `stop`; raises what the handler raised. To be called once.

        At the end handlers finish the message they have, acks go out, and the rest is given back to the shards.
        """
        try:
            while not self._stopping.is_set():
                await self._refresh()
                self._dispatcher.tick()
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
            if not self._cut_off:
                log.warning("cannot ask for the list of shards; the known ones are kept until it answers again: %s", error)
            self._cut_off = True
            return
        self._cut_off = False
        wanted = {endpoint: shard_id for shard_id, endpoint in shards.items()}
        for endpoint in self._pollers.keys() - wanted.keys():
            self._pollers.pop(endpoint)[1].cancel()
        for endpoint in wanted.keys() - self._pollers.keys():
            poller = self._poller(Peer(wanted[endpoint], endpoint))
            task = asyncio.create_task(poller.run())
            task.add_done_callback(self._poller_done)
            self._pollers[endpoint] = poller, task

    def _poller(self, peer: Peer) -> Poller:
        return Poller(
            peer,
            self._stubs.stub(peer.endpoint),
            self._dispatcher,
            pool=self.pool,
            leases=self._leases,
            name=self.name,
            now_s=self._now_s,
            max_messages=self._max_messages,
            linger_s=self._linger_s,
        )

    def _poller_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stopping.set()

    async def _close(self) -> None:
        """Stop polling, let handlers and acks finish, give back the rest, close all connections."""
        pollers = list(self._pollers.values())
        for _, task in pollers:
            task.cancel()
        await asyncio.gather(*(task for _, task in pollers), return_exceptions=True)
        await self._dispatcher.close()
        await asyncio.gather(*(poller.release() for poller, _ in pollers))
        await self._stubs.close()
