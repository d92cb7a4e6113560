"""The planner: greedy relief, then the exact solver within the budget; the better of the two, with its proof and its words.

    pack -> nothing hot? the empty plan
         -> eviction bound, greedy relief -> scope -> goals in their order (CP-SAT) -> return needless moves
         -> sequence, reasons, what stays unresolved

Each stage is a function of its own module and can be used alone. The answer is never worse than the current mapping: every
stage starts from it, and keeps what it has unless a new allocation is better in truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optimizer import explain
from optimizer.bound import eviction_bound
from optimizer.greedy import relieve, undo_needless
from optimizer.packing import TOLERANCE, Packing, pack
from optimizer.presolve import choose_scope
from optimizer.sequencing import sequence
from plb_ray.clock import monotonic_s
from plb_ray.domain.plan import Plan, PlanStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.lexicographic import Answer
    from plb_ray.domain.plan import PlanProblem


@dataclass(frozen=True)
class PlannerSettings:
    """Parameters of `CpSatPlanner`.

    Attributes:
        seed: of the solver's search; any whole number >= 0.
        booleans_max: most (order param, shard) choices in an exact model, 100..1,000,000. Above about 20,000 the solver
            gets nowhere within a second.
        terms_per_s: choices x columns that one second of the budget allows, > 0; stating a model costs about 1 us per term,
            and it is stated up to three times.
        greedy_part: share of the budget that greedy relief may use, in (0, 1).
        deterministic_per_s: deterministic solver time counted as one second of the budget, in (0, 10]. Low enough, the wall
            clock never cuts a search short and equal problems get equal plans.
    """

    seed: int = 1
    booleans_max: int = 20_000
    terms_per_s: float = 200_000.0
    greedy_part: float = 0.4
    deterministic_per_s: float = 0.5

    def __post_init__(self) -> None:
        assert self.seed >= 0
        assert 100 <= self.booleans_max <= 1_000_000
        assert self.terms_per_s > 0
        assert 0 < self.greedy_part < 1
        assert 0 < self.deterministic_per_s <= 10

    def choices_max(self, columns: int, budget_s: float) -> int:
        """Return how many choices an exact model with so many columns may have in this budget."""
        return min(self.booleans_max, int(self.terms_per_s * budget_s / max(1, columns)))


@dataclass(frozen=True)
class CpSatPlanner:
    """The `Planner` of `plb_ray.control.ports` on OR-Tools CP-SAT. Holds no state; may be called from several threads.

    Attributes:
        settings: parameters.
        now_s: a monotonic clock, for the budget only.
    """

    settings: PlannerSettings = field(default_factory=PlannerSettings)
    now_s: Callable[[], float] = monotonic_s

    def __post_init__(self) -> None:
        import optimizer.lexicographic  # noqa: F401, PLC0415 - ortools takes 0.5 s to import: not at import, and not in a first plan

    def plan(self, problem: PlanProblem) -> Plan:
        """Return the best plan found within `problem.budget_s`.

        Raises:
            BadInputError: the problem is malformed.
        """
        started_s = self.now_s()
        packing = pack(problem)
        if not packing.hot.any():
            return Plan(PlanStatus.NOT_NEEDED, (), 0.0, 0.0, 0.0, 0.0, (), self.now_s() - started_s)
        answer = self._answer(packing, problem.budget_s, lambda: started_s + problem.budget_s - self.now_s())
        return _as_plan(problem, packing, answer, lambda: self.now_s() - started_s)

    def _answer(self, packing: Packing, budget_s: float, left_s: Callable[[], float]) -> Answer:
        from optimizer.lexicographic import Budget, improve  # noqa: PLC0415 - see __post_init__

        eviction = eviction_bound(packing)
        relieved = relieve(packing, in_time=lambda: left_s() > (1 - self.settings.greedy_part) * budget_s)
        budget = Budget(budget_s, left_s, self.settings.deterministic_per_s, self.settings.seed)
        scope = choose_scope(packing, relieved, self.settings.choices_max(packing.load.shape[1], budget_s))
        return improve(packing, relieved, scope, eviction, budget)


def _as_plan(problem: PlanProblem, packing: Packing, answer: Answer, elapsed_s: Callable[[], float]) -> Plan:
    shard_of = undo_needless(packing, answer.shard_of)
    if not packing.score(shard_of).better_than(packing.score(packing.current)):
        shard_of = packing.current
    score = packing.score(shard_of)
    story = explain.Story(problem, packing, shard_of)
    bound = min(answer.bound, score.cost)
    return Plan(
        status=_status(answer, score.cost, bound),
        moves=explain.moves(story, sequence(packing, shard_of)),
        cost=score.cost,
        bound=bound,
        overload_before=float(packing.over_now.sum()),
        overload_after=score.overload,
        unresolved=explain.unresolved(story, proven=answer.least_overload),
        solve_s=elapsed_s(),
    )


def _status(answer: Answer, cost: float, bound: float) -> PlanStatus:
    if answer.least_overload and cost <= bound + TOLERANCE * max(1.0, cost):
        return PlanStatus.OPTIMAL
    return PlanStatus.FEASIBLE if answer.solver_answered else PlanStatus.GREEDY
