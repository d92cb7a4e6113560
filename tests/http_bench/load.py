"""A load generator that costs little: raw HTTP/1.1 over kept connections, so that what is measured is the service.

Closed loop: each connection asks again as soon as it has its answer; the latency is then connections / throughput.
Open loop: requests come at times that do not depend on the answers, and a late answer counts from when its request was due,
so that a service that falls behind cannot hide it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from plb_ray.clock import monotonic_s

DRAWN = 10_000
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


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
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(paths), size=(connections, DRAWN))
    gap_s = connections / rate if rate else 0.0
    offsets_s = generator.uniform(0, gap_s, size=connections)
    loop, outcome = asyncio.get_running_loop(), Outcome()
    opened = [await loop.create_connection(_Answers, host, port) for _ in range(connections)]
    began_s = monotonic_s()  # all is ready: what the generator takes to get so must not look like the service's
    async with asyncio.TaskGroup() as group:
        for (transport, answers), own, offset_s in zip(opened, drawn, offsets_s.tolist(), strict=True):
            ask = partial(_ask, transport, answers, f"{host}:{port}")
            asked = (paths[own[turn % DRAWN]] for turn in itertools.count())
            group.create_task(_keep_asking(ask, asked, outcome, began_s + offset_s, began_s + seconds, gap_s))
    outcome.elapsed_s = monotonic_s() - began_s
    for transport, _ in opened:
        transport.close()
    return outcome


async def _keep_asking(ask, paths, outcome, due_s, until_s, gap_s):
    while monotonic_s() < until_s:
        if gap_s:
            await asyncio.sleep(max(0.0, due_s - monotonic_s()))
        asked_s = due_s if gap_s else monotonic_s()
        due_s += gap_s
        outcome.statuses[await ask(next(paths))] += 1
        outcome.latencies_s.append(monotonic_s() - asked_s)


async def _ask(transport, answers, host, path):
    transport.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return await answers.next()


class _Answers(asyncio.Protocol):
    """The answers of one connection, one after the other; a body is counted and not kept."""

    def __init__(self):
        self._head = b""
        self._left: int | None = None  # of the body; None: its length is not known yet
        self._status: asyncio.Future[int] | None = None

    def next(self):
        """Return a future of the status of the answer to the request that has just been written."""
        self._head, self._left = b"", None
        self._status = asyncio.get_running_loop().create_future()
        return self._status

    def data_received(self, data):
        """See asyncio."""
        if self._left is None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._left = int(LENGTH.search(head)[1])
        self._left -= len(data)
        if self._left == 0 and not self._status.done():
            self._status.set_result(int(self._head[9:12]))

    def connection_lost(self, exc):
        """See asyncio."""
        if self._status is not None and not self._status.done():
            self._status.set_exception(exc or ConnectionError("the connection ended before the answer did"))
