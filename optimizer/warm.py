"""Compile every kernel once, so that no plan waits for it: `python -m optimizer.warm`, part of the set-up.

Compiled code is kept beside the modules (or in the user's cache); a second call takes a second.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optimizer.anneal import anneal, energy_scale
from optimizer.board import fixed_of, state_of
from optimizer.eviction import evict
from optimizer.fleet import FleetBudget, FleetProblem, ShardType, plan_fleet
from optimizer.fleet_near import near_home
from optimizer.packing import pack
from optimizer.placement import place, place_anyway, tidy
from optimizer.polish import polish
from optimizer.repair import lists_of, memory_of, repair
from optimizer.sequencing import waves
from plb_ray.clock import monotonic_s
from plb_ray.domain.plan import PlacementRules, PlanProblem


def warm() -> None:
    """Run each kernel on a packing of four order params and two shards."""
    packing = pack(_tiny())
    eviction = evict(packing)
    fixed, state = fixed_of(packing, eviction.forced), state_of(packing, packing.current)
    rows = np.flatnonzero(eviction.leaves)
    place(fixed, state, rows)
    place_anyway(fixed, state, rows)
    lists, memory = lists_of(packing), memory_of(packing, state, 1)
    repair(fixed, state, lists, memory, 4)
    best = state.shard_of.copy()
    polish(fixed, state, lists, memory, eviction.lower, best, float(memory.spent.sum()), 1, 4)
    scale, cost = energy_scale(packing)
    anneal(fixed, state, memory, scale, cost, best, 10, 0.1, 0.01)
    tidy(fixed, state, np.flatnonzero(best != packing.current))
    waves(packing, best)


def warm_fleet() -> None:
    """Run each kernel of capacity planning, with certain and with uncertain loads."""
    load = np.array([0.6, 0.5, 0.5, 0.1, 0.2])[:, None, None]
    problem = FleetProblem(("a", "b", "c", "d", "e"), ("cpu",), load, (ShardType("one", (1.0,)),))
    for each in (problem, replace(problem, excess=0.1 * load, correlation=0.1)):
        plan = plan_fleet(each, FleetBudget(wall_s=60.0, work=100_000), monotonic_s)
        near_home(
            each, plan, np.ones((plan.shards, 1)), np.ones((1, plan.shards), dtype=np.bool_), np.zeros(5, dtype=np.int64)
        )


def _tiny() -> PlanProblem:
    capacity = np.ones((2, 1))
    return PlanProblem(
        order_params=("a", "b", "c", "d"),
        shards=("s1", "s2"),
        resources=("cpu",),
        load=np.array([0.6, 0.5, 0.1, 0.2])[:, None, None],
        capacity=capacity,
        headroom=np.ones(2),
        current=np.array([0, 0, 0, 1]),
        move_cost=np.ones(4),
        rules=PlacementRules.none(4, 2),
        overload_weight=1 / capacity,
    )


if __name__ == "__main__":
    warm()
    warm_fleet()
