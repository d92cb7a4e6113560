"""`python -m tests.e2e.traffic HOST:PORT`: sends what the busy order params have due, and consumes it, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial

import numpy as np

from plb_ray.client import Delivered, Queue
from plb_ray.clock import wall_time_s
from tests.e2e.world import BUSY, HELD, HELD_AT_ONCE, HELD_BYTES, HELD_SENDS, ODD, mean_rates

EVERY_S = 0.25


async def main(endpoint: str) -> None:
    """Send and consume until somebody interrupts."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Queue(endpoint) as queue, asyncio.TaskGroup() as group:
        consumer = queue.consumer("e2e", partial(_consumed, stop))
        group.create_task(consumer.run())
        await _send(queue, stop)
        await consumer.stop()


async def _consumed(stop: asyncio.Event, message: Delivered) -> None:
    """Be done with it at once; with what is held, at the end only."""
    if message.order_param == HELD:
        await stop.wait()


async def _send(queue: Queue, stop: asyncio.Event) -> None:
    rng = np.random.default_rng(7)
    async with queue.producer("e2e") as producer:
        for _ in range(HELD_SENDS):
            await producer.send(HELD, [b"h" * HELD_BYTES] * HELD_AT_ONCE)
        while not stop.is_set():
            due = rng.poisson(mean_rates(np.array([wall_time_s()]))[:, 0] * EVERY_S)
            sends = [producer.send(name, [b"x" * 64] * int(count)) for name, count in zip(BUSY, due, strict=True) if count]
            sends += [producer.send(name, [b"odd"]) for name in ODD if rng.random() < EVERY_S]
            await asyncio.gather(*sends)
            await asyncio.sleep(EVERY_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
