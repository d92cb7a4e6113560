"""An exact model of a packing, or of a part of one, for OR-Tools CP-SAT.

Data        loads, limits: the whole units of `optimizer.packing`; rows = order params that may move, the others stay where
            the incumbent has them; shards = where they may go besides their home and where they are
Variables   x[k, s] in {0, 1}     order param k is on shard s
            over[s, c] >= 0       overload, in steps of some units where the goal does not tell single ones apart
            crowd[g, s] >= 0      members of group g too many on s, only where the current mapping has them
Constraints sum over s of x[k, s] = 1
            sum over k of load[k, c] x[k, s]  <=  limit[s, c] - what stays there + step[s, c] over[s, c]
            sum over k in g of x[k, s]  <=  1 + crowd[g, s];  x[k, s] + x[j, s] <= 1 for k, j in g if k does not come from s
            sum over k of (1 - x[k, home k])  <=  moves_max
            cost that leaves s >= LB(s), where all overload is to end: a valid cut that lets the solver prove early
Objective   one at a time, each capped before the next: broken rules; overload; cost

Each row of the model is exact in units, so one model both finds plans and proves bounds; a bound speaks of the whole packing
only if every movable order param is in `rows` and every shard in `shards`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ortools.sat.python import cp_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing

LinearExpr = cp_model.LinearExpr
COST_UNITS = 10_000_000  # of the dearest move, when costs are not whole numbers
GRID = 2.0**44  # the overload of the incumbent is as much in the objective
SUM_MAX = 2.0**59  # what the objective may add up to
COEFFICIENT = 2.0**17  # of one step of overload, about: keeps the rounding of weights below 10^-5
SAME = 1e-6  # relative: overloads that differ by less are equal
WHOLE_COST_MAX = 1e12


@dataclass(frozen=True)
class Effort:
    """How long one solve may take.

    Attributes:
        deterministic: limit in CP-SAT's deterministic time, the same on every machine; about a second on a fast one.
        wall_s: limit in seconds; hitting it makes the answer depend on the machine.
        seed: of the solver's search.
        workers: 1 = the same answer every time, if the wall limit is not met; more are faster.
    """

    deterministic: float
    wall_s: float
    seed: int
    workers: int = 1


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one solve gave.

    Attributes:
        shard_of: (K,) best allocation found; None if none was.
        optimal: the objective is proven least for this model.
        value, bound: of the objective: rules, overload in its units, or cost.
    """

    shard_of: NDArray[np.int64] | None
    optimal: bool
    value: float
    bound: float


class PartModel:
    """One CP-SAT model. State a goal, solve; then cap that goal and state the next."""

    def __init__(
        self,
        packing: Packing,
        incumbent: NDArray[np.int64],
        rows: NDArray[np.int64],
        shards: NDArray[np.int64],
        *,
        overload: bool,
        lower: NDArray[np.float64] | None = None,
    ) -> None:
        """Build variables and constraints.

        Args:
            packing: the problem.
            incumbent: (K,) where everything is; also the first hint.
            rows: (n,) order params that may move.
            shards: (m,) where they may go.
            overload: whether overload may stay; if not, `incumbent` has none.
            lower: (S,) proven least cost of what leaves each shard, where no overload may stay.
        """
        self.packing, self.incumbent, self.rows = packing, incumbent, rows
        self.model = cp_model.CpModel()
        self.ways: list[list[tuple[int, cp_model.IntVar]]] = [self._ways(int(row), shards) for row in rows]
        self.leave = [self._leave(int(row), ways) for row, ways in zip(rows, self.ways, strict=True)]
        self.over: list[tuple[cp_model.IntVar, int]] = []  # with what one step counts
        self.crowd: list[tuple[cp_model.IntVar, int, list[int], int]] = []  # with room, rows and shard
        whole = packing.grain > 0 and packing.cost.sum() < WHOLE_COST_MAX
        self.cost_factor = 1.0 if whole else COST_UNITS / max(float(packing.cost.max(initial=0.0)), 1e-300)
        self.cost_units = np.floor(packing.cost[rows] * self.cost_factor + 1e-9).astype(np.int64)
        self.grid = self._grid()
        self._add_limits(overload=overload)
        self._add_groups()
        stays = int((incumbent != packing.current).sum() - (incumbent[rows] != packing.current[rows]).sum())
        self.model.add(LinearExpr.sum(self.leave) <= packing.moves_max - stays)
        if lower is not None:
            self._add_cuts(lower)

    def _ways(self, row: int, shards: NDArray[np.int64]) -> list[tuple[int, cp_model.IntVar]]:
        packing = self.packing
        may = packing.allowed[packing.rule[row], shards]
        kept = {int(packing.current[row]), int(self.incumbent[row])}
        ways = [(shard, self.model.new_bool_var("")) for shard in sorted(kept | set(shards[may].tolist()))]
        self.model.add_exactly_one(way for _, way in ways)
        for shard, way in ways:
            self.model.add_hint(way, shard == self.incumbent[row])
        return ways

    def _leave(self, row: int, ways: list[tuple[int, cp_model.IntVar]]) -> cp_model.LinearExprT:
        home = int(self.packing.current[row])
        return 1 - next(way for shard, way in ways if shard == home)

    def _grid(self) -> float:
        """Return how much overload one unit of the objective stands for."""
        packing = self.packing
        now = float((packing.over(packing.use(self.incumbent)) * packing.weight).sum())
        total = float((packing.load.sum(axis=0) * packing.weight[:-1].max(axis=0, initial=0.0)).sum())
        return max(now / GRID, total * packing.shards / SUM_MAX, 1e-300)

    def _add_limits(self, *, overload: bool) -> None:
        packing = self.packing
        staying = packing.use(self.incumbent)
        np.subtract.at(staying, self.incumbent[self.rows], packing.load[self.rows])
        on_shard: dict[int, list[tuple[int, cp_model.IntVar]]] = {}
        for row, ways in zip(self.rows.tolist(), self.ways, strict=True):
            for shard, way in ways:
                on_shard.setdefault(shard, []).append((row, way))
        for shard, ways in on_shard.items():
            loads = packing.load[[row for row, _ in ways]]  # (n, D)
            room = np.minimum(packing.limit[shard], 2.0**60) - staying[shard]
            for column in np.flatnonzero(loads.sum(axis=0) > room):
                used = LinearExpr.weighted_sum([way for _, way in ways], loads[:, column].astype(np.int64).tolist())
                over = self._new_over(shard, int(column), float(loads[:, column].sum() - room[column])) if overload else 0
                self.model.add(used <= int(room[column]) + over)

    def _new_over(self, shard: int, column: int, most: float) -> cp_model.LinearExprT:
        """Return the units of overload of a cell, as a new variable times its step."""
        weight = float(self.packing.weight[shard, column])
        step = max(1, round(COEFFICIENT * self.grid / weight))
        over = self.model.new_int_var(0, int(most // step) + 1, "")
        self.over.append((over, max(1, round(weight * step / self.grid))))
        return step * over

    def _add_groups(self) -> None:
        packing = self.packing
        together: dict[tuple[int, int], list[tuple[int, cp_model.IntVar]]] = {}
        free = set(self.rows.tolist())
        taken = {
            (int(packing.group[row]), int(self.incumbent[row])) for row in packing.group_member.tolist() if row not in free
        }
        for row, ways in zip(self.rows.tolist(), self.ways, strict=True):
            group = int(packing.group[row])
            if group >= 0:
                for shard, way in ways:
                    if shard == packing.nowhere:
                        continue
                    together.setdefault((group, shard), []).append((row, way))
        for (group, shard), members in together.items():
            here = sum(packing.current[row] == shard for row, _ in members)
            room = 0 if (group, shard) in taken else 1
            if here > room:
                crowd = self.model.new_int_var(0, int(here) - room, "")
                self.crowd.append((crowd, room, [row for row, _ in members], shard))
                self.model.add(LinearExpr.sum([way for _, way in members]) <= room + crowd)
                self._keep_out(shard, members, taken=room == 0)
            elif len(members) > room:
                self.model.add(LinearExpr.sum([way for _, way in members]) <= room)

    def _keep_out(self, shard: int, members: list[tuple[int, cp_model.IntVar]], *, taken: bool) -> None:
        """Let no member come to a crowded shard while another is there."""
        for row, way in members:
            if self.packing.current[row] == shard:
                continue
            if taken:
                self.model.add(way == 0)
            for other, its in members:
                if other != row:
                    self.model.add_at_most_one(way, its)

    def _add_cuts(self, lower: NDArray[np.float64]) -> None:
        home = self.packing.current[self.rows]
        for shard in np.flatnonzero(lower > 0):
            mine = np.flatnonzero(home == shard)
            least = int(np.ceil(lower[shard] * self.cost_factor - 1e-6)) - (0 if self.cost_factor == 1.0 else mine.size)
            everyone = (self.packing.movable & (self.packing.current == shard)).sum() == mine.size
            if everyone:
                leaving = [self.leave[position] for position in mine]
                self.model.add(LinearExpr.weighted_sum(leaving, self.cost_units[mine].tolist()) >= least)

    def _broken(self) -> cp_model.LinearExprT:
        stay = [1 - leave for row, leave in zip(self.rows, self.leave, strict=True) if self.packing.must_leave[row]]
        return LinearExpr.sum([*stay, *(crowd for crowd, *_ in self.crowd)])

    def broken_of(self, shard_of: NDArray[np.int64]) -> int:
        """Return how many broken rules of the model an allocation has."""
        stay = self.packing.must_leave[self.rows] & (shard_of[self.rows] == self.packing.current[self.rows])
        crowded = (max(0, int((shard_of[rows] == shard).sum()) - room) for _, room, rows, shard in self.crowd)
        return int(stay.sum()) + sum(crowded)

    def cap_broken(self, most: float) -> None:
        """Allow at most so many broken rules from now on (of those that the rows can mend)."""
        self.model.add(self._broken() <= int(most))

    def cap_overload(self, most: float) -> None:
        """Allow at most so much overload, in units of the objective, from now on."""
        self.model.add(self._overload() <= int(most * (1 + SAME)) + int(COEFFICIENT) * len(self.over))

    def _overload(self) -> cp_model.LinearExprT:
        return LinearExpr.weighted_sum([over for over, _ in self.over], [counts for _, counts in self.over])

    def least_broken(self, effort: Effort) -> Outcome:
        """Solve for the fewest broken rules."""
        return self._solve(self._broken(), effort, 1.0)

    def least_overload(self, effort: Effort) -> Outcome:
        """Solve for the least overload."""
        return self._solve(self._overload(), effort, 1.0)

    def least_cost(self, effort: Effort) -> Outcome:
        """Solve for the least cost; value and bound are of the rows alone."""
        return self._solve(LinearExpr.weighted_sum(self.leave, self.cost_units.tolist()), effort, self.cost_factor)

    def hint(self, shard_of: NDArray[np.int64]) -> None:
        """Start the next search from this allocation."""
        self.model.clear_hints()  # type: ignore[no-untyped-call]
        for row, ways in zip(self.rows.tolist(), self.ways, strict=True):
            for shard, way in ways:
                self.model.add_hint(way, shard == shard_of[row])

    def _solve(self, goal: cp_model.LinearExprT, effort: Effort, factor: float) -> Outcome:
        """Minimise. Costs were rounded down to 1 / factor: what the bound says stays below the truth."""
        self.model.minimize(goal)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = effort.workers
        solver.parameters.random_seed = effort.seed % 2**31
        solver.parameters.linearization_level = 2
        solver.parameters.max_deterministic_time = effort.deterministic
        solver.parameters.max_time_in_seconds = max(0.01, effort.wall_s)
        status = solver.solve(self.model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Outcome(None, optimal=False, value=np.inf, bound=0.0)
        shard_of = self.incumbent.copy()
        for row, ways in zip(self.rows.tolist(), self.ways, strict=True):
            shard_of[row] = next(shard for shard, way in ways if solver.boolean_value(way))
        bound = max(0.0, solver.best_objective_bound / factor)
        return Outcome(shard_of, status == cp_model.OPTIMAL, solver.objective_value / factor, bound)
