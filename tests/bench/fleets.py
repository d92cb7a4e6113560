"""How capacity planning is measured: the fewest shards against the proven bound, and what knowing the time of day saves."""

from __future__ import annotations

import numpy as np

from optimizer.fleet import FleetBudget, FleetProblem, ShardType, plan_fleet, verify_fleet
from optimizer.jit import kernel
from plb_ray.clock import monotonic_s
from tests.bench.instances import RESOURCES, rows_of, use_of
from tests.bench.judge import ROUNDING
from tests.bench.memory import peak_mb, reset_peak
from tests.bench.steps import cargo

ALIKE = (ShardType("shard", (1.0, 1.0, 1.0)),)
MIXED = (
    ShardType("small", (0.6, 0.5, 0.6), price=0.62),
    ShardType("even", (1.0, 1.0, 1.0), price=1.0),
    ShardType("large", (2.0, 2.2, 1.8), price=1.9),
)
ALLOWED = 0.005  # a fleet is good enough within that share of the bound, or at the next whole number


def measure_fleet(case, seed):
    """Measure the fewest shards of one type, and what first-fit decreasing takes."""
    problem = fleet_problem(case.recipe, seed, ALIKE)
    began_s = monotonic_s()
    count = first_fit_decreasing(problem)
    greedy = {"who": "first-fit decreasing", "seed": seed, "elapsed_s": monotonic_s() - began_s, "shards": count}
    row = packed(problem, case.wall_s, seed)
    return [row, greedy | {"over_bound": count / row["shards_bound"]}]


def measure_fleet_types(case, seed):
    """Measure the cheapest fleet of three types."""
    return [packed(fleet_problem(case.recipe, seed, MIXED), case.wall_s, seed)]


def measure_fleet_steps(case, seed):
    """Measure the fewest shards by the sum at each step, and by the sum of peaks; `saved` is the share saved."""
    problem = fleet_problem(case.recipe, seed, ALIKE)
    row, peaks = packed(problem, case.wall_s, seed), packed(problem.peaks_only(), case.wall_s, seed, "sum of peaks")
    row["saved"] = 1 - row["shards"] / peaks["shards"]
    row["saved_proven"] = 1 - row["shards"] / peaks["shards_bound"]
    return [row, peaks]


def fleet_problem(recipe, seed, types):
    """Return the problem of a recipe."""
    load, group = cargo(recipe, seed)
    names = tuple([f"op-{k}" for k in range(len(load))])
    return FleetProblem(names, RESOURCES, load, types, spread_group=group)


def packed(problem, wall_s, seed, who="planner"):
    """Plan a fleet, check it, and return the row."""
    reset_peak()
    began_s = monotonic_s()
    plan = plan_fleet(problem, FleetBudget(wall_s=wall_s, seed=seed), monotonic_s)
    elapsed_s = monotonic_s() - began_s
    most = max(plan.shards_lower_bound + 1, int(plan.shards_lower_bound * (1 + ALLOWED)))
    return {
        "who": who,
        "seed": seed,
        "status": plan.status.value,
        "elapsed_s": elapsed_s,
        "peak_mb": peak_mb(),
        "shards": plan.shards,
        "shards_bound": plan.shards_lower_bound,
        "beyond_allowed": plan.shards - most,
        "price": plan.price,
        "over_bound": plan.price / plan.lower_bound,
        "faults": len(verify_fleet(problem, plan)) + _own_faults(problem, plan),
    }


def _own_faults(problem, plan):
    """Return how many shards are too full and how many members of groups are beside another, by own arithmetic."""
    steps = problem.load.shape[1]
    parts = np.bincount(plan.origin, minlength=len(problem.load))
    load = (problem.load.reshape(len(parts), -1) / np.maximum(parts, 1)[:, None])[plan.origin]
    limit = np.array([one.capacity for one in problem.types])[plan.shard_type] * problem.headroom  # (B, R)
    full = use_of(load, plan.shard_of, len(limit)) > np.tile(limit, (1, steps)) * (1 + ROUNDING)
    group = problem.spread_group[plan.origin]
    places = np.stack([group, plan.shard_of], axis=1)[group >= 0]
    lost = int((parts == 0).sum()) - len(plan.leftovers)
    return int(full.any(axis=1).sum()) + len(places) - len(np.unique(places, axis=0)) + lost


def first_fit_decreasing(problem):
    """Return how many shards first-fit decreasing (by the mean over the columns) takes."""
    load = problem.load.reshape(len(problem.load), -1)
    order = np.argsort(-load.mean(axis=1), kind="stable")
    start, member = rows_of(problem.spread_group)
    return _first_fit(np.ascontiguousarray(load), order, problem.spread_group, start, member)


@kernel
def _first_fit(load, order, group, start, member):
    owner = np.full(load.shape[0], -1, np.int64)
    use = np.zeros((16, load.shape[1]))
    shards = 0
    for k in order:
        s = 0
        while s < shards and not (_has_room(use[s], load[k]) and _alone(k, s, group, start, member, owner)):
            s += 1
        if s == use.shape[0]:
            use = np.concatenate((use, np.zeros(use.shape)))
        shards = max(shards, s + 1)
        use[s] += load[k]
        owner[k] = s
    return shards


@kernel
def _has_room(use, load):
    full = False
    for column in range(use.size):
        full = full or use[column] + load[column] > 1
    return not full


@kernel
def _alone(k, s, group, start, member, owner):
    if group[k] >= 0:
        for m in range(start[group[k]], start[group[k] + 1]):
            if owner[member[m]] == s:
                return False
    return True
