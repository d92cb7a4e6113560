"""The planner: a plan problem in, a plan with reasons, bound and waves out. Composes; each step is a module of its own.

    validate -> pack -> solve (by mode) -> sequence into waves -> explain

`CompositePlanner` is the `Planner` of `plb_ray.control.ports`. It holds no state and may be called from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer import explain
from optimizer.explain import Story
from optimizer.frontier import max_utilisation
from optimizer.modes import Choice, choose, with_rules
from optimizer.packing import Packing, pack
from optimizer.sequencing import waves
from optimizer.solve import solve
from optimizer.validate import check_problem
from plb_ray.clock import monotonic_s
from plb_ray.domain.plan import Plan, PlanMode, PlanStatus, Termination

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from optimizer.sequencing import Step
    from optimizer.solve import Solution
    from plb_ray.domain.plan import Move, PlanProblem

EXPLAIN_S, EXPLAIN_S_PER_CELL = 0.01, 1.3e-7  # what comes after the search, per load in the problem
SEARCH_SHARE_MIN = 0.6  # of the budget, kept for the search


@dataclass(frozen=True)
class CompositePlanner:
    """Plans; see the module.

    Attributes:
        now_s: a monotonic clock, for the budget only.
    """

    now_s: Callable[[], float] = monotonic_s

    def __post_init__(self) -> None:
        """Load what a first plan would wait for: kernels, and OR-Tools, which takes half a second."""
        import optimizer.exact  # noqa: F401, PLC0415 - not when this module is imported
        from optimizer.warm import warm  # noqa: PLC0415 - the same

        warm()

    def plan(self, problem: PlanProblem) -> Plan:
        """Return the best plan found within `problem.budget`.

        Raises:
            BadInputError: the problem is malformed.
        """
        return self.explained(problem)[0]

    def explained(self, problem: PlanProblem) -> tuple[Plan, Story]:
        """Return the plan, and what its explanations stand on, for questions that a plan does not answer by itself.

        Raises:
            BadInputError: the problem is malformed.
        """
        started_s = self.now_s()
        return self._told(problem, self._choice(problem), started_s)

    def _choice(self, problem: PlanProblem) -> Choice:
        check_problem(problem)
        return choose(_with_time_to_explain(problem), self.now_s)

    def _told(self, problem: PlanProblem, choice: Choice, started_s: float) -> tuple[Plan, Story]:
        story = Story(problem, choice.packing, choice.solution, choice.drained)
        steps = waves(_for_waves(problem, choice), choice.solution.shard_of)
        return _plan(story, steps, lambda: self.now_s() - started_s), story

    def plan_if_sound(self, problem: PlanProblem) -> Plan | None:
        """Return the plan, or None if it would leave overload or a broken rule: then its moves are not even put in order.

        Raises:
            BadInputError: the problem is malformed.
        """
        started_s = self.now_s()
        choice = self._choice(problem)
        return self._told(problem, choice, started_s)[0] if choice.solution.sound else None

    def restated(self, problem: PlanProblem, moves: Sequence[Move]) -> Plan:
        """See `plb_ray.control.ports.Planner`.

        Raises:
            BadInputError: the problem is malformed.
        """
        started_s = self.now_s()
        check_problem(problem)
        after = _after(problem, moves)
        if after is None:
            return _as_it_is(tuple(moves))
        packing = pack(with_rules(problem))
        staying = solve(packing, replace(problem.budget, wall_s=0.0, work=0), self.now_s)
        score = packing.score(after)
        solution = replace(
            staying,
            shard_of=after,
            score=score,
            bound=0.0,
            least_overload=False,
            optimal=False,
            sound=score.overload == 0 and score.broken == 0,
            termination=Termination.EXHAUSTED,
            first_sound_s=None,
        )
        steps = waves(_for_waves(problem, Choice(packing, solution)), after)
        plan = _plan(Story(problem, packing, solution), steps, lambda: self.now_s() - started_s)
        said = {move.order_param: move.reason for move in moves}
        return replace(plan, moves=tuple(replace(move, reason=said[move.order_param]) for move in plan.moves))


def _after(problem: PlanProblem, moves: Sequence[Move]) -> NDArray[np.int64] | None:
    """Return (K,) where everything is after moves; None if one of them cannot be meant in this problem."""
    rows = {name: row for row, name in enumerate(problem.order_params)}
    shards = {name: at for at, name in enumerate(problem.shards)}
    after = problem.current.copy()
    for move in moves:
        row, destination = rows.get(move.order_param), shards.get(move.destination)
        if row is None or destination is None or after[row] != shards.get(move.source) or move.segment:
            return None
        after[row] = destination
    return after


def _as_it_is(moves: tuple[Move, ...]) -> Plan:
    """Return a plan that claims nothing: the checker says what is wrong with its moves."""
    return Plan(PlanStatus.PARTIAL, Termination.EXHAUSTED, moves, 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0, (), 0.0)


def _with_time_to_explain(problem: PlanProblem) -> PlanProblem:
    """Return the problem with what waves, words and figures will take set aside from its time."""
    after_s = EXPLAIN_S + EXPLAIN_S_PER_CELL * problem.load.size
    wall_s = max(problem.budget.wall_s - after_s, SEARCH_SHARE_MIN * problem.budget.wall_s)
    return replace(problem, budget=replace(problem.budget, wall_s=wall_s))


def _for_waves(problem: PlanProblem, choice: Choice) -> Packing:
    """Return the packing whose current mapping is the real one, from which the moves start."""
    return pack(problem) if problem.mode is PlanMode.ALLOCATE else choice.packing


def _plan(story: Story, steps: tuple[Step, ...], elapsed_s: Callable[[], float]) -> Plan:
    problem, solution = story.problem, story.solution
    stated = pack(problem) if problem.mode in (PlanMode.ALLOCATE, PlanMode.CONSOLIDATE) else story.packing
    moves = explain.moves(story, steps)
    unresolved = explain.unresolved(story, steps)
    overload_after, broken_after = _overload(problem, stated, solution.shard_of), stated.broken(solution.shard_of)
    cost = float(stated.cost[solution.shard_of != stated.current].sum())
    return Plan(
        status=_status(solution, moves, stays=overload_after > 0 or broken_after > 0),
        termination=solution.termination,
        moves=moves,
        cost=cost,
        bound=min(solution.bound, cost),
        broken_before=stated.broken(stated.current),
        broken_after=broken_after,
        overload_before=_overload(problem, stated, stated.current),
        overload_after=overload_after,
        max_utilisation=max_utilisation(stated, solution.shard_of),
        unresolved=unresolved,
        solve_s=elapsed_s(),
        first_sound_s=solution.first_sound_s,
    )


def _status(solution: Solution, moves: tuple[Move, ...], *, stays: bool) -> PlanStatus:
    if stays:
        return PlanStatus.PARTIAL
    if not moves:
        return PlanStatus.NOT_NEEDED
    return PlanStatus.OPTIMAL if solution.optimal else PlanStatus.FEASIBLE


def _overload(problem: PlanProblem, packing: Packing, shard_of: NDArray[np.int64]) -> float:
    """Return the overload in the problem's own numbers: of the cells that are over their limit beyond rounding."""
    over = packing.over(packing.use(shard_of))[:-1] > 0
    if not over.any():
        return 0.0
    parts = np.bincount(packing.origin)[packing.origin]
    total = 0.0
    for column in np.flatnonzero(over.any(axis=0)).tolist():
        step, resource = divmod(column, len(problem.resources))
        load = problem.load[packing.origin, step, resource] / parts
        use = np.bincount(shard_of, weights=load, minlength=packing.shards)[:-1].astype(np.float64)
        if problem.in_flight is not None:
            use = use + problem.in_flight[:, step, resource]
        beyond = use - problem.capacity[:, resource] * problem.headroom
        total += float((beyond * problem.overload_weight[:, resource])[over[:, column]].sum())
    return total
