"""One replay as real traffic: sends what is due through the client, consumes it all, and keeps the evidence."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.client import Consumer, Producer
from plb_ray.clock import monotonic_s
from plb_ray.simulation.checker import OrderChecker, Verdict

if TYPE_CHECKING:
    from plb_ray.client import Delivered, Receipt, Resolver, ShardEndpoints
    from plb_ray.simulation.schedule import Schedule
    from plb_ray.simulation.stage import Stage

SEND_EVERY_S = 0.01
STAMP = struct.Struct("<d")


@dataclass(frozen=True)
class TrafficReport:
    """What one replay showed.

    Attributes:
        verdict: of the order checker.
        overload_shard_seconds: shard-seconds in which messages arrived at a shard faster than it can serve, per bin.
        delay_ms: p50, p99 and max of the time from send to consumption.
        delays_ms: (N,) that time of each message that was consumed.
        arrivals: (S, bins) messages that each shard accepted in each bin.
        sent_late_ms_max: how far the sender fell behind its schedule.
    """

    verdict: Verdict
    overload_shard_seconds: float
    delay_ms: dict[str, float]
    delays_ms: np.ndarray
    arrivals: np.ndarray
    sent_late_ms_max: float


@dataclass
class TrafficProgress:
    """Counts that move while the replay runs."""

    due: int
    sent: int = 0
    consumed: int = 0
    bin: int = 0


class TrafficRun:
    """One replay of a schedule against a queue: sends every message once, consumes everything, and checks."""

    def __init__(self, stage: Stage, schedule: Schedule, payload_bytes: int = 64) -> None:
        self.stage = stage
        self.schedule = schedule
        self.progress = TrafficProgress(due=len(schedule.due_s))
        self._padding = bytes(max(0, payload_bytes - STAMP.size))
        self._checker = OrderChecker()
        self._delays_ms: list[float] = []
        self._shard_row = {shard_id: row for row, shard_id in enumerate(stage.shard_ids)}
        self._arrivals = np.zeros((len(stage.shard_ids), stage.bins))
        self._started_s = 0.0
        self._late_s_max = 0.0

    async def run(self, resolver: Resolver, endpoints: ShardEndpoints, start_in_s: float, drain_timeout_s: float) -> None:
        """Send on schedule from `start_in_s` from now on, and return when all is consumed or the drain time is over."""
        self._started_s = monotonic_s() + start_in_s
        consumer = Consumer(endpoints, resolver, self._consumed, name="replay")
        producer = Producer(resolver, "replay")
        consuming = asyncio.create_task(consumer.run())
        try:
            await self._send_all(producer)
            await self._drain(drain_timeout_s)
        finally:
            await consumer.stop()
            await consuming
            await producer.close()

    def report(self) -> TrafficReport:
        """Return what the replay showed; call it after `run`."""
        capacity = self.stage.service_rate_per_s * self.stage.seconds_per_bin
        overloaded = int((self._arrivals > capacity + 1).sum())
        delays = np.array(self._delays_ms) if self._delays_ms else np.zeros(1)
        p50, p99 = np.percentile(delays, [50, 99])
        return TrafficReport(
            verdict=self._checker.verdict(),
            overload_shard_seconds=overloaded * self.stage.seconds_per_bin,
            delay_ms={"p50": float(p50), "p99": float(p99), "max": float(delays.max())},
            delays_ms=np.array(self._delays_ms),
            arrivals=self._arrivals,
            sent_late_ms_max=self._late_s_max * 1000,
        )

    async def _send_all(self, producer: Producer) -> None:
        """Send what is due every few milliseconds; appends of different order params run side by side.

        The first one that fails ends it all, with its error: what comes after it in its order param cannot be sent.
        """
        try:
            async with asyncio.TaskGroup() as sending:
                await self._send_due(producer, sending)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _send_due(self, producer: Producer, sending: asyncio.TaskGroup) -> None:
        names = self.stage.trace.order_params
        position, total = 0, len(self.schedule.due_s)
        while position < total:
            since_start_s = monotonic_s() - self._started_s
            end = int(np.searchsorted(self.schedule.due_s, since_start_s, side="right"))
            if end > position:
                self._late_s_max = max(self._late_s_max, since_start_s - float(self.schedule.due_s[position]))
                for row, messages in _grouped(self.schedule.rows[position:end]):
                    sending.create_task(self._send(producer, names[row], messages))
                position = end
            self.progress.bin = min(self.stage.bins, max(0, int(since_start_s / self.stage.seconds_per_bin)))
            await asyncio.sleep(SEND_EVERY_S)
        self.progress.bin = self.stage.bins

    async def _send(self, producer: Producer, order_param: str, messages: int) -> None:
        payload = STAMP.pack(monotonic_s()) + self._padding
        receipt: Receipt = await producer.send(order_param, [payload] * messages)
        self._checker.appended(order_param, receipt.last_seq, messages, receipt.shard_id, receipt.epoch)
        self.progress.sent += messages
        bin_ = int((monotonic_s() - self._started_s) / self.stage.seconds_per_bin)
        if bin_ < self.stage.bins:
            self._arrivals[self._shard_row[receipt.shard_id], bin_] += messages

    def _consumed(self, delivered: Delivered) -> None:
        (sent_s,) = STAMP.unpack_from(delivered.payload)
        self._delays_ms.append((monotonic_s() - sent_s) * 1000)
        self._checker.consumed(delivered.order_param, delivered.seq, delivered.producer, delivered.producer_seq)
        self.progress.consumed += 1

    async def _drain(self, timeout_s: float) -> None:
        """Wait until every acknowledged message is consumed."""
        deadline_s = monotonic_s() + timeout_s
        while self._checker.outstanding() > 0 and monotonic_s() < deadline_s:  # noqa: ASYNC110  bounded by time
            await asyncio.sleep(SEND_EVERY_S)


def _grouped(rows: np.ndarray) -> list[tuple[int, int]]:
    """Return (row, how many) for each row that occurs."""
    found, counts = np.unique(rows, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True))
