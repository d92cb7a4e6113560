"""A load generator that costs little: raw HTTP/1.1 over kept connections, so that what is measured is the service.

Closed loop: each connection asks again as soon as it has its answer; the latency is then connections / throughput.
Open loop: requests come at times that do not depend on the answers, and a late answer counts from when its request was due,
so that a service that falls behind cannot hide it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from plb_ray.clock import monotonic_s


@dataclass
class Outcome:
    """What came back: latencies of all answers in seconds, and how many had which status."""

    elapsed_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)

    def row(self, who, connections):
        """Return it as a row of the benchmark's table."""
        p50, p99, worst = (np.quantile(self.latencies_s, q) * 1000 for q in (0.5, 0.99, 1.0))
        bad = sum(count for status, count in self.statuses.items() if status not in {200, 304})
        rate = len(self.latencies_s) / self.elapsed_s
        figures = {"p50_ms": p50, "p99_ms": p99, "worst_ms": worst}
        return {"who": who, "connections": connections, "requests_per_s": rate, "failed": bad} | {
            name: round(float(value), 2) for name, value in figures.items()
        }


async def load(host, port, paths, *, connections, seconds, rate=None, seed=1):
    """Ask for paths drawn at random, and return the outcome.

    Args:
        host: of a service that speaks plain HTTP.
        port: of the same.
        paths: to draw from.
        connections: how many at once.
        seconds: for how long.
        rate: requests per second of all connections together (open loop); None: closed loop.
        seed: of what is drawn.
    """
    outcome, began_s = Outcome(), monotonic_s()
    generator = np.random.default_rng(seed)
    drawn = [[paths[n] for n in generator.integers(len(paths), size=10_000)] for _ in range(connections)]
    gap_s = connections / rate if rate else 0.0
    starts_s = began_s + generator.uniform(0, gap_s, size=connections)
    async with asyncio.TaskGroup() as group:
        for own, start_s in zip(drawn, starts_s, strict=True):
            group.create_task(_connection(host, port, own, outcome, float(start_s), began_s + seconds, gap_s))
    outcome.elapsed_s = monotonic_s() - began_s
    return outcome


async def _connection(host, port, paths, outcome, due_s, until_s, gap_s):
    reader, writer = await asyncio.open_connection(host, port, limit=2**24)
    turn = 0
    while monotonic_s() < until_s:
        if gap_s:
            await asyncio.sleep(max(0.0, due_s - monotonic_s()))
        asked_s = due_s if gap_s else monotonic_s()
        path, turn, due_s = paths[turn % len(paths)], turn + 1, due_s + gap_s
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        outcome.statuses[await _answer(reader)] += 1
        outcome.latencies_s.append(monotonic_s() - asked_s)
    writer.close()
    await writer.wait_closed()


async def _answer(reader):
    """Read one answer to its end and return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head[9:12])
