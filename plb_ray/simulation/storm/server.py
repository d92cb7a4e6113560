"""A shard's server: carries out calls on a `MemoryShard`, and can crash, freeze, come back, and have a full disk."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from plb_ray.domain.load import ResourceVector, Shard, ShardLoad
from plb_ray.errors import PlbError
from plb_ray.migration.ports import CopyProgress, OrderParamState, Ownership
from plb_ray.queues.embedded import operations, ownership
from plb_ray.queues.embedded.blocks import Block
from plb_ray.queues.embedded.draining import drain
from plb_ray.queues.embedded.operations import Now
from plb_ray.simulation.storm.heralds import start_herald
from plb_ray.simulation.storm.memory_database import MemoryDatabase
from plb_ray.simulation.storm.memory_shard import MemoryShard, Polled
from plb_ray.simulation.storm.network import Exchange, Node

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Sequence

    from plb_ray.migration.ports import SealRecord
    from plb_ray.queues.embedded.ownership import Record
    from plb_ray.simulation.storm.world import World

__all__ = ["Polled", "ShardServer"]
SYNC_S = (0.0003, 0.0015)
SOFT = 0.7  # share of shards that can pause softly
_CAPACITY = ResourceVector(1.0, 1e9, 1e6)
_SERVING = (Ownership.ACTIVE, Ownership.PAUSED)


class ShardServer:
    """See the module. What is on its disk outlives each process.

    Attributes:
        name, endpoint: as in `network.Server`.
        node: the present process, or the one that died last.
        shard: what is in that process's memory.
        open: calls that it has not answered.
    """

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.endpoint = f"shard:{name}"
        self.open: dict[Exchange, None] = {}
        self._world = world
        self._loop = world.loop
        self._network = world.network
        self._database = MemoryDatabase()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serves: dict[str, int | None] = {}
        self._herald: asyncio.Task[None] | None = None
        self._pauses_softly = world.dice.chance(SOFT)
        self.node = Node(name, world.loop)
        self.shard = self._new_process()

    # Life

    def crash(self) -> None:
        """End the process; callers see their connections break."""
        self.node.die()
        if self._herald is not None:
            self._herald.cancel()
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._database.rollback()
        waiting, self.open = self.open, {}
        for exchange in waiting:
            self._network.break_off(exchange)

    def restart(self) -> None:
        """Start a new process on the same disk, unless one runs."""
        if self.node.alive:
            return
        wall_off_s = self.node.wall_off_s
        self.node = Node(self.name, self._loop)
        self.node.wall_off_s = wall_off_s
        self.shard = self._new_process()
        self.start_herald()

    def start_herald(self) -> None:
        """Start the process's herald; to be called in the running loop."""
        world = self._world
        self._herald = start_herald(self.shard, self.node, self._network, world.server_at, self.endpoint)

    def fill_disk(self, *, full: bool) -> None:
        """Let the disk be full, or have room again."""
        self._database.is_full = full

    def _new_process(self) -> MemoryShard:
        node, loop, dice = self.node, self._loop, self._world.dice
        shard = MemoryShard(
            self.name,
            self.endpoint,
            self._database,
            now=lambda: Now(loop.time(), node.wall_s()),
            consumer_lease_s=self._world.consumer_lease_s,
            later=lambda act: node.later(dice.between(*SYNC_S), act),
        )
        shard.on_record = self._committed
        return shard

    def _committed(self, record: Record) -> None:
        """Tell the checker when this shard begins to serve, and when it ends."""
        epoch = record.epoch if record.ownership in _SERVING else None
        if self._serves.get(record.order_param) != epoch:
            self._serves[record.order_param] = epoch
            self._world.checker.serves(record.order_param, self.name, epoch)

    # What the checks look at

    def look(self, order_param: str) -> OrderParamState:
        """Return what is committed, whether the process lives or not."""
        return self.shard.state_of(order_param)

    def segments(self, order_param: str) -> list[int]:
        """Return the epochs of the trailing segments that there is a record of."""
        return [line.record.epoch for line in self.shard.view.of(order_param) if line.trailing]

    def unconsumed(self, order_param: str) -> int:
        """Return how many messages are stored and not acknowledged, apart from trailing segments."""
        acked_seq = self.look(order_param).acked_seq
        return sum(seq > acked_seq for seq in self.shard.stored_seqs(order_param))

    # Calls

    def handle(self, exchange: Exchange) -> None:
        """See `network.Server`."""
        try:
            getattr(self, "_" + exchange.method)(partial(self._network.answer, exchange), *exchange.args)
        except PlbError as error:
            self._network.answer(exchange, None, error)

    def _describe(self, answer: Any) -> None:
        answer(Shard(self.name, self.endpoint, _CAPACITY), None)

    def _load(self, answer: Any) -> None:
        answer(ShardLoad(self.name, self.node.wall_s(), _CAPACITY, 0.1, 0, 1.0, ()), None)

    def _state(self, answer: Any, order_param: str) -> None:
        self.shard.change(order_param, operations.look, answer)

    def _states(self, answer: Any) -> None:
        answer([self.shard.state_of(name) for name in self.shard.names()], None)

    def _open(self, answer: Any, order_param: str, epoch: int) -> None:
        self.shard.change(order_param, operations.transition(lambda record, _: ownership.opened(record, epoch)), answer)

    def _begin(self, answer: Any, order_param: str, migration_id: str, epoch: int) -> None:
        self.shard.change(order_param, operations.BeginImport(migration_id, epoch), answer)

    def _pause(self, answer: Any, order_param: str, migration_id: str, epoch: int, lease_ms: int, soft: bool) -> None:  # noqa: FBT001 - as it travels
        self.shard.change(order_param, operations.Pause(migration_id, epoch, lease_ms, soft and self._pauses_softly), answer)

    def _seal(
        self,
        answer: Any,
        order_param: str,
        migration_id: str,
        epoch: int,
        destination: Shard,
        chained: bool,  # noqa: FBT001 - as it travels
        tail_after_seq: int | None,
    ) -> None:
        ids = (order_param, migration_id, epoch, destination)
        self.shard.seal(*ids, answer, chained=chained, tail_after_seq=tail_after_seq)

    def _update_mapping(self, answer: Any, order_param: str, epoch: int, owner: Shard) -> None:
        ids = (epoch, owner.shard_id, owner.endpoint)
        self.shard.change(order_param, operations.transition(lambda record, _: ownership.redirected(record, *ids)), answer)

    def _resume(self, answer: Any, order_param: str, migration_id: str, sealed: SealRecord) -> None:
        tail = tuple(Block.parse(data) for data in sealed.tail)
        self.shard.change(order_param, operations.Resume(migration_id, sealed, tail), answer)

    def _abort(self, answer: Any, order_param: str, migration_id: str) -> None:
        self.shard.change(order_param, operations.Abort(migration_id), answer)

    def _advance(self, answer: Any, order_param: str, epoch: int, hold_no: int, holder: str) -> None:
        self.shard.advance(order_param, epoch, (hold_no, holder), answer)

    def _append(
        self, answer: Any, order_param: str, epoch: int, producer: str, first_number: int, payloads: Sequence[bytes]
    ) -> None:
        self.shard.run(order_param, operations.Append(epoch, producer, first_number, payloads), answer)

    def _ack(self, answer: Any, order_param: str, epoch: int, up_to_seq: int, consumer: str) -> None:
        self.shard.ack(order_param, epoch, up_to_seq, consumer, answer)

    def _nack(self, answer: Any, order_param: str, epoch: int, seq: int, consumer: str, delay_ms: int) -> None:
        self.shard.nack(order_param, epoch, seq, consumer, delay_ms, answer)

    def _poll(self, answer: Any, consumer: str, limit: int, redeliver: bool, holds: dict[str, int]) -> None:  # noqa: FBT001
        def answered(polled: Any, error: Any) -> None:
            answer(None if error else (polled, int(self.shard.consumer_lease_s * 1000)), error)

        self.shard.poll(consumer, limit, holds, answered, redeliver=redeliver)

    def _export(self, answer: Any, order_param: str, after_seq: int, limit: int) -> None:
        answer(self.shard.exported(order_param, after_seq, limit), None)

    def _copy_backlog(
        self, answer: Any, order_param: str, migration_id: str, epoch: int, source_endpoint: str, chunk_messages: int
    ) -> None:
        self._start(self._copy(order_param, migration_id, epoch, source_endpoint, chunk_messages), answer)

    def _drain(self, answer: Any, order_param: str, migration_id: str, chunk_messages: int) -> None:
        self._start(self._drained(order_param, migration_id, chunk_messages), answer)

    # Calls that take several operations

    async def _copy(
        self, order_param: str, migration_id: str, epoch: int, source_endpoint: str, chunk_messages: int
    ) -> list[CopyProgress]:
        """Pull what is missing from the source; a repeat goes on after what is there."""
        record = await self.shard.done(order_param, operations.BeginImport(migration_id, epoch))
        progress = CopyProgress(record.last_seq, 0, 0)
        source = self._world.server_at(source_endpoint)
        while True:
            call = (order_param, progress.last_seq, chunk_messages)
            blocks = await self._network.call(self.node, source, "export", *call, mutating=False)
            if not blocks:
                return [progress]
            step = operations.ImportChunk(migration_id, epoch, blocks, progress.last_seq)
            last_seq, count, size = await self.shard.done(order_param, step)
            progress = CopyProgress(last_seq, progress.messages + count, progress.bytes + size)

    async def _drained(self, order_param: str, migration_id: str, chunk_messages: int) -> list[int]:
        return [deleted async for deleted in drain(self.shard.done, order_param, migration_id, chunk_messages)]

    def _start(self, work: Coroutine[Any, Any, Any], answer: Any) -> None:
        task = self._loop.create_task(self._answered(work, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, work: Coroutine[Any, Any, Any], answer: Any) -> None:
        try:
            result = await work
        except PlbError as error:
            answer(None, error)
        else:
            answer(result, None)
