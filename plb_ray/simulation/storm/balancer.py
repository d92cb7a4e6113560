"""A balancer's process: the product's coordinator on its journal and mapping, with a supervisor that starts it again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plb_ray.errors import PlbError
from plb_ray.queues.coordinator import Coordinator
from plb_ray.simulation.storm.network import Node
from plb_ray.simulation.storm.ports import DiskJournal, DiskMapping, RemoteShard
from plb_ray.simulation.storm.stores import MemoryJournal, MemoryMapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plb_ray.queues.coordinator import CoordinatorSettings
    from plb_ray.simulation.storm.dice import Dice
    from plb_ray.simulation.storm.loop import VirtualLoop
    from plb_ray.simulation.storm.network import Network
    from plb_ray.simulation.storm.ports import Boundary
    from plb_ray.simulation.storm.server import ShardServer


class NodeClock:
    """A process's wall clock; see `plb_ray.clock.Clock`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def now_s(self) -> float:
        """See `Clock`."""
        return self._node.wall_s()

    async def sleep_until(self, at_s: float) -> None:
        """See `Clock`."""
        while (left_s := at_s - self.now_s()) > 0:
            await self._node.wait(left_s)


class Balancer:
    """One balancer through all its lives. `journal` and `mapping` outlive each of them.

    Attributes:
        coordinator: of the present life, once it has started; else None.
        ended: done when the present life has ended.
    """

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        dice: Dice,
        network: Network,
        servers: Mapping[str, ShardServer],
        settings: CoordinatorSettings,
        boundary: Boundary,
    ) -> None:
        self.name = name
        self.journal = MemoryJournal()
        self.mapping = MemoryMapping()
        self.coordinator: Coordinator | None = None
        self.node = Node(name, loop)
        self.ended: asyncio.Future[None] = loop.create_future()
        self.lives = 0
        self.journal_full = False
        self.retired = False
        self._loop = loop
        self._dice = dice
        self._network = network
        self._servers = servers
        self._settings = settings
        self._boundary = boundary
        self._running: Coordinator | None = None
        self._starting: asyncio.Task[None] | None = None
        self._disk: DiskJournal | None = None

    def start(self) -> None:
        """Begin a life, unless one runs."""
        if self._running is not None or self.retired:
            return
        node = self.node = Node(self.name, self._loop)
        self.ended = self._loop.create_future()
        self.lives += 1
        ports = [RemoteShard(node, server, self._network, self._boundary) for server in self._servers.values()]
        self._disk = DiskJournal(self.journal, node, self._dice, self._boundary)
        self._disk.is_full = self.journal_full
        mapping = DiskMapping(self.mapping, node, self._dice, self._boundary)
        coordinator = Coordinator(ports, self._disk, mapping, NodeClock(node), self._settings, sleep=node.wait)
        self._running = coordinator
        self._starting = self._loop.create_task(self._start(coordinator))

    def crash(self, back_in_s: float | None) -> None:
        """End the present life at once; begin the next one after a while, or never (None)."""
        coordinator, self._running, self.coordinator = self._running, None, None
        self.retired = self.retired or back_in_s is None
        if coordinator is None:
            return
        self.node.die()
        if self._starting is not None:
            self._starting.cancel()
        self._loop.create_task(coordinator.close())
        self.ended.set_result(None)
        if back_in_s is not None:
            self._loop.call_later(back_in_s, self.start)

    def fill_journal(self, *, full: bool) -> None:
        """Let the journal's disk be full, or have room again."""
        self.journal_full = full
        if self._disk is not None:
            self._disk.is_full = full

    async def up(self) -> Coordinator:
        """Return the coordinator when there is one."""
        while self.coordinator is None:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.02)
        return self.coordinator

    async def _start(self, coordinator: Coordinator) -> None:
        try:
            await coordinator.start()
        except (PlbError, TimeoutError):
            if self._running is coordinator:  # a process that cannot start ends, and is started again
                self.crash(0.2)
            return
        if self._running is coordinator:
            self.coordinator = coordinator
