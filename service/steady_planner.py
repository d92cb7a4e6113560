"""The planner of replays and scenarios: a budget of work instead of time, so that its plans do not depend on the machine."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from optimizer.planner import CompositePlanner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.domain.plan import Move, Plan, PlanProblem

WORK = 1000
"""Of the planner, for a plan."""

EFFORT_S = 0.05
"""Of the exact solver, for a plan, in seconds of work that are counted rather than measured."""

PATIENCE_S = 3600.0
"""How far the planner's clock goes back at each look."""


class SteadyPlanner:
    """Implements `plb_ray.control.ports.Planner` with a budget of work: the same plan on any machine."""

    def plan(self, problem: PlanProblem) -> Plan:
        """See `Planner`."""
        plan = _patient().plan(replace(problem, budget=replace(problem.budget, wall_s=EFFORT_S, work=WORK)))
        return replace(plan, solve_s=0.0, first_sound_s=None)

    def restated(self, problem: PlanProblem, moves: Sequence[Move]) -> Plan:
        """See `Planner`."""
        return replace(_patient().restated(problem, moves), solve_s=0.0, first_sound_s=None)


def _patient() -> CompositePlanner:
    """Return a planner by whose clock no plan is ever late: EFFORT_S bounds work, and no time."""
    return CompositePlanner(count(0.0, -PATIENCE_S).__next__)
