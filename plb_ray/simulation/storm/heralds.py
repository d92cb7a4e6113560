"""A shard process's herald: the product's own, on what it needs of a shard, with peers over the simulated network."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plb_ray.queues.embedded.herald import Herald
from plb_ray.simulation.storm.ports import RemoteShard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plb_ray.queues.embedded.operations import Operation
    from plb_ray.queues.embedded.view import View
    from plb_ray.simulation.storm.memory_shard import MemoryShard
    from plb_ray.simulation.storm.network import Network, Node
    from plb_ray.simulation.storm.server import ShardServer


class Heralded:
    """Stands for `embedded.shard.Shard` before its herald."""

    def __init__(self, shard: MemoryShard, endpoint: str) -> None:
        self.view: View = shard.view
        self.endpoint = endpoint
        self.duties = asyncio.Event()
        self._shard = shard
        shard.on_news = self.duties.set
        self.duties.set()

    def now_s(self) -> float:
        """Return the shard's monotonic time."""
        return self._shard.now_s()

    async def run(self, order_param: str, operation: Operation, segment: int = 0) -> Any:
        """Run an operation and return its answer."""
        return await self._shard.done(order_param, operation, segment)

    async def export(self, order_param: str, first_seq: int, last_seq: int, chunk_messages: int) -> AsyncIterator[list[int]]:
        """Yield the sequences of what is stored, a chunk at a time."""
        found = [seq for seq in self._shard.stored_seqs(order_param) if first_seq <= seq <= last_seq]
        for start in range(0, len(found), chunk_messages):
            yield found[start : start + chunk_messages]

    async def advance(self, order_param: str, epoch: int) -> None:
        """Note that all segments up to an epoch are consumed."""
        done = asyncio.get_running_loop().create_future()
        self._shard.advance(order_param, epoch, (0, ""), lambda _, error: done.done() or done.set_result(error))
        error = await done
        if error is not None:
            raise error


class SimulatedHerald(Herald):
    """The herald of one process of a shard.

    Args:
        heralded: its shard.
        peer: makes the client of a peer at an endpoint.
    """

    def __init__(self, heralded: Heralded, peer: Callable[[str], RemoteShard]) -> None:
        super().__init__(heralded)  # type: ignore[arg-type]  # it has what the herald uses
        self._made = peer

    def _peer(self, endpoint: str) -> Any:
        return self._made(endpoint)


def start_herald(
    shard: MemoryShard, node: Node, network: Network, server_at: Callable[[str], ShardServer], endpoint: str
) -> asyncio.Task[None]:
    """Start a shard process's herald; cancel the task when the process ends."""

    def peer(at: str) -> RemoteShard:
        return RemoteShard(node, server_at(at), network, lambda *_: None)

    return asyncio.get_running_loop().create_task(SimulatedHerald(Heralded(shard, endpoint), peer).run())
