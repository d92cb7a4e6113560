"""How clients find shards: the resolver, the locations it gives, connections to data planes, and backoff."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from plb_ray.domain.mapping import Placement
from plb_ray.errors import StaleEpochError
from plb_ray.rpc import convert
from plb_ray.rpc.channel import CALL_TIMEOUT_S, open_channel
from plb_ray.rpc.errors import Peer, answer
from plb_ray.rpc.v1 import queue_pb2 as pb
from plb_ray.rpc.v1.queue_pb2_grpc import QueueControlStub, ShardDataStub

if TYPE_CHECKING:
    from plb_ray.errors import MovedError, PlbError

BACKOFF_FIRST_S = 0.002
BACKOFF_MOST_S = 0.1
PAUSED_FIRST_S = 0.001
PAUSED_QUICK = 10  # attempts so close together: the pause of a migration
PAUSED_QUICK_MS = 5  # not if the shard says that it takes longer than that
LANE_ITEMS = 200

ShardEndpoints = Callable[[], Awaitable[Mapping[str, str]]]
"""Asked again and again for all shards to consume from: shard id -> endpoint."""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Located:
    """A placement and where its shards listen."""

    placement: Placement
    endpoints: tuple[str, ...]

    @property
    def shard_id(self) -> str:
        """The shard that takes appends."""
        return self.placement.owner

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return self.endpoints[-1]

    @property
    def epoch(self) -> int:
        """The epoch its calls must carry."""
        return self.placement.epoch


class Resolver(Protocol):
    """Knows where order params live."""

    async def resolve(self, order_param: str, *, create: bool = False) -> Located:
        """Return the newest location; `create` places an unknown order param.

        Raises:
            UnknownOrderParamError: it is unknown and is not to be created.
            RetryableError: it cannot be told now.
        """
        ...


class QueueResolver:
    """A `Resolver`, and the list of shards, over the queue's `QueueControl`.

    Args:
        endpoint: `host:port` of the queue.
        timeout_s: of a call.
    """

    def __init__(self, endpoint: str, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._peer = Peer("queue", endpoint)
        self._timeout_s = timeout_s
        self._channel = open_channel(endpoint)
        self._stub: Any = QueueControlStub(self._channel)

    async def resolve(self, order_param: str, *, create: bool = False) -> Located:
        """See `Resolver`."""
        request = pb.ResolveOrderParamRequest(order_param=order_param, create=create)
        call = self._stub.ResolveOrderParam(request, timeout=self._timeout_s)
        found = await answer(call, self._peer, mutating=create)
        return Located(convert.placement_from_pb(found), tuple(found.endpoints))

    async def endpoints(self) -> Mapping[str, str]:
        """Return shard id -> endpoint of all shards; a `ShardEndpoints`."""
        call = self._stub.ListShards(pb.ListShardsRequest(), timeout=self._timeout_s)
        found = await answer(call, self._peer, mutating=False)
        return {shard.shard_id: shard.endpoint for shard in found.shards}

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


def redirected(error: MovedError) -> Located:
    """Return where a tombstone says that the order param has gone."""
    return Located(Placement(error.order_param, (error.shard_id,), error.epoch), (error.endpoint,))


def served_again(located: Located | None, error: PlbError) -> Located | None:
    """Return the same shard, if it says that it serves by now under a higher epoch: the mapping may not know. Else None."""
    if located is None or not isinstance(error, StaleEpochError) or error.current <= located.epoch:
        return None
    return replace(located, placement=replace(located.placement, epoch=error.current))


def backoff_s(attempt: int) -> float:
    """Return how long to wait before attempt 1, 2, ...: 2 ms doubling up to 100 ms, without jitter."""
    return min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(attempt - 1, 10))


def paused_backoff_s(attempt: int, retry_after_ms: int) -> float:
    """Return how long to wait before attempt 1, 2, ... at a paused order param.

    As long as the shard says, then doubling up to 100 ms; but where it says a few milliseconds, every one at first, so that
    a short pause costs hardly more than itself.
    """
    if attempt <= PAUSED_QUICK and retry_after_ms <= PAUSED_QUICK_MS:
        return PAUSED_FIRST_S
    return min(BACKOFF_MOST_S, max(PAUSED_FIRST_S, retry_after_ms / 1000) * 2.0 ** min(attempt // PAUSED_QUICK, 10))


class DataStubs:
    """One `ShardData` stub per endpoint, made when first asked for."""

    def __init__(self) -> None:
        self._channels: dict[str, Any] = {}
        self._stubs: dict[str, Any] = {}

    def stub(self, endpoint: str) -> Any:
        """Return the stub of an endpoint."""
        if endpoint not in self._stubs:
            self._channels[endpoint] = open_channel(endpoint)
            self._stubs[endpoint] = ShardDataStub(self._channels[endpoint])
        return self._stubs[endpoint]

    async def close(self) -> None:
        """Close all connections."""
        for channel in self._channels.values():
            await channel.close()


class Lane(Generic[T]):
    """What waits to be sent to one endpoint, and the tasks that send it: a call takes all that is ready.

    Args:
        send: carries items out. Should it raise, that is logged, its items are dropped, and the lane goes on.
        calls: at a time. With more than one, what gets ready while a call waits for its commit need not wait too.
    """

    def __init__(self, send: Callable[[list[T]], Awaitable[None]], calls: int = 1) -> None:
        self._send = send
        self._ready: deque[T] = deque()
        self._wake = asyncio.Event()
        self._tasks = [asyncio.create_task(self._run()) for _ in range(calls)]

    def put(self, item: T) -> None:
        """Queue an item."""
        self._ready.append(item)
        self._wake.set()

    async def close(self) -> None:
        """Stop sending; what is queued is dropped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready:
                items = [self._ready.popleft() for _ in range(min(len(self._ready), LANE_ITEMS))]
                try:
                    await self._send(items)
                except Exception:  # a mistake of ours with some items must not stop all others
                    log.exception("%d items are dropped: sending them failed unexpectedly", len(items))
