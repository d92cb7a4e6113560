"""Measure it: `python -m tests.retrain_bench [--order-params N] [--days N] [--ticks N] [--json FILE]`.

A pool of two actors trains and serves the real forecasters. A tick asks it for both horizons of all order params at once, as
the control loop does. Ticks are measured while nothing else runs, then while a retraining job trains every group anew, then
after it. What counts is the machine: state cores and load beside the figures (the output does).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from models.baseline import seasonal_naive
from models.factory import make_forecaster
from plb_ray.clock import monotonic_s
from plb_ray.cluster.forecasters import PoolSettings, RayForecasterPool
from plb_ray.cluster.jobs import JobServer, RayRetrainings
from plb_ray.cluster.retraining import PartState, RetrainPlace, RetrainRequest, State
from plb_ray.cluster.runtime import cluster_address, start_ray, stop_ray
from plb_ray.domain.rates import RateHistory, medium_horizon, short_horizon
from plb_ray.history.store import HistoryLimits, HistoryStore
from tests.retrain_bench.figures import summary, table

STEP_S = 600
DAY_S = 86_400
START_S = 20_000 * DAY_S
SEED = 1
PAUSE_S = 0.2
WARM_UP_TICKS = 10
BESIDE = 10  # so many times the ticks at most while the retraining runs: all of it is to be seen


def traffic(order_params: int, days: int) -> RateHistory:
    """Return rates with a daily rhythm, sizes over two orders of magnitude, and Poisson noise."""
    rng = np.random.default_rng(SEED)
    steps = days * DAY_S // STEP_S
    hour = np.arange(steps) * STEP_S / 3600
    size = 10.0 ** rng.uniform(-1, 1, (order_params, 1))
    phase = rng.uniform(0, 24, (order_params, 1))
    mean = size * (1.2 + np.sin((hour - phase) / 24 * 2 * np.pi))
    rates = (rng.poisson(mean * STEP_S) / STEP_S).astype(np.float32)
    return RateHistory(tuple(f"op-{row}" for row in range(order_params)), START_S, STEP_S, rates)


async def measured(pool, history, ticks, goes_on=lambda: True):
    """Return (ticks,) seconds of each tick, and the share of rows that networks answered; ends early if told so."""
    horizons = (short_horizon(STEP_S), medium_horizon(STEP_S))
    seconds, by_network, rows = [], 0, 0
    while len(seconds) < ticks and goes_on():
        began_s = monotonic_s()
        made = await asyncio.gather(*(pool.forecast(history, horizon) for horizon in horizons))
        seconds.append(monotonic_s() - began_s)
        sources = [source for forecast in made for source in forecast.sources]
        by_network += sum(source != "seasonal_naive" for source in sources)
        rows += len(sources)
        await asyncio.sleep(PAUSE_S)
    return np.array(seconds), by_network / max(1, rows)


async def trained(pool, history):
    """Train every group once, as a balancer does by itself."""
    pool.start_training(history, (short_horizon(STEP_S), medium_horizon(STEP_S)))
    while True:
        status = await pool.training()
        if len(status) == 2 and all(each.fraction == 1.0 for each in status):
            return [each.message for each in status]
        await asyncio.sleep(0.5)


async def run(options, state: Path) -> list[dict]:
    history = traffic(options.order_params, options.days)
    store = HistoryStore.open(state / "history", STEP_S, HistoryLimits())
    store.import_history(history)
    store.close()
    place = RetrainPlace(state, SEED, float(DAY_S))
    pool = RayForecasterPool(make_forecaster, seasonal_naive, place.networks, SEED, PoolSettings(actors=options.actors))
    began_s = monotonic_s()
    said(f"first training: {await trained(pool, history)}, {monotonic_s() - began_s:.0f} s")
    retrainings = RayRetrainings(place, JobServer(cluster_address()))
    await measured(pool, history, WARM_UP_TICKS)
    rows = [summary("alone", *await measured(pool, history, options.ticks))]
    record = await asyncio.to_thread(retrainings.start, RetrainRequest())
    record = await under_way(retrainings, record)
    seconds, share = await measured(pool, history, BESIDE * options.ticks, lambda: not over(retrainings, record))
    rows.append(summary("with a retraining", seconds, share))
    ended = retrainings.find(record.retraining_id)
    said(f"retraining: {ended.state} after {len(seconds)} ticks, {ended.fraction:.0%} of it done")
    while not over(retrainings, record):  # noqa: ASYNC110  it happens in another process
        await asyncio.sleep(1.0)
    ended = retrainings.find(record.retraining_id)
    took = [part.took_s for part in ended.parts if part.took_s is not None]
    said(f"retraining: {ended.state} {ended.error}; seconds by part: {', '.join(f'{each:.0f}' for each in took)}")
    rows.append(summary("after it", *await measured(pool, history, options.ticks)))
    await pool.close()
    return rows


async def under_way(retrainings, record):
    """Return the retraining once a network is being trained."""
    while True:
        found = await asyncio.to_thread(retrainings.find, record.retraining_id)
        if found.state.over:
            raise SystemExit(f"the retraining is {found.state}: {found.error}")
        if found.state is State.RUNNING and any(part.state is PartState.TRAINING and part.where for part in found.parts):
            return found
        await asyncio.sleep(0.2)


def over(retrainings, record) -> bool:
    """Return whether it has ended, from its file alone: asking the job server would cost time between ticks."""
    return retrainings.recorded(record.retraining_id).state.over


def said(words: str) -> None:
    sys.stderr.write(words + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.retrain_bench", description=__doc__)
    parser.add_argument("--order-params", type=int, default=200)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument(
        "--ticks",
        type=int,
        default=200,
        help="of the phases before and after; the one beside a retraining lasts as long as that does",
    )
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    machine = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0], "seed": SEED}
    start_ray(job_server=True)
    with tempfile.TemporaryDirectory(prefix="plb-retrain-bench-") as folder:
        rows = asyncio.run(run(options, Path(folder)))
    stop_ray()
    sys.stdout.write(f"{options.order_params} order params, {options.days} days of {STEP_S} s, {machine}\n{table(rows)}\n")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
