"""How the frontier of utilisation against migration cost is measured: one row for the whole, one for each target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.frontier import frontier
from plb_ray.clock import monotonic_s
from tests.bench.judge import ROUNDING, judge
from tests.bench.memory import peak_mb, reset_peak
from tests.bench.rows import instance, over


def measure_frontier(case, seed):
    """Measure a frontier; `faults` counts points that are not what they say."""
    problem = instance(case, seed)
    reset_peak()
    began_s = monotonic_s()
    points = frontier(problem, case.targets)
    whole = {"who": "planner", "seed": seed, "elapsed_s": monotonic_s() - began_s, "peak_mb": peak_mb()}
    rows = [_target(problem, point, seed) for point in points]
    whole["reached"] = sum(row["reached"] for row in rows)
    whole["over_bound"] = max((row["over_bound"] for row in rows if row["reached"]), default=None)
    whole["faults"] = sum(row["faults"] for row in rows)
    return [whole, *rows]


def _target(problem, point, seed):
    """Return one point's row."""
    lowered = replace(problem, headroom=np.minimum(problem.headroom, point.target))
    verdict = judge(lowered, point.shard_of)
    faults = [
        verdict.sound != point.reached,
        not np.isclose(verdict.cost, point.cost),
        not np.isclose(verdict.max_utilisation, point.max_utilisation, rtol=ROUNDING),
        point.bound > point.cost * (1 + 1e-9),
    ]
    return {
        "who": f"target {point.target:g}",
        "seed": seed,
        "elapsed_s": point.solve_s,
        "reached": int(point.reached),
        "cost": verdict.cost,
        "bound": point.bound,
        "over_bound": over(point.cost, point.bound),
        "max_utilisation": verdict.max_utilisation,
        "moves": verdict.moves,
        "faults": sum(faults),
    }
