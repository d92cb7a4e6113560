"""From a problem to rows: what is reported of a plan or of another balancer's answer.

A row is a dict of plain values with "who" and "seed"; a missing or None column was not measured. Every plan is checked by
the product's verifier (`faults`) and by `judge`; the time of those checks is not counted.
"""

from __future__ import annotations

import numpy as np

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.clock import monotonic_s
from plb_ray.domain.plan import PlanBudget
from tests.bench.baselines import RULES, balance
from tests.bench.instances import Recipe, snapshot
from tests.bench.judge import judge, owner_after
from tests.bench.machines import machines
from tests.bench.memory import peak_mb, reset_peak
from tests.bench.steps import Day, day


def instance(case, seed):
    """Return the plan problem of a case."""
    budget = PlanBudget(wall_s=case.wall_s, seed=seed)
    make = {Recipe: snapshot, Day: day}.get(type(case.recipe), machines)
    return make(case.recipe, seed, budget)


def planned(problem, seed, who="planner"):
    """Plan, and return the row and the shard of each order param."""
    reset_peak()
    began_s = monotonic_s()
    plan = CompositePlanner().plan(problem)
    elapsed_s, peak = monotonic_s() - began_s, peak_mb()
    owner = owner_after(problem, plan)
    row = {"who": who, "seed": seed, "status": plan.status.value, "first_s": getattr(plan, "first_sound_s", None)}
    row |= {"elapsed_s": elapsed_s, "peak_mb": peak, "bound": plan.bound} | _worth(problem, owner)
    row["hot_before"] = judge(problem, problem.current).hot
    row["over_bound"] = over(row["cost"], plan.bound)
    row["faults"] = len(PlanVerifier().check(problem, plan)) + _misreported(plan, row)
    return row, owner


def _worth(problem, owner):
    verdict = judge(problem, owner)
    return {
        "cost": verdict.cost,
        "moves": verdict.moves,
        "overload": verdict.overload,
        "hot": verdict.hot,
        "broken": verdict.broken + verdict.forbidden_moves,
    }


def _misreported(plan, row):
    """Return how many figures of a plan are not those of the judge."""
    return sum(
        [
            not np.isclose(plan.cost, row["cost"]),
            not np.isclose(plan.overload_after, row["overload"], rtol=1e-6, atol=1e-6),
            plan.broken_after != row["broken"],
            bool(row["overload"] == 0 and row["broken"] == 0 and plan.bound > plan.cost * (1 + 1e-9) + 1e-9),
        ]
    )


def over(cost, bound):
    """Return cost / bound; 1 if both are zero, infinite if only the bound is."""
    if bound > 0:
        return cost / bound
    return 1.0 if cost == 0 else float("inf")


def answered(problem, answer, who, seed):
    """Return the row of a baseline's or model's answer."""
    row = {"who": who, "seed": seed, "status": answer.status, "elapsed_s": answer.elapsed_s, "bound": answer.bound}
    return row if answer.owner is None else row | _worth(problem, answer.owner)


def balancers(problem, seed):
    """Return the rows of the greedy balancers."""
    rng = np.random.default_rng(seed)
    return [answered(problem, balance(problem, rule, rng), rule, seed) for rule in RULES]
