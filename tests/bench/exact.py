"""The naive exact model: a boolean per order param and shard, handed to CP-SAT or, through MathOpt, to HiGHS or SCIP.

Data
    load[k, c], limit[s, c], cost[k], current[k], and the shards open to k
Variables
    x[k, s] in {0, 1} for each shard s open to k, and its own
    over[s, c] >= 0, only when overload is allowed
Constraints
    sum over s of x[k, s] = 1;  x[k, current] = 1 if k is pinned;  sum over a spread group of x[k, s] <= 1 for each s
    sum over k of load[k, c] x[k, s] <= limit[s, c] + over[s, c]
Objective
    first: without overload, minimise the sum of cost[k] (1 - x[k, current[k]])
    if that is infeasible: minimise the weighted overload, then the cost at no more than that

The oracle of the tests, and what stands beside the planner in the benchmarks. Not modelled: forbidden pairs, running
migrations and mappings that already break a rule; `naive` asserts their absence.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from ortools.math_opt.python import mathopt
from ortools.sat.python import cp_model

from plb_ray.clock import monotonic_s
from tests.bench.baselines import Answer, open_to
from tests.bench.instances import rows_of

OPTIMAL, FEASIBLE, INFEASIBLE, NOTHING = "optimal", "feasible", "infeasible", "nothing found"


@dataclass(frozen=True, eq=False)
class Naive:
    """The model's arrays: booleans as pairs of row and shard, sorted by row; loads (K, D), limits (S, D)."""

    row: np.ndarray
    shard: np.ndarray
    home: np.ndarray  # (K,) position of x[k, current[k]]
    load: np.ndarray
    limit: np.ndarray
    weight: np.ndarray
    cost: np.ndarray
    spread: list[np.ndarray]  # sets of positions of which at most one may be 1

    def owner(self, values):
        """Return (K,) from the booleans' values."""
        chosen = np.flatnonzero(np.asarray(values) > 0.5)
        assert (self.row[chosen] == np.arange(len(self.cost))).all()
        return self.shard[chosen]


def naive(problem) -> Naive:
    """Return the model of a problem."""
    rules = problem.rules
    assert not len(rules.forbidden)
    assert problem.in_flight is None
    may = open_to(problem)[rules.zone_set]  # (K, S)
    assert may[np.arange(len(may)), problem.current].all()
    may[rules.pinned] = False
    may[np.arange(len(may)), problem.current] = True
    row, shard = np.nonzero(may)
    position = np.full(may.shape, -1)
    position[row, shard] = np.arange(row.size)
    start, member = rows_of(rules.spread_group)
    spread = [
        places[places >= 0]
        for g in range(start.size - 1)
        for places in position[member[start[g] : start[g + 1]]].T
        if (places >= 0).sum() > 1
    ]
    steps = problem.load.shape[1]
    return Naive(
        row=row,
        shard=shard,
        home=position[np.arange(len(may)), problem.current],
        load=problem.load.reshape(len(may), -1),
        limit=np.floor(np.tile(problem.capacity * problem.headroom[:, None], (1, steps)) * (1 + 1e-9)),
        weight=np.tile(problem.overload_weight, (1, steps)),
        cost=problem.move_cost,
        spread=spread,
    )


def cp_sat(problem, wall_s: float, *, seed: int = 1, workers: int = 2) -> Answer:
    """Solve without overload by CP-SAT. Loads and costs must be whole numbers."""
    began_s = monotonic_s()
    model, data = cp_model.CpModel(), naive(problem)
    x = [model.new_bool_var("") for _ in range(data.row.size)]
    first = np.searchsorted(data.row, np.arange(len(data.cost) + 1))
    for k in range(len(data.cost)):
        model.add_exactly_one(x[first[k] : first[k + 1]])
    for places in data.spread:
        model.add_at_most_one([x[p] for p in places])
    for places, loads, limit in _sums(data):
        model.add(cp_model.LinearExpr.weighted_sum([x[p] for p in places], loads.astype(np.int64).tolist()) <= int(limit))
    stay = cp_model.LinearExpr.weighted_sum([x[p] for p in data.home], data.cost.astype(np.int64).tolist())
    model.minimize(int(data.cost.sum()) - stay)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = max(0.1, wall_s - (monotonic_s() - began_s))
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed
    solver.parameters.linearization_level = 2
    solver.parameters.relative_gap_limit = 0.0
    code = solver.solve(model)
    status = {cp_model.OPTIMAL: OPTIMAL, cp_model.FEASIBLE: FEASIBLE, cp_model.INFEASIBLE: INFEASIBLE}.get(code, NOTHING)
    owner = data.owner([solver.boolean_value(v) for v in x]) if status in {OPTIMAL, FEASIBLE} else None
    return Answer(owner, max(0.0, solver.best_objective_bound), status, monotonic_s() - began_s)


def math_opt(problem, wall_s: float, *, solver: str = "HIGHS", overload: bool = False) -> Answer:
    """Solve by HiGHS or SCIP ("GSCIP").

    Args:
        problem: with whole mappings, see above.
        wall_s: for building and solving.
        solver: a name of MathOpt.
        overload: allow it, minimise it first, then the cost; `Answer.bound` is then the bound of the last stage.
    """
    began_s = monotonic_s()
    model = _Linear(naive(problem), overload=overload)
    status, bound, values = model.solve(solver, wall_s - (monotonic_s() - began_s))
    if overload and status == OPTIMAL:
        model.fix_overload()
        status, bound, values = model.solve(solver, wall_s - (monotonic_s() - began_s))
    owner = None if values is None else model.data.owner(values)
    return Answer(owner, max(0.0, bound), status, monotonic_s() - began_s)


def oracle(problem, wall_s: float) -> Answer:
    """Return the least cost without overload, by CP-SAT; if there is none, of the least overload, by SCIP."""
    answer = cp_sat(problem, wall_s)
    return math_opt(problem, wall_s, solver="GSCIP", overload=True) if answer.status == INFEASIBLE else answer


class _Linear:
    """The naive model in MathOpt."""

    def __init__(self, data: Naive, *, overload: bool) -> None:
        self.data = data
        self.model = mathopt.Model()
        self.x = [self.model.add_binary_variable() for _ in range(data.row.size)]
        self.over = {}
        first = np.searchsorted(data.row, np.arange(len(data.cost) + 1))
        for k in range(len(data.cost)):
            self._sum(range(first[k], first[k + 1]), None, 1.0, 1.0)
        for places in data.spread:
            self._sum(places, None, -np.inf, 1.0)
        for number, (places, loads, limit) in enumerate(_sums(data)):
            unit = 1.0 / max(1.0, limit)  # solvers keep constraints up to an absolute tolerance
            row = self._sum(places, loads * unit, -np.inf, limit * unit)
            if overload:
                self.over[number] = self.model.add_variable(lb=0.0)
                row.set_coefficient(self.over[number], -1.0)
        self._worth = data.weight.ravel() * np.maximum(1.0, data.limit.ravel())  # of one `unit`
        self._by_cost() if not overload else self._by_overload()

    def _sum(self, places, factors, lower, upper):
        row = self.model.add_linear_constraint(lb=lower, ub=upper)
        factors = np.ones(len(places)) if factors is None else factors
        for place, factor in zip(places, factors.tolist(), strict=True):
            row.set_coefficient(self.x[place], factor)
        return row

    def _by_cost(self) -> None:
        self.model.objective.clear()
        self.model.objective.is_maximize = False
        self.model.objective.offset = float(self.data.cost.sum())
        for place, cost in zip(self.data.home, self.data.cost.tolist(), strict=True):
            self.model.objective.set_linear_coefficient(self.x[place], -cost)

    def _by_overload(self) -> None:
        self.model.objective.is_maximize = False
        for number, variable in self.over.items():
            self.model.objective.set_linear_coefficient(variable, float(self._worth[number]))

    def fix_overload(self) -> None:
        """Bound the overload by the least one found, and minimise the cost."""
        row = self.model.add_linear_constraint(ub=self.least * (1 + 1e-7) + 1e-9)
        for number, variable in self.over.items():
            row.set_coefficient(variable, float(self._worth[number]))
        self._by_cost()

    def solve(self, solver: str, wall_s: float):
        """Return status, bound, and the booleans' values or None."""
        limits = mathopt.SolveParameters(time_limit=timedelta(seconds=max(0.1, wall_s)), relative_gap_tolerance=0.0)
        result = mathopt.solve(self.model, getattr(mathopt.SolverType, solver), params=limits)
        reason = result.termination.reason
        if not result.has_primal_feasible_solution():
            return (INFEASIBLE if reason == mathopt.TerminationReason.INFEASIBLE else NOTHING), 0.0, None
        self.least = result.objective_value()
        values = result.variable_values(self.x)
        optimal = reason == mathopt.TerminationReason.OPTIMAL
        return (OPTIMAL if optimal else FEASIBLE), result.termination.objective_bounds.dual_bound, values


def _sums(data: Naive):
    """Yield (positions, loads, limit) of every shard and column."""
    by_shard = np.argsort(data.shard, kind="stable")
    first = np.searchsorted(data.shard[by_shard], np.arange(len(data.limit) + 1))
    for s in range(len(data.limit)):
        places = by_shard[first[s] : first[s + 1]]
        for column in range(data.limit.shape[1]):
            yield places, data.load[data.row[places], column], data.limit[s, column]
