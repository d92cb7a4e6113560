"""The constants of `PhysicsParams`, measured on real shard processes.

overhead_s, copy_messages_per_s   how long migrations of growing backlogs take: a line through the fastest of each
pause_s                           the median pause of those without backlog
copy_cost                         what both shards do less of everything else while a backlog is copied, per message of it
"""

from __future__ import annotations

import asyncio

import numpy as np

from plb_ray.client import Producer, QueueResolver
from plb_ray.clock import monotonic_s
from tests.coordinator.live_queue import live_queue

BACKLOGS = (0, 2_000, 10_000, 40_000)
REPEATS = 3
PAYLOAD = bytes(64)
BATCH = 500


async def migrations(directory, backlogs=BACKLOGS, repeats=REPEATS):
    """Return (backlog, seconds, pause_ms) of migrations of backlogs that nobody consumes."""
    rows = []
    async with live_queue(directory, 2) as live:
        resolver = QueueResolver(live.endpoint)
        producer = Producer(resolver, "filler")
        for backlog in backlogs:
            for number in range(repeats):
                name = f"b{backlog}-{number}"
                await live.coordinator.allocate(name, ["shard-0"])
                await _fill(producer, name, max(1, backlog))
                began_s = monotonic_s()
                record = await live.migrate(name, "shard-0", "shard-1", f"m-{name}")
                rows.append((backlog, monotonic_s() - began_s, record.pause_ms))
        await producer.close()
        await resolver.close()
    return rows


async def copy_cost(directory, backlog=40_000):
    """Return (appends per second on both shards before, while the backlog is copied, and how much was copied per second)."""
    async with live_queue(directory, 2) as live:
        resolver = QueueResolver(live.endpoint)
        producer, appended = Producer(resolver, "filler"), [0]
        for name, shard in (("busy-0", "shard-0"), ("busy-1", "shard-1"), ("big", "shard-0")):
            await live.coordinator.allocate(name, [shard])
        await _fill(producer, "big", backlog)
        sending = [asyncio.create_task(_send(producer, name, appended)) for name in ("busy-0", "busy-1")]
        try:
            await asyncio.sleep(0.5)
            before = await _rate(appended, asyncio.sleep(2.0))
            began_s = monotonic_s()
            during = await _rate(appended, live.migrate("big", "shard-0", "shard-1"))
            lasted_s = monotonic_s() - began_s
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            await producer.close()
            await resolver.close()
    return before, during, backlog / lasted_s


def fitted(rows):
    """Return (overhead_s, messages_per_s) of a line through the fastest migration of each backlog."""
    backlogs = sorted({row[0] for row in rows})
    fastest = [min(row[1] for row in rows if row[0] == backlog) for backlog in backlogs]
    per_message, overhead_s = np.polyfit(backlogs, fastest, 1)
    return float(overhead_s), float(1 / per_message)


async def _fill(producer, name, messages):
    for begin in range(0, messages, BATCH):
        await producer.send(name, [PAYLOAD] * min(BATCH, messages - begin))


async def _send(producer, name, appended):
    while True:
        await producer.send(name, [PAYLOAD] * 20)
        appended[0] += 20


async def _rate(appended, during):
    before, began_s = appended[0], monotonic_s()
    await during
    return (appended[0] - before) / (monotonic_s() - began_s)
