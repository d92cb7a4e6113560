"""How long a tick takes: `python -m tests.tick_bench [--size KxS:DAYS ...] [--ticks N] [--network] [--json FILE]`.

A tick is everything between looking at the queue and having the decision on disk: counters to rates, costs, history, both
forecasts, load estimates, the comparison with what was foreseen, plan, check, admission, record. History store, forecaster
pool, decider, journal and cost file are the real ones; the queue answers from memory, so what a network would take is
not in the figures. `--network` lets networks forecast, trained on 200 of the order params, in place of the baseline.

Wall time depends on what else the machine does, so the CPU time of the process stands beside it, and the load around it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import wraps
from pathlib import Path
from time import process_time

from models.factory import calibrated_ensemble
from models.forecaster import CandidateForecaster
from models.params import NetworkParams
from plb_ray.clock import monotonic_s
from plb_ray.control.record import Record
from plb_ray.domain.rates import medium_horizon, short_horizon
from tests.bench.machine import machine
from tests.tick_bench.world import DAY_S, STEP_S, World

GOALS_S = {(10_000, 100): 2.0, (100_000, 1_000): 20.0}
SIZES = ("10000x100:14", "100000x1000:1")
WARM_UP = 2  # ticks: the first one learns no costs, the second one has no forecast that held
LEARNT_FROM = 200  # order params that a network learns from
TRAINING = NetworkParams(steps=150, budget_s=60.0)


@dataclass
class Figures:
    """What was measured of one size; one entry a tick after the warm-up."""

    order_params: int
    shards: int
    days: float
    network: bool
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    record_cpu_s: list[float] = field(default_factory=list)
    moves: list[int] = field(default_factory=list)
    load_before: float = 0.0
    load_after: float = 0.0

    @property
    def goal_s(self) -> float | None:
        return GOALS_S.get((self.order_params, self.shards))


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    about = machine()
    _say("  ".join(f"{name}: {value}" for name, value in about.items()))
    found = [asyncio.run(measured(size, options.ticks, network=options.network)) for size in options.size or SIZES]
    for figures in found:
        _say(_line(figures))
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": about, "sizes": [asdict(each) for each in found]}, indent=1))
    return 0


async def measured(size: str, ticks: int, *, network: bool) -> Figures:
    """Return the figures of one size, as in "10000x100:14": order params, shards, days of history."""
    counts, _, days = size.partition(":")
    order_params, shards = (int(each) for each in counts.split("x"))
    figures = Figures(order_params, shards, float(days), network, load_before=os.getloadavg()[0])
    with tempfile.TemporaryDirectory() as folder:
        world = await World.open(Path(folder), order_params, shards, int(float(days) * DAY_S) // STEP_S)
        if network:
            await asyncio.to_thread(_train, world)
        with _counted() as record_s:
            for tick in range(WARM_UP + ticks):
                world.queue.pass_step()
                record_s.clear()
                began_s, cpu_s = monotonic_s(), process_time()
                decision = await world.loop.tick()
                wall_s, cpu_s = monotonic_s() - began_s, process_time() - cpu_s
                await asyncio.sleep(0)
                if tick >= WARM_UP:
                    figures.wall_s.append(wall_s)
                    figures.cpu_s.append(cpu_s)
                    figures.record_cpu_s.append(sum(record_s.values()))
                    figures.moves.append(len(decision.moves))
        await world.close()
    figures.load_after = os.getloadavg()[0]
    return figures


def _train(world: World) -> None:
    """Let networks serve both horizons; how well they foresee is of no matter here."""
    history = world.history.view(None).rows(world.queue.names[:LEARNT_FROM])
    for horizon in (short_horizon(STEP_S), medium_horizon(STEP_S)):
        forecaster = CandidateForecaster(calibrated_ensemble(1, TRAINING))
        forecaster.fit(history, horizon)
        world.pool._serving[horizon.name] = forecaster


@contextmanager
def _counted():
    """Count the CPU time that the record takes, by method, while the block runs."""
    spent, kept = defaultdict(float), {name: getattr(Record, name) for name in ("settle", "keep")}

    def counted(name, method):
        @wraps(method)
        async def call(*args):
            began_s = process_time()
            try:
                return await method(*args)
            finally:
                spent[name] += process_time() - began_s

        return call

    for name, method in kept.items():
        setattr(Record, name, counted(name, method))
    try:
        yield spent
    finally:
        for name, method in kept.items():
            setattr(Record, name, method)


def _line(figures: Figures) -> str:
    goal = f", goal {figures.goal_s:g} s" if figures.goal_s else ""
    share = sum(figures.record_cpu_s) / sum(figures.cpu_s)
    by = "networks" if figures.network else "baseline"
    return (
        f"{figures.order_params} x {figures.shards}, {figures.days:g} days, {by}: wall {_spread(figures.wall_s)} s{goal}; "
        f"CPU {_spread(figures.cpu_s)} s, of it the record {share:.1%}; moves {figures.moves}; "
        f"load {figures.load_before:.1f} to {figures.load_after:.1f} on {len(os.sched_getaffinity(0))} cores"
    )


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f"{ordered[0]:.2f} / {ordered[len(ordered) // 2]:.2f} / {ordered[-1]:.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.tick_bench", description=__doc__)
    parser.add_argument("--size", action="append", metavar="KxS:DAYS", help=f"default: {' and '.join(SIZES)}")
    parser.add_argument("--ticks", type=int, default=5)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
