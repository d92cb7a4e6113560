"""The same messages and the same migration, on real shard processes and on modelled ones.

    bins     0 ............ rush ............. calm ............ end
    shard-0  within its rate | above it: backlog | the backlog is served | idle at the end
    shard-1  idle; at the end of bin `move_bin` the busiest order param comes over, with what waits of it

Both ways tell the delays of all messages, and what waits at the end of each bin.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from plb_ray.client import QueueResolver
from plb_ray.clock import monotonic_s
from plb_ray.simulation.replay.physics import Fluid, PhysicsParams
from plb_ray.simulation.schedule import make_schedule
from plb_ray.simulation.stage import Stage
from plb_ray.simulation.trace import Trace
from plb_ray.simulation.traffic import TrafficRun
from tests.coordinator.live_queue import live_queue

BIN_S = 0.5
START_IN_S = 0.5
RATE_PER_S = 160.0
PAYLOAD_BYTES = 64
HOT = 0
LATE_MS_MOST = 100.0


@dataclass(frozen=True, eq=False)
class Minute:
    """What is played: (K, N) messages per bin, and the end of which bin the hot order param is moved at."""

    counts: np.ndarray
    move_bin: int

    @property
    def names(self):
        return tuple(f"op-{row}" for row in range(len(self.counts)))


@dataclass(frozen=True, eq=False)
class Seen:
    """What one way showed: delays in seconds, (N,) messages waiting at the end of each bin, and how long the move took."""

    p50_s: float
    p99_s: float
    waiting: np.ndarray
    moved_s: float = 0.0


def a_minute(bins=60, others=4):
    """A rush on one shard: 1.5 times its rate for a third of the time, of which one order param brings half."""
    share = np.concatenate([np.full(bins // 4, 0.7), np.full(bins // 3, 1.5), np.full(bins - bins // 4 - bins // 3, 0.6)])
    hot = share * RATE_PER_S * BIN_S / 2
    return Minute(np.vstack([hot, *[hot / others] * others]).astype(np.float32), move_bin=bins // 4 + bins // 4)


def modelled(minute, params, moved_s=None, rate_per_s=RATE_PER_S):
    """Play it on modelled shards; `moved_s`: how long the move takes, if that is known."""
    if moved_s is not None:
        params = PhysicsParams(**{**vars(params), "overhead_s": moved_s, "copy_messages_per_s": 1e9})
    fluid = Fluid(np.full(2, rate_per_s), np.zeros(len(minute.counts), dtype=np.int64), params)
    waiting = np.zeros(minute.counts.shape[1])
    for bin_, counts in enumerate(minute.counts.T):
        if bin_ == minute.move_bin:
            fluid.migrate([(HOT, 1)])
        fluid.run(counts, BIN_S)
        waiting[bin_] = fluid.backlog.sum()
    return Seen(fluid.totals.delay_s(0.5), fluid.totals.delay_s(0.99), waiting)


async def real(minute, directory):
    """Play it on real shard processes, through a real producer and consumer, checked for order."""
    async with live_queue(directory, 2, service_rate_per_s=RATE_PER_S) as live:
        for name in minute.names:
            await live.coordinator.allocate(name, ["shard-0"])
        stage = _stage(minute)
        run = TrafficRun(stage, make_schedule(minute.counts, BIN_S, np.random.default_rng(1)), PAYLOAD_BYTES)
        resolver = QueueResolver(live.endpoint)
        start_s = monotonic_s() + START_IN_S
        running = asyncio.create_task(run.run(resolver, resolver.endpoints, START_IN_S, 30.0))
        watching = asyncio.create_task(_watch(run, start_s, stage.bins))
        try:
            await asyncio.sleep(start_s + minute.move_bin * BIN_S - monotonic_s())
            before_s = monotonic_s()
            await live.migrate(minute.names[HOT], "shard-0", "shard-1")
            moved_s = monotonic_s() - before_s
            waiting = await watching
            await running
        finally:
            watching.cancel()
            running.cancel()
            await asyncio.gather(watching, running, return_exceptions=True)
            await resolver.close()
        report = run.report()
    assert report.verdict.clean, report.verdict.examples
    return Seen(report.delay_ms["p50"] / 1000, report.delay_ms["p99"] / 1000, waiting, moved_s), report


async def _watch(run, start_s, bins):
    waiting = np.zeros(bins)
    for bin_ in range(bins):
        await asyncio.sleep(max(0.0, start_s + (bin_ + 1) * BIN_S - monotonic_s()))
        waiting[bin_] = run.progress.sent - run.progress.consumed
    return waiting


def _stage(minute):
    bins = minute.counts.shape[1]
    trace = Trace("calibration", minute.names, 0, 60, minute.counts)
    return Stage(trace, 0, bins, 1.0, ("shard-0", "shard-1"), RATE_PER_S, BIN_S)


@dataclass(frozen=True)
class Compared:
    """One figure both ways, and by how much they may differ."""

    what: str
    real: float
    modelled: float
    allowed: float

    @property
    def within(self):
        return abs(self.real - self.modelled) <= self.allowed


def compared(seen, model):
    """Return delays and what waits over time, with the tolerances that docs/replay.md states."""
    peak = float(model.waiting.max())
    apart = np.abs(seen.waiting - model.waiting)
    return [
        Compared("delay p50 (s)", seen.p50_s, model.p50_s, 0.15 * model.p99_s),
        Compared("delay p99 (s)", seen.p99_s, model.p99_s, 0.15 * model.p99_s),
        Compared("most waiting", float(seen.waiting.max()), peak, 0.1 * peak),
        Compared("waiting, mean difference", float(apart.mean()), 0.0, 0.05 * peak),
    ]
