"""A fleet for many steps: most of them never bind, so they are taken in only when a fleet found without them breaks one.

    chosen = some steps far from each other, and the steps with the highest total load, by resource
    repeat:  plan the cheapest fleet for the chosen steps, beginning with the allocation of the last one;
             stop if its allocation holds at every step; else choose the worst broken steps too

Leaving steps out only makes the problem easier, so the bounds of the last plan hold for all steps. What is returned holds at
every step, checked by adding up; after ROUNDS all steps are taken in. This is constraint generation; the master problem is
`optimizer.fleet`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet import plan_fleet
from optimizer.fleet_pool import shard_loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.fleet_problem import FleetBudget, FleetPlan, FleetProblem

ROUNDS = 1
FIRST, MORE = 8, 4  # steps to begin with, and taken in per round
FEW_CELLS = 20_000  # order params x steps that are planned as they are
TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class SteppedFleet:
    """A fleet, and the steps that it was planned for.

    Attributes:
        plan: its `binding_step` is a step of the whole problem.
        steps: that were chosen, ascending; at the others its allocation holds as well.
    """

    plan: FleetPlan
    steps: tuple[int, ...]


def plan_over_steps(problem: FleetProblem, budget: FleetBudget, now_s: Callable[[], float]) -> SteppedFleet:
    """Return a cheap fleet that holds at every step; see `plan_fleet` for what it raises."""
    count, steps = problem.load.shape[:2]
    end_s = now_s() + budget.wall_s
    if count * steps <= FEW_CELLS or steps <= FIRST:
        return SteppedFleet(plan_fleet(problem, budget, now_s), tuple(range(steps)))
    chosen, plan = first_steps(problem), None
    for left in range(ROUNDS, 0, -1):
        share = replace(budget, wall_s=max(0.0, end_s - now_s()) / (left + 1))
        plan = plan_fleet(problem.at(chosen), share, now_s, plan)
        broken = broken_steps(problem, plan)
        if not broken.any():
            binding = chosen[plan.binding_step] if plan.binding_step >= 0 else -1
            return SteppedFleet(replace(plan, binding_step=binding), tuple(chosen))
        worst = np.argsort(-broken, kind="stable")[:MORE]
        chosen = sorted({*chosen, *worst[broken[worst] > 0].tolist()})
    share = replace(budget, wall_s=max(0.0, end_s - now_s()))
    return SteppedFleet(plan_fleet(problem, share, now_s, plan), tuple(range(steps)))


def broken_steps(problem: FleetProblem, plan: FleetPlan) -> NDArray[np.float64]:
    """Return (T,) by what share of its limit the fullest shard is above it at each step; 0 where all hold."""
    if not plan.origin.size:
        return np.zeros(problem.load.shape[1])
    use = shard_loads(problem, plan)
    limit = np.array([problem.types[kind].capacity for kind in plan.shard_type.tolist()]) * problem.headroom  # (B, R)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(use > 0, use / limit[:, None, :], 0.0)
    over = share.max(axis=(0, 2), initial=0.0) - 1
    return np.where(over > TOLERANCE, over, 0.0)


def first_steps(problem: FleetProblem) -> list[int]:
    """Return steps far from each other, and those at which some resource's total is highest."""
    steps = problem.load.shape[1]
    return sorted({*(np.arange(FIRST) * steps // FIRST).tolist(), *problem.load.sum(axis=0).argmax(axis=0).tolist()})
