"""What one coordinator process sees: shards over the network, its journal and its mapping behind disks that take time.

Each call passes a boundary before it is sent and one after its answer is there; that is where most faults begin. A process
that has died sends nothing more, and its awaits never end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plb_ray.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from plb_ray.domain.load import Shard, ShardLoad
    from plb_ray.domain.mapping import Mapping, Placement
    from plb_ray.domain.migration import MigrationRecord
    from plb_ray.migration.ports import CopyProgress, OrderParamState, SealRecord
    from plb_ray.simulation.storm.dice import Dice
    from plb_ray.simulation.storm.network import Network, Node
    from plb_ray.simulation.storm.server import ShardServer
    from plb_ray.simulation.storm.stores import MemoryJournal, MemoryMapping

    Boundary = Callable[[Node, ShardServer | None, str], None]
    """Called with the coordinator's process, the shard that is called, and a name such as "seal/before"."""

SYNC_S = (0.0003, 0.002)  # a synced write
READ_S = 0.0002


class RemoteShard:
    """Implements `ShardPort` over the network."""

    def __init__(self, node: Node, server: ShardServer, network: Network, boundary: Boundary) -> None:
        self.shard_id = server.name
        self.endpoint = server.endpoint
        self._node = node
        self._server = server
        self._network = network
        self._boundary = boundary

    async def describe(self) -> Shard:
        return await self._call("describe", mutating=False)

    async def load(self) -> ShardLoad:
        return await self._call("load", mutating=False)

    async def state(self, order_param: str) -> OrderParamState:
        return await self._call("state", order_param, mutating=False)

    async def states(self) -> AsyncIterator[OrderParamState]:
        for state in await self._call("states", mutating=False):
            yield state

    async def open(self, order_param: str, epoch: int) -> OrderParamState:
        return await self._call("open", order_param, epoch)

    async def begin(self, order_param: str, migration_id: str, epoch: int) -> OrderParamState:
        return await self._call("begin", order_param, migration_id, epoch)

    async def pause(
        self, order_param: str, migration_id: str, epoch: int, lease_ms: int, *, soft: bool = False
    ) -> OrderParamState:
        return await self._call("pause", order_param, migration_id, epoch, lease_ms, soft)

    async def copy_backlog(
        self, order_param: str, migration_id: str, epoch: int, source_endpoint: str, chunk_messages: int
    ) -> AsyncIterator[CopyProgress]:
        ids = (order_param, migration_id, epoch)
        for progress in await self._call("copy_backlog", *ids, source_endpoint, chunk_messages):
            yield progress

    async def seal(
        self,
        order_param: str,
        migration_id: str,
        epoch: int,
        destination: Shard,
        *,
        chained: bool = False,
        tail_after_seq: int | None = None,
    ) -> SealRecord:
        return await self._call("seal", order_param, migration_id, epoch, destination, chained, tail_after_seq)

    async def update_mapping(self, order_param: str, epoch: int, owner: Shard) -> OrderParamState:
        return await self._call("update_mapping", order_param, epoch, owner)

    async def resume(self, order_param: str, migration_id: str, sealed: SealRecord) -> OrderParamState:
        return await self._call("resume", order_param, migration_id, sealed)

    async def drain(self, order_param: str, migration_id: str, chunk_messages: int) -> AsyncIterator[int]:
        for deleted in await self._call("drain", order_param, migration_id, chunk_messages):
            yield deleted

    async def abort(self, order_param: str, migration_id: str) -> OrderParamState:
        return await self._call("abort", order_param, migration_id)

    async def advance(self, order_param: str, epoch: int, hold_no: int = 0, holder: str = "") -> OrderParamState:
        """Say that all segments up to an epoch are consumed; only peers do."""
        return await self._call("advance", order_param, epoch, hold_no, holder)

    async def close(self) -> None:
        """Hold nothing that could be closed."""

    async def _call(self, method: str, *args: Any, mutating: bool = True) -> Any:
        self._boundary(self._node, self._server, method + "/before")
        answer = await self._network.call(self._node, self._server, method, *args, mutating=mutating)
        self._boundary(self._node, self._server, method + "/after")
        return answer


class _Disk:
    """Lets a store's calls take time, and pass the boundaries."""

    def __init__(self, node: Node, dice: Dice, boundary: Boundary) -> None:
        self._node = node
        self._dice = dice
        self._boundary = boundary

    async def read(self) -> None:
        await self._node.wait(READ_S)

    async def begin(self, what: str) -> None:
        self._boundary(self._node, None, what + "/before")
        await self._node.wait(self._dice.between(*SYNC_S))

    def end(self, what: str) -> None:
        self._boundary(self._node, None, what + "/after")


class DiskJournal:
    """Implements `JournalPort` of one process. `is_full`: whether the disk refuses writes."""

    def __init__(self, store: MemoryJournal, node: Node, dice: Dice, boundary: Boundary) -> None:
        self._store = store
        self._disk = _Disk(node, dice, boundary)
        self.is_full = False

    async def write(self, record: MigrationRecord, sealed: SealRecord | None = None) -> None:
        what = "journal." + record.step.value
        await self._disk.begin(what)
        if self.is_full:
            raise RetryableError("the journal's disk is full")
        await self._store.write(record, sealed)
        self._disk.end(what)

    async def sealed(self, migration_id: str) -> SealRecord | None:
        await self._disk.read()
        return await self._store.sealed(migration_id)

    async def get(self, migration_id: str) -> MigrationRecord | None:
        await self._disk.read()
        return await self._store.get(migration_id)

    async def unfinished(self) -> tuple[MigrationRecord, ...]:
        await self._disk.read()
        return await self._store.unfinished()

    async def recent(self, limit: int) -> tuple[MigrationRecord, ...]:
        await self._disk.read()
        return await self._store.recent(limit)

    async def history(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        await self._disk.read()
        return await self._store.history(migration_id)


class DiskMapping:
    """Implements `MappingPort` of one process."""

    def __init__(self, store: MemoryMapping, node: Node, dice: Dice, boundary: Boundary) -> None:
        self._store = store
        self._disk = _Disk(node, dice, boundary)

    async def load(self) -> Mapping:
        await self._disk.read()
        return await self._store.load()

    async def create(self, placement: Placement) -> Placement:
        await self._disk.begin("mapping.create")
        stored = await self._store.create(placement)
        self._disk.end("mapping.create")
        return stored

    async def compare_and_set(self, order_param: str, expected_epoch: int, placement: Placement) -> Placement:
        await self._disk.begin("mapping.switch")
        stored = await self._store.compare_and_set(order_param, expected_epoch, placement)
        self._disk.end("mapping.switch")
        return stored

    async def reshape(self, placement: Placement) -> Placement:
        await self._disk.begin("mapping.reshape")
        stored = await self._store.reshape(placement)
        self._disk.end("mapping.reshape")
        return stored

    async def surveyed(self) -> frozenset[str]:
        await self._disk.read()
        return await self._store.surveyed()

    async def note_surveyed(self, shards: frozenset[str]) -> None:
        await self._disk.begin("mapping.surveyed")
        await self._store.note_surveyed(shards)
        self._disk.end("mapping.surveyed")
