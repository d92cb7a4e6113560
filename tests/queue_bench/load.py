"""Producers that run while something is measured, and what they notice."""

from __future__ import annotations

import asyncio
import contextlib

from plb_ray.client import Producer
from plb_ray.clock import monotonic_s

EVERY_S = 0.005


class Live:
    """So many producers that each send a message every 5 ms. `took`: (when sent, seconds until acknowledged)."""

    def __init__(self, resolver, order_params):
        self.took: list[tuple[float, float]] = []
        self._producers = [(Producer(resolver, f"live-{n}"), name) for n, name in enumerate(order_params)]
        self._stopping = False

    @contextlib.asynccontextmanager
    async def running(self):
        tasks = [asyncio.create_task(self._send(producer, name)) for producer, name in self._producers]
        try:
            yield self
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)
            for producer, _ in self._producers:
                await producer.close()

    def latencies_ms(self, start_s, end_s):
        """Return the latency of each message that was under way between two times."""
        return [took * 1000 for sent, took in self.took if sent + took >= start_s and sent <= end_s]

    async def _send(self, producer, name):
        next_s = monotonic_s()
        while not self._stopping:
            sent_s = monotonic_s()
            await producer.send(name, [b"x" * 200])
            self.took.append((sent_s, monotonic_s() - sent_s))
            next_s = max(next_s + EVERY_S, monotonic_s() - EVERY_S)
            await asyncio.sleep(max(0.0, next_s - monotonic_s()))
