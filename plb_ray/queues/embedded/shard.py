"""The shard put together: database, writer, view, delivery and meter, without gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plb_ray.clock import monotonic_s, process_cpu_s, wall_time_s
from plb_ray.domain.load import ResourceVector, ShardLoad
from plb_ray.errors import BadInputError
from plb_ray.migration.ports import Ownership
from plb_ray.queues.embedded.checkpoint import Checkpoints
from plb_ray.queues.embedded.database import Database
from plb_ray.queues.embedded.delivery import Delivery
from plb_ray.queues.embedded.herald import Herald
from plb_ray.queues.embedded.meter import WINDOW_S, LatencyWindow, ProcessUse, SlidingSum, capacity_of
from plb_ray.queues.embedded.operations import Now, Seal, transition
from plb_ray.queues.embedded.pace import Pace, PaceSettings
from plb_ray.queues.embedded.peers import Peers
from plb_ray.queues.embedded.reading import Readings
from plb_ray.queues.embedded.sealing import SealOrder, advanced, told
from plb_ray.queues.embedded.tokens import TokenBucket
from plb_ray.queues.embedded.view import View
from plb_ray.queues.embedded.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from plb_ray.migration.ports import SealRecord
    from plb_ray.queues.embedded.blocks import Block, StoredMessage
    from plb_ray.queues.embedded.ledger import Committed
    from plb_ray.queues.embedded.operations import Operation
    from plb_ray.queues.embedded.ownership import Record
    from plb_ray.queues.embedded.slices import Limits, Slice

DATABASE_FILE = "shard.sqlite3"


@dataclass(frozen=True)
class ShardOptions:
    """What a shard is started with.

    Attributes:
        shard_id: its name in the mapping.
        data: directory of its database; made if it is missing.
        service_rate_per_s: messages delivered per second at most; 0: no cap.
        memory_bytes, io_bytes_per_s: capacity to report; 0: what the machine has.
        consumer_lease_s: a consumer that neither polls nor acknowledges for so long loses what it holds.
        copy_bytes_per_s: how fast backlogs are copied to and from this shard at most; 0: only its own latency limits that.
    """

    shard_id: str
    data: Path
    service_rate_per_s: float = 0.0
    memory_bytes: float = 0.0
    io_bytes_per_s: float = 0.0
    consumer_lease_s: float = 10.0
    copy_bytes_per_s: float = 0.0

    @property
    def capacity(self) -> ResourceVector:
        """What the shard can give."""
        return capacity_of(self.memory_bytes, self.io_bytes_per_s)


class Shard:
    """One queue server's inside. Made and used in one event loop; `close` it to end its threads.

    Attributes:
        endpoint: where its server listens, for peers; set once that has started.
        died: the writer has: whoever runs the shard ends the process.
        pace: what each chunk of a copy waits for, in both directions.
        duties: set when `herald` may have something to do.
    """

    def __init__(self, options: ShardOptions) -> None:
        now_s = monotonic_s()
        self.options = options
        self.endpoint = ""
        self.died = asyncio.Event()
        self.view = View()
        self.peers = Peers()
        self._lock, self._database = _open(options)
        self._checkpoints = Checkpoints(options.data / DATABASE_FILE)
        pace = PaceSettings(cap_bytes_per_s=options.copy_bytes_per_s)
        self.pace = Pace(pace, monotonic_s, lambda: self._checkpoints.is_behind)
        who = (options.shard_id, str(options.data))
        self.writer = Writer(self._database, self._checkpoints, who, _now, self._publish, self.died.set)
        self.delivery = Delivery(self.view, TokenBucket(options.service_rate_per_s, now_s), options.consumer_lease_s)
        self._readings = Readings(options.data / DATABASE_FILE)
        self.duties = asyncio.Event()
        self._changed = asyncio.Event()
        self._served = SlidingSum(WINDOW_S)
        self._latency = LatencyWindow()
        self._use = ProcessUse(now_s)
        self._served_total = 0
        self._publish(self.writer.recover())
        self.writer.start()
        self._checkpoints.start()
        self._sampler = asyncio.create_task(self._sample())
        self._herald = Herald(self)
        self._heralding = asyncio.create_task(self._herald.run())

    async def close(self) -> None:
        """Finish what is queued, sync, and let go of the data directory."""
        for task in (self._sampler, self._heralding):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._herald.close()
        await self.peers.close()
        await asyncio.to_thread(self._checkpoints.stop)
        self._readings.close()
        await self.writer.stop()
        self._checkpoints.close()
        self._lock.close()

    def now_s(self) -> float:
        """Return the shard's monotonic clock, which leases are measured on."""
        return monotonic_s()

    def record(self, order_param: str) -> Record:
        """Return what is committed of one order param."""
        return self.view.record(order_param, monotonic_s())

    async def run(self, order_param: str, operation: Operation, segment: int = 0) -> Any:
        """Run an operation and return its answer once it is durable; see `Writer.submit`."""
        return await self.writer.submit(order_param, operation, segment)

    async def seal(
        self, order_param: str, migration_id: str, epoch: int, moved_to: tuple[str, str], *, chained: bool
    ) -> SealRecord:
        """Run a seal; from before its cursor is read until its outcome is known nothing of the order param is delivered.

        That holds too if the caller gives up: the seal may still take effect.
        """
        cursor, release = self.delivery.hold(order_param)
        order = SealOrder(
            migration_id,
            epoch,
            moved_to,
            cursor.delivered_seq,
            own_endpoint=self.endpoint,
            holder=cursor.holder,
            hold_no=cursor.hold_no,
            chained=chained,
        )
        done = self.writer.submit(order_param, Seal(order))
        done.add_done_callback(lambda _: self._seal_settled(release))
        sealed: SealRecord = await asyncio.shield(done)
        return sealed

    async def tail(self, sealed: SealRecord, after_seq: int) -> list[Block]:
        """Return what is stored of a sealed order param after a sequence, if it is little and still here; else nothing."""
        line = self.view.lines.get((sealed.order_param, 0))
        if line is None or (line.record.ownership, line.record.epoch) != (Ownership.SEALED, sealed.epoch):
            return []
        return await self._readings.tail(line.slot, max(after_seq, sealed.acked_seq) + 1, sealed.final_seq)

    async def advance(self, order_param: str, epoch: int, hold_no: int = 0, holder: str = "") -> None:
        """Let all segments here go on that came after those up to `epoch`: these are consumed.

        Args:
            order_param: which one.
            epoch: of the last segment that is consumed.
            hold_no: the highest one given out for it; not known: what the clock says is taken for above it.
            holder: to whom it was given; empty: not known.

        Raises:
            PausedError, MovedError, UnknownOrderParamError: it has to be told later, or elsewhere; see `sealing.told`.
        """
        number = hold_no or int(wall_time_s() * 1e6)
        behind = [line.record.epoch for line in self.view.of(order_param) if line.behind]
        for segment in behind:  # by epoch: a seal that is under way may make it a trailing segment
            await self.run(order_param, transition(lambda record, _: advanced(record, epoch, number, holder)), segment)
        await self.run(order_param, transition(lambda record, _: told(advanced(record, epoch, number, holder), epoch)))

    def postpone(self, order_param: str, epoch: int, delay_s: float) -> None:
        """Put back what is in flight; see `Delivery.postpone`."""
        self.delivery.postpone(order_param, epoch, delay_s, monotonic_s())
        self._wake_polls()

    async def append(self, order_param: str, operation: Operation) -> tuple[int, bool]:
        """Run an append; its duration counts for `latency_p99_ms`."""
        start_s = monotonic_s()
        answer: tuple[int, bool] = await self.writer.submit(order_param, operation)
        now_s = monotonic_s()
        self._latency.add(now_s - start_s, now_s)
        self.pace.appended(now_s - start_s)
        return answer

    async def poll(
        self,
        consumer: str,
        names: Sequence[str],
        limits: Limits,
        wait_s: float,
        holds: Mapping[str, int] | None = None,
    ) -> list[tuple[Slice, list[StoredMessage]]]:
        """Return the next messages for a consumer, waiting at most `wait_s` for the first one. See `delivery`."""
        until_s = monotonic_s() + wait_s
        again = False
        while True:
            changed = self._changed
            now_s = monotonic_s()
            slices = self.delivery.take(consumer, names, limits, now_s, holds, again=again)
            if slices:
                return await self._read(consumer, slices)
            again = True
            left_s = min(until_s - now_s, self.delivery.wait_s(now_s))
            if until_s <= now_s:
                return []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, left_s)):
                    await changed.wait()

    async def export(
        self, order_param: str, first_seq: int, last_seq: int, chunk_messages: int
    ) -> AsyncIterator[list[Block]]:
        """Yield stored messages in order, a chunk at a time, at the pace that this shard's own appends allow."""
        line = self.view.lines.get((order_param, 0))
        if line is None:
            return
        async with contextlib.aclosing(self._readings.chunks(line.slot, first_seq, last_seq, chunk_messages)) as chunks:
            async for chunk in chunks:
                await self.pace.spend(sum(block.payload_bytes for block in chunk))
                yield chunk

    def load(self) -> ShardLoad:
        """Return the load metrics; see the package's docstring for what CPU means."""
        now_s, wall_s = monotonic_s(), wall_time_s()
        rate = self.options.service_rate_per_s
        cpu_cores = self._served.per_s(now_s) / rate if rate else self._use.cpu_cores
        cpu_core_s = self._served_total / rate if rate else process_cpu_s()
        return ShardLoad(
            shard_id=self.options.shard_id,
            at_s=wall_s,
            use=ResourceVector(cpu_cores, self._use.memory_bytes(), self._use.io_bytes_per_s),
            process_cpu_cores=self._use.cpu_cores,
            served_total=self._served_total,
            latency_p99_ms=self._latency.p99_ms(now_s),
            order_params=tuple(line.load(wall_s) for line in self.view.lines.values() if line.owned),
            cpu_core_s_total=cpu_core_s,
            io_bytes_total=self._use.io_bytes(self.writer.bytes_written),
            segments=tuple(line.load(wall_s) for line in self.view.lines.values() if line.trailing),
        )

    async def _read(self, consumer: str, slices: list[Slice]) -> list[tuple[Slice, list[StoredMessage]]]:
        """Read the payloads, and have new holders written down; what cannot be handed over is given back."""
        holds = [self.writer.submit(name, hold, epoch) for name, epoch, hold in self.delivery.unsaved(slices)]
        try:
            reading = self._readings.messages([(part.slot, part.first_seq, part.last_seq) for part in slices])
            found, *_ = await asyncio.gather(reading, *holds)
        except BaseException:  # cancellation too
            self.delivery.give_back(slices)
            raise
        served = sum(len(messages) for messages in found)
        self._served.add(served, monotonic_s())
        self._served_total += served
        read = zip(slices, found, strict=True)
        return [(part, messages) for part, messages in read if messages and self.delivery.still_held(consumer, part)]

    def _publish(self, news: Iterable[Committed]) -> None:
        now_s = monotonic_s()
        for committed in news:
            self.delivery.committed(committed, now_s)
        if self.view.has_duties:
            self.duties.set()
        self._wake_polls()

    def _seal_settled(self, release: Callable[[], None]) -> None:
        release()
        self._wake_polls()

    def _wake_polls(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(WINDOW_S)
            self._use.sample(monotonic_s(), self.writer.bytes_written)


def _now() -> Now:
    return Now(monotonic_s(), wall_time_s())


def _open(options: ShardOptions) -> tuple[Any, Database]:
    """Return the lock on the data directory, and its database."""
    with contextlib.ExitStack() as undo:
        lock = undo.enter_context(_lock(options.data))
        database = undo.enter_context(contextlib.closing(Database(options.data / DATABASE_FILE)))
        owner = database.claim(options.shard_id)
        if owner != options.shard_id:
            raise BadInputError(f"{options.data} holds the data of shard {owner!r}, not of {options.shard_id!r}")
        undo.pop_all()
    return lock, database


def _lock(data: Path) -> Any:
    """Keep a second process away from the same data."""
    data.mkdir(parents=True, exist_ok=True)
    lock = (data / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise BadInputError(f"another shard process uses {data}; stop it or choose another directory") from None
    return lock
