"""The exact model of a packing problem for OR-Tools CP-SAT.

Stating and solving one model lives here; the order of goals, the budget and what the answers prove are in `lexicographic`.

Data        integers of `presolve`: up(k, s, c), down(k, s, c) units of a share, room(s, c); cost in whole numbers
Variables   x[k, s] in {0, 1}     order param k arrives on shard s (s != current[k])
            leave[k] in {0, 1}    k leaves its current shard
            over[s, c] >= 0       units of overload, only on hot shards and only when overload may stay
            margin_from, margin_to  highest utilisation of the hot shards, and of the shards that receive
Constraints sum over s of x[k, s] = leave[k]
            sum over k of up x[k, s] - sum over k on s of down leave[k]  <=  room(s, c) + over[s, c]
            sum over k of leave[k] <= budget_moves
            when all overload is to end: over = 0, and what `bound` proved to leave each hot shard leaves it (valid cuts)
Objectives  one at a time: sum of over; sum of cost[k] leave[k]; margin_from + margin_to
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ortools.sat.python import cp_model

from optimizer.presolve import UNITS, Rounding, Scope, ShardRows, kept_columns, shard_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.bound import EvictionBound
    from optimizer.packing import Packing

COST_UNITS = 100_000_000  # of the dearest move, when costs are not whole numbers
MARGIN_UNITS = 1_000  # resolution of the margins: 0.1 % of a capacity is enough for a tie-break
MARGIN_MAX = 100 * MARGIN_UNITS
LinearExpr = cp_model.LinearExpr


@dataclass(frozen=True)
class Effort:
    """How long one solve may take.

    Attributes:
        deterministic_s: limit in CP-SAT's deterministic time, the same on every machine.
        wall_s: limit in seconds of real time; hitting it makes the answer depend on the machine.
        seed: of the solver's search.
    """

    deterministic_s: float
    wall_s: float
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one solve gave.

    Attributes:
        shard_of: (K,) best allocation found; None if none was.
        optimal: the objective is proven least for this model.
        objective, bound: in the integer units of the objective.
        infeasible: proven that the model has no solution.
    """

    shard_of: NDArray[np.int64] | None
    optimal: bool
    objective: int
    bound: int
    infeasible: bool


class PackingModel:
    """One CP-SAT model. State an objective, add a hint, solve; then cap that objective and state the next."""

    def __init__(self, packing: Packing, scope: Scope, rounding: Rounding, ends_overload: EvictionBound | None) -> None:
        """Build variables and constraints.

        Args:
            packing: the problem.
            scope: what may be decided.
            rounding: SAFE to find plans, RELAXED to prove bounds.
            ends_overload: given, no overload may stay, and these bounds are added as cuts; None allows it on hot shards.
        """
        self.packing = packing
        self.scope = scope
        self.model = cp_model.CpModel()
        self.cost_factor = _cost_factor(packing.cost)
        self.cost_units = np.floor(packing.cost[scope.rows] * self.cost_factor + 1e-9).astype(np.int64)
        self.leave = [self.model.new_bool_var("") for _ in scope.rows]
        self.arrive = self._new_arrivals()  # (n, S), None where k may not arrive
        self.over: list[cp_model.IntVar] = []
        self._rows = self._shard_rows(rounding, ends_overload is not None)
        for rows in self._rows:
            self._add_rows(rows, soft=ends_overload is None and bool(packing.hot[rows.shard]))
        self.model.add(cp_model.LinearExpr.sum(self.leave) <= packing.budget_moves)
        if ends_overload is not None:
            self._add_cuts(ends_overload)

    def _new_arrivals(self) -> NDArray[np.object_]:
        home = self.packing.current[self.scope.rows]
        arrive = np.full((self.scope.rows.size, self.packing.shards), None, dtype=object)
        for shard in self.scope.shards:
            for position in np.flatnonzero(home != shard):
                arrive[position, shard] = self.model.new_bool_var("")
        for leave, ways in zip(self.leave, arrive, strict=True):
            self.model.add(LinearExpr.sum([way for way in ways if way is not None]) == leave)
        return arrive

    def _shard_rows(self, rounding: Rounding, hard: bool) -> list[ShardRows]:  # noqa: FBT001 - private, named at the call's line
        """Return the rows of the shards whose load the scope can change."""
        kept, every = kept_columns(self.packing), np.arange(self.packing.load.shape[1])
        involved = np.union1d(self.scope.shards, self.packing.current[self.scope.rows]).tolist()
        columns = {shard: kept if hard or not self.packing.hot[shard] else every for shard in involved}
        return [shard_rows(self.packing, self.scope, shard, columns[shard], rounding) for shard in involved]

    def _add_rows(self, rows: ShardRows, *, soft: bool) -> None:
        variables = self._row_variables(rows)
        for column, room in enumerate(rows.room_units.tolist()):
            units = np.concatenate([rows.arriving_units[:, column], -rows.leaving_units[:, column]])
            change = LinearExpr.weighted_sum(variables, units.tolist())
            if soft:
                most = max(0, int(rows.arriving_units[:, column].sum()) - room)
                over = self.model.new_int_var(0, most, "")
                self.over.append(over)
                self.model.add(change - over <= room)
            else:
                self.model.add(change <= room)

    def _row_variables(self, rows: ShardRows) -> list[cp_model.IntVar]:
        return [*self.arrive[rows.arriving, rows.shard], *(self.leave[position] for position in rows.leaving)]

    def _add_cuts(self, bound: EvictionBound) -> None:
        """Add what is proven to leave each hot shard; it implies nothing new but lets the solver prove optimality early."""
        home = self.packing.current[self.scope.rows]
        for shard in np.flatnonzero(self.packing.hot):
            rows = np.flatnonzero(home == shard)
            leaving = [self.leave[row] for row in rows]
            self.model.add(LinearExpr.sum(leaving) >= int(bound.moves[shard]))
            rounding = 0 if self.cost_factor == 1.0 else rows.size  # each cost was rounded down by less than one unit
            least = int(np.ceil(bound.cost[shard] * self.cost_factor - 1e-6)) - rounding
            self.model.add(LinearExpr.weighted_sum(leaving, self.cost_units[rows].tolist()) >= least)

    def _overload(self) -> cp_model.LinearExprT:
        return LinearExpr.sum(self.over)

    def _cost(self) -> cp_model.LinearExprT:
        return LinearExpr.weighted_sum(self.leave, self.cost_units.tolist())

    def cap_overload(self, units: int) -> None:
        """Allow at most this much overload from now on."""
        if self.over:
            self.model.add(self._overload() <= units)

    def cap_cost(self, units: int) -> None:
        """Allow at most this cost from now on."""
        self.model.add(self._cost() <= units)

    def minimise_overload(self) -> None:
        """State goal 1."""
        self.model.minimize(self._overload())

    def minimise_cost(self) -> None:
        """State goal 2."""
        self.model.minimize(self._cost())

    def minimise_spread(self) -> None:
        """State goal 3: as much margin as possible on the shards that give and on those that take."""
        source = self.model.new_int_var(0, MARGIN_MAX, "")
        destination = self.model.new_int_var(0, MARGIN_MAX, "")
        for rows in self._rows:
            if self.packing.hot[rows.shard]:
                self._add_margin(rows, source, None)
            elif rows.arriving.size:
                self._add_margin(rows, destination, self._takes(rows))
        self.model.minimize(source + destination)

    def _takes(self, rows: ShardRows) -> cp_model.IntVar:
        """Return a boolean that is true when something arrives on the shard."""
        takes = self.model.new_bool_var("")
        for variable in self.arrive[rows.arriving, rows.shard]:
            self.model.add_implication(variable, takes)
        return takes

    def _add_margin(self, rows: ShardRows, margin: cp_model.IntVar, only_if: cp_model.IntVar | None) -> None:
        full = round(self.packing.headroom * UNITS)
        variables = self._row_variables(rows)
        for column, room in enumerate(rows.room_units.tolist()):
            units = np.concatenate([rows.arriving_units[:, column], -rows.leaving_units[:, column]])
            utilisation = LinearExpr.weighted_sum(variables, units.tolist()) + (full - room)
            constraint = self.model.add(utilisation <= (UNITS // MARGIN_UNITS) * margin)
            if only_if is not None:
                constraint.only_enforce_if(only_if)

    def hint(self, shard_of: NDArray[np.int64]) -> None:
        """Start the search from this allocation."""
        self.model.clear_hints()  # type: ignore[no-untyped-call]  # ortools leaves it without annotations
        for position, row in enumerate(self.scope.rows):
            target = int(shard_of[row])
            self.model.add_hint(self.leave[position], target != self.packing.current[row])
            for shard, way in enumerate(self.arrive[position]):
                if way is not None:
                    self.model.add_hint(way, shard == target)

    def solve(self, effort: Effort) -> Outcome:
        """Search; deterministic as long as the wall limit is not hit."""
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = effort.seed
        solver.parameters.cp_model_presolve = False  # ours has done it; CP-SAT's takes longer than the search
        solver.parameters.max_deterministic_time = max(1e-3, effort.deterministic_s)
        solver.parameters.max_time_in_seconds = max(1e-3, effort.wall_s)
        status = solver.solve(self.model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            bound = _whole_bound(solver.best_objective_bound) if status == cp_model.UNKNOWN else 0
            return Outcome(None, optimal=False, objective=0, bound=bound, infeasible=status == cp_model.INFEASIBLE)
        return Outcome(
            shard_of=self._read(solver),
            optimal=status == cp_model.OPTIMAL,
            objective=round(solver.objective_value),
            bound=_whole_bound(solver.best_objective_bound),
            infeasible=False,
        )

    def _read(self, solver: cp_model.CpSolver) -> NDArray[np.int64]:
        shard_of = self.packing.current.copy()
        for position in range(self.scope.rows.size):
            if solver.boolean_value(self.leave[position]):
                ways = self.arrive[position]
                taken = (shard for shard, way in enumerate(ways) if way is not None and solver.boolean_value(way))
                shard_of[self.scope.rows[position]] = next(taken)
        return shard_of


def _whole_bound(bound: float) -> int:
    """Return the bound of a whole-number objective as a whole number, never above what is proven."""
    return int(np.ceil(bound - 1e-6)) if np.isfinite(bound) else 0


def _cost_factor(cost: NDArray[np.float64]) -> float:
    """Return the factor that makes costs whole numbers: 1 if they are, else COST_UNITS for the dearest."""
    whole = bool((cost == np.rint(cost)).all()) and float(cost.max(initial=1.0)) <= COST_UNITS
    return 1.0 if whole else COST_UNITS / float(cost.max(initial=1.0))
