"""On many initial mappings: `python -m tests.replay_bench.mappings TRACE [--mappings N] [--first N] [--json FILE]`.

Where a handful of bins holds all the excess, one initial mapping is a lottery: whoever happens to share a shard with what
jumps decides. So order params are hashed with a suffix, anew for each mapping, and every setting of every arm is replayed on
the same ones, with forecasts of one training. TRACE is a file, or `flights` for the packaged sample. 20 runs a mapping.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from plb_ray.domain.events import NO_EVENTS
from plb_ray.simulation.replay.physics import PhysicsParams
from plb_ray.simulation.replay.setting import WARM_UP, field_of
from plb_ray.simulation.stage import hashed
from plb_ray.simulation.trace import packaged_sample, read_trace
from service.demo import SAMPLE_LEAD_BINS, SAMPLE_MESSAGES_PER_FLIGHT
from service.replay_forecasts import forecasts_of
from service.replay_run import run_arms
from tests.replay_bench.__main__ import DAYS, SHARDS

ARMS = ("static", "reactive", "predictive", "oracle", "elastic")
UTILISATION = 0.8
SEED = 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace")
    parser.add_argument("--mappings", type=int, default=6)
    parser.add_argument("--first", type=int, default=1, help="suffix of the first one")
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--order-params", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    found = measured(options)
    for (arm, headroom), (excess, moves, over_s, hours) in means(found).items():
        line = f"{arm:12s} {headroom or '':5} {excess:12,.0f} avoidable messages {moves:6.1f} migrations"
        sys.stdout.write(f"{line} {over_s:8,.0f} shard-s over capacity {hours:8,.0f} shard-hours\n")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))
    return 0


def measured(options):
    """Return a row for each run: mapping, arm, headroom; avoidable excess, migrations, shard-s over capacity, hours."""
    on = _field(options)
    forecasts = forecasts_of(on, NO_EVENTS, SEED, lambda _: None)
    rows = []
    for suffix in range(options.first, options.first + options.mappings):
        owner = hashed(tuple(f"{name}#{suffix}" for name in on.trace.order_params), on.shard_ids)
        made = run_arms(replace(on, owner=owner), ARMS, forecasts, lambda _: None, os.cpu_count() or 1)
        for arm, runs in made.runs.items():
            for each in runs:
                totals = each.result.totals
                excess = max(0.0, totals.excess_messages - made.unavoidable)
                figures = (excess, totals.migrations, totals.overload_shard_s, totals.shard_s / 3600)
                rows.append((suffix, arm, each.headroom, *figures))
    return rows


def means(rows):
    """Return the means of a row's figures over the mappings, by arm and headroom."""
    settings = sorted({(row[1], row[2]) for row in rows}, key=lambda at: (ARMS.index(at[0]), at[1] or 0))
    return {at: np.mean([row[3:] for row in rows if row[1:3] == at], axis=0) for at in settings}


def _field(options):
    if options.trace == "flights":
        read = packaged_sample().led_by(SAMPLE_LEAD_BINS).scaled(SAMPLE_MESSAGES_PER_FLIGHT)
    else:
        read = read_trace(Path(options.trace))
    read = read if options.order_params is None else read.busiest(options.order_params)
    first_bin = max(int(read.bins * WARM_UP), read.bins - int(options.days * 86_400 / read.step_s))
    return field_of(read, SHARDS, UTILISATION, PhysicsParams(), None, first_bin)


if __name__ == "__main__":
    sys.exit(main())
