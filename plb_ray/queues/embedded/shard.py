"""The shard put together: database, writer, view, delivery and meter, without gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plb_ray.clock import monotonic_s, wall_time_s
from plb_ray.domain.load import ResourceVector, ShardLoad
from plb_ray.errors import BadInputError
from plb_ray.queues.embedded.database import Database, Reader
from plb_ray.queues.embedded.delivery import Delivery, Limits, Slice
from plb_ray.queues.embedded.meter import WINDOW_S, LatencyWindow, ProcessUse, SlidingSum, capacity_of
from plb_ray.queues.embedded.operations import Now, Seal
from plb_ray.queues.embedded.tokens import TokenBucket
from plb_ray.queues.embedded.view import View
from plb_ray.queues.embedded.writer import Committed, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from plb_ray.migration.ports import SealRecord
    from plb_ray.queues.embedded.operations import Operation, StoredMessage
    from plb_ray.queues.embedded.ownership import Record

DATABASE_FILE = "shard.sqlite3"


@dataclass(frozen=True)
class ShardOptions:
    """What a shard is started with.

    Attributes:
        shard_id: its name in the mapping.
        data: directory of its database; made if it is missing.
        service_rate_per_s: messages delivered per second at most; 0: no cap.
        memory_bytes, io_bytes_per_s: capacity to report; 0: what the machine has.
        ack_timeout_s: how long a delivered message may stay unacknowledged before it is delivered again.
    """

    shard_id: str
    data: Path
    service_rate_per_s: float = 0.0
    memory_bytes: float = 0.0
    io_bytes_per_s: float = 0.0
    ack_timeout_s: float = 30.0

    @property
    def capacity(self) -> ResourceVector:
        """What the shard can give."""
        return capacity_of(self.memory_bytes, self.io_bytes_per_s)


class Shard:
    """One queue server's inside. Made and used in one event loop; `close` it to end its threads."""

    def __init__(self, options: ShardOptions) -> None:
        now_s = monotonic_s()
        self.options = options
        self.died = asyncio.Event()  # the writer has: whoever runs the shard ends the process
        self.view = View()
        self._lock, self._database = _open(options)
        self.writer = Writer(self._database, (options.shard_id, str(options.data)), _now, self._publish, self.died.set)
        self.delivery = Delivery(self.view, TokenBucket(options.service_rate_per_s, now_s), options.ack_timeout_s)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="shard-export")
        self._poll_reader = Reader(options.data / DATABASE_FILE)
        self._poll_thread = ThreadPoolExecutor(1, thread_name_prefix="shard-poll")
        self._changed = asyncio.Event()
        self._served = SlidingSum(WINDOW_S)
        self._latency = LatencyWindow()
        self._use = ProcessUse(now_s)
        self._served_total = 0
        self._publish(self.writer.start())
        self._sampler = asyncio.create_task(self._sample())

    async def close(self) -> None:
        """Finish what is queued, sync, and let go of the data directory."""
        self._sampler.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sampler
        await self.writer.stop()
        self._poll_thread.shutdown()
        self._readers.shutdown()
        self._poll_reader.close()
        self._lock.close()

    def now_s(self) -> float:
        """Return the shard's monotonic clock, which leases are measured on."""
        return monotonic_s()

    def record(self, order_param: str) -> Record:
        """Return what is committed of one order param."""
        return self.view.record(order_param, monotonic_s())

    async def run(self, order_param: str, operation: Operation) -> Any:
        """Run an operation and return its answer once it is durable."""
        return await self.writer.submit(order_param, operation)

    async def seal(self, order_param: str, migration_id: str, epoch: int, moved_to: tuple[str, str]) -> SealRecord:
        """Run a seal; from before its cursor is read until its outcome is known nothing of the order param is delivered.

        That holds too if the caller gives up: the seal may still take effect.
        """
        delivered_seq, release = self.delivery.hold(order_param)
        done = self.writer.submit(order_param, Seal(migration_id, epoch, moved_to, delivered_seq))
        done.add_done_callback(lambda _: self._seal_settled(release))
        sealed: SealRecord = await asyncio.shield(done)
        return sealed

    async def append(self, order_param: str, operation: Operation) -> tuple[int, bool]:
        """Run an append; its duration counts for `latency_p99_ms`."""
        start_s = monotonic_s()
        answer: tuple[int, bool] = await self.writer.submit(order_param, operation)
        now_s = monotonic_s()
        self._latency.add(now_s - start_s, now_s)
        return answer

    async def poll(
        self, consumer: str, names: Sequence[str], limits: Limits, wait_s: float
    ) -> list[tuple[Slice, list[StoredMessage]]]:
        """Return the next messages for a consumer, waiting at most `wait_s` for the first one. See `delivery`."""
        until_s = monotonic_s() + wait_s
        while True:
            changed = self._changed
            now_s = monotonic_s()
            slices = self.delivery.take(consumer, names, limits, now_s)
            if slices:
                return await self._read(slices)
            left_s = min(until_s - now_s, self.delivery.wait_s(now_s))
            if until_s <= now_s:
                return []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, left_s)):
                    await changed.wait()

    async def export(
        self, order_param: str, first_seq: int, last_seq: int, chunk_messages: int, chunk_bytes: int
    ) -> AsyncIterator[list[StoredMessage]]:
        """Yield stored messages in order, a chunk at a time, read off the event loop by a connection of its own."""
        line = self.view.lines.get(order_param)
        if line is None:
            return
        loop, slot, seq = asyncio.get_running_loop(), line.slot, first_seq
        reader = await loop.run_in_executor(self._readers, Reader, self.options.data / DATABASE_FILE)
        try:
            while seq <= last_seq:
                args = (slot, seq, last_seq, chunk_messages, chunk_bytes)
                chunk = await loop.run_in_executor(self._readers, reader.messages, *args)
                if not chunk:
                    return
                yield chunk
                seq = chunk[-1].seq + 1
        finally:
            reader.close()

    def load(self) -> ShardLoad:
        """Return the load metrics; see the package's docstring for what CPU means."""
        now_s, wall_s = monotonic_s(), wall_time_s()
        rate = self.options.service_rate_per_s
        cpu_cores = self._served.per_s(now_s) / rate if rate else self._use.cpu_cores
        cpu_core_s = self._served_total / rate if rate else self._use.cpu_s
        return ShardLoad(
            shard_id=self.options.shard_id,
            at_s=wall_s,
            use=ResourceVector(cpu_cores, self._use.memory_bytes(), self._use.io_bytes_per_s),
            process_cpu_cores=self._use.cpu_cores,
            served_total=self._served_total,
            latency_p99_ms=self._latency.p99_ms(now_s),
            order_params=tuple(line.load(wall_s) for line in self.view.lines.values() if line.owned),
            cpu_core_s_total=cpu_core_s,
            io_bytes_total=self._use.io_bytes,
        )

    async def _read(self, slices: list[Slice]) -> list[tuple[Slice, list[StoredMessage]]]:
        """Read the payloads; what cannot be handed over is given back."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._poll_thread, self._payloads, slices)
        except BaseException:  # cancellation too
            self.delivery.give_back(slices)
            raise
        served = sum(len(messages) for messages in found)
        self._served.add(served, monotonic_s())
        self._served_total += served
        return [(part, messages) for part, messages in zip(slices, found, strict=True) if messages]

    def _payloads(self, slices: list[Slice]) -> list[list[StoredMessage]]:
        everything = 1 << 62
        reader = self._poll_reader
        return [reader.messages(part.slot, part.first_seq, part.last_seq, everything, everything) for part in slices]

    def _publish(self, news: list[Committed]) -> None:
        now_s = monotonic_s()
        for committed in news:
            self.delivery.committed(committed, now_s)
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
