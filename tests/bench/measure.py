"""How each kind of case is measured: one function per kind, from a case and a seed to rows (see `rows.py`)."""

from __future__ import annotations

from dataclasses import replace

from tests.bench import exact
from tests.bench.baselines import RULES
from tests.bench.fleets import measure_fleet, measure_fleet_steps, measure_fleet_types
from tests.bench.frontiers import measure_frontier
from tests.bench.judge import judge
from tests.bench.rows import answered, balancers, instance, over, planned


def measure_relief(case, seed):
    """Measure the planner, the greedy balancers, and the planner with less time."""
    problem = instance(case, seed)
    row, _ = planned(problem, seed)
    rows = [row, *balancers(problem, seed)]
    for rule in ("cost-ratio", "adaptive-ratio"):
        greedy = rows[1 + RULES.index(rule)]
        if row["overload"] == greedy["overload"] == 0 < greedy["cost"]:
            row[f"of_{rule}"] = row["cost"] / greedy["cost"]
            row[f"bound_of_{rule}"] = row["bound"] / greedy["cost"]  # no plan can be below
    if case.soon_s:
        soon = replace(problem, budget=replace(problem.budget, wall_s=case.soon_s))
        rows.append(planned(soon, seed, "planner, soon")[0])
    return rows


def measure_exact(case, seed):
    """Measure the planner, the greedy balancers and the naive exact models side by side."""
    problem = instance(case, seed)
    row, _ = planned(problem, seed)
    models = [
        answered(problem, exact.cp_sat(problem, case.others_s), "naive CP-SAT", seed),
        answered(problem, exact.math_opt(problem, case.others_s), "naive HiGHS", seed),
    ]
    costs = [model["cost"] for model in models if "cost" in model]
    row["over_best"] = over(row["cost"], min(costs)) if costs else None
    return [row, *balancers(problem, seed), *models]


def measure_oracle(case, seed):
    """Measure how far above the proven optimum the planner is; rows of unproven optima carry no ratio."""
    problem = instance(case, seed)
    row, _ = planned(problem, seed)
    proof = exact.cp_sat(problem, case.others_s)
    against(row, answered(problem, proof, "naive CP-SAT", seed))
    if proof.owner is None:
        row["overload"] = None  # the goal is zero overload where it exists
    return [row, answered(problem, proof, "naive CP-SAT", seed)]


def against(row, proof):
    """Write into the planner's row how it compares with a proven optimum; more overload than there is not optimal."""
    if proof["status"] == exact.OPTIMAL:
        as_little = row["overload"] <= proof["overload"] * (1 + 1e-6)
        row["over_optimum"] = over(row["cost"], proof["cost"]) if as_little else None
        row["optimal"] = float(as_little and row["cost"] <= proof["cost"] + 1e-6)
        row["bound_holds"] = float(row["bound"] <= proof["cost"] + 1e-6)


def measure_steps(case, seed):
    """Measure a re-plan over many steps, and the greedy balancers."""
    problem = instance(case, seed)
    return [planned(problem, seed)[0], *balancers(problem, seed)]


def measure_machines(case, seed):
    """Measure least overload, then fewest moves; the smallest against an exact model."""
    problem = instance(case, seed)
    before = judge(problem, problem.current)
    row, _ = planned(problem, seed)
    row["overload_before"] = before.overload
    rows = [row, *balancers(problem, seed)]
    if case.recipe.processes <= 100:
        proof = exact.oracle(problem, case.others_s)
        rows.append(answered(problem, proof, "naive exact", seed))
        if proof.status == exact.OPTIMAL:
            row["over_least"] = over(row["overload"], rows[-1]["overload"])
            against(row, rows[-1])
    return rows


KINDS = {
    "relief": measure_relief,
    "exact": measure_exact,
    "oracle": measure_oracle,
    "steps": measure_steps,
    "machines": measure_machines,
    "frontier": measure_frontier,
    "fleet": measure_fleet,
    "fleet-types": measure_fleet_types,
    "fleet-steps": measure_fleet_steps,
}


def measure(case, seed):
    """Return the rows of one case and seed."""
    return KINDS[case.kind](case, seed)
