"""The goals in their order, within a budget: least overload, then least cost, then the most margin; and what that proves.

Stages (each is skipped when there is nothing to gain, and each starts from the best allocation so far)
    overload   only if the start leaves some: least overload                    -> overload cap
    cost       least cost under that cap                                        -> cost cap
    proof      only if the cost is above what is proven: the same on the RELAXED integers, for a bound that holds in truth
    spread     most margin under both caps

What is proven, and when
    - no overload left, whatever the scope: cost >= LB0 of `bound`.
    - full scope: cost >= the relaxed bound, for every plan with at most the overload of the answer. Overload 0 is least by
      itself; other overloads are proven least by the overload stage, at OVERLOAD_RESOLUTION.
    - otherwise nothing: the bound is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.cpsat import Effort, Outcome, PackingModel
from optimizer.packing import TOLERANCE
from optimizer.presolve import UNITS, Rounding

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.bound import EvictionBound
    from optimizer.packing import Packing
    from optimizer.presolve import Scope

OVERLOAD_PART, COST_PART, PROOF_PART, SPREAD_PART = 0.3, 0.35, 0.15, 0.2  # of the budget

ROUNDING_UNITS = 5  # two allocations of equal overload may differ by some units of rounding
LAST_CALL = 0.15  # of the budget; with less left no further stage begins


@dataclass(frozen=True)
class Budget:
    """Solver time.

    Attributes:
        budget_s: total.
        left_s: returns the wall seconds that are left of it.
        deterministic_per_s: deterministic time that fits into one wall second on a slow machine.
        seed: of the solver's search.
    """

    budget_s: float
    left_s: Callable[[], float]
    deterministic_per_s: float
    seed: int

    def effort(self, part: float) -> Effort:
        """Return the effort of a stage that may use this part of the budget."""
        return Effort(part * self.budget_s * self.deterministic_per_s, self.left_s(), self.seed)


@dataclass(frozen=True, eq=False)
class Answer:
    """The best allocation found, and what is proven about it.

    Attributes:
        shard_of: (K,).
        bound: proven lower bound on the cost of every plan with at most this overload.
        least_overload: proven that no plan has less overload.
        solver_answered: the solver had a solution of its own for the first goal it was given.
    """

    shard_of: NDArray[np.int64]
    bound: float
    least_overload: bool
    solver_answered: bool


def improve(packing: Packing, start: NDArray[np.int64], scope: Scope, eviction: EvictionBound, budget: Budget) -> Answer:
    """Return an allocation that is no worse than `start` at any goal, with what is proven about it.

    Args:
        packing: the problem.
        start: (K,) an allocation that the packing allows.
        scope: what the solver may decide; the moves of `start` must be in it.
        eviction: bounds of the same packing.
        budget: solver time.
    """
    return _Search(packing, scope, eviction, budget, start).run()


class _Search:
    """One run through the stages; keeps the best allocation so far."""

    def __init__(
        self, packing: Packing, scope: Scope, eviction: EvictionBound, budget: Budget, start: NDArray[np.int64]
    ) -> None:
        self.packing = packing
        self.scope = scope
        self.eviction = eviction
        self.budget = budget
        self.best = start
        self.score = packing.score(start)
        self.answered = False
        self.least_overload = self.ended

    @property
    def ended(self) -> bool:
        return self.score.overload == 0

    def run(self) -> Answer:
        overload_units = 0
        if not self.ended:
            overload_units = self._overload_stage()
        if self._too_late():
            return self._answer(self.eviction.total if self.ended else 0.0)
        model = self._model(Rounding.SAFE)
        model.cap_overload(overload_units)
        cost_units = self._cost_stage(model)
        bound = self._bound()
        if cost_units is not None and not self._too_late():
            model.cap_cost(cost_units)
            model.minimise_spread()
            self._keep(self._solve(model, SPREAD_PART))
        return self._answer(bound)

    def _answer(self, bound: float) -> Answer:
        return Answer(self.best, min(bound, self.score.cost), self.least_overload, self.answered)

    def _too_late(self) -> bool:
        """Return whether there is no time left to build and search another model."""
        return self.budget.left_s() < LAST_CALL * self.budget.budget_s

    def _model(self, rounding: Rounding) -> PackingModel:
        return PackingModel(self.packing, self.scope, rounding, self.eviction if self.ended else None)

    def _solve(self, model: PackingModel, part: float) -> Outcome:
        model.hint(self.best)
        return model.solve(self.budget.effort(part))

    def _keep(self, outcome: Outcome) -> None:
        """Keep an outcome if it is better in truth, not only in integers."""
        if outcome.shard_of is None:
            return
        self.answered = True
        score = self.packing.score(outcome.shard_of)
        if score.better_than(self.score) and self.packing.allows(outcome.shard_of):
            self.best, self.score = outcome.shard_of, score

    def _overload_stage(self) -> int:
        """Return the cap on overload in units."""
        model = self._model(Rounding.SAFE)
        model.minimise_overload()
        outcome = self._solve(model, OVERLOAD_PART)
        self._keep(outcome)
        self.least_overload = self.ended or (self.scope.full and outcome.optimal)
        return (outcome.objective if outcome.shard_of is not None else self._overload_units()) + ROUNDING_UNITS

    def _overload_units(self) -> int:
        return int(np.ceil(self.score.overload * UNITS)) + self.packing.capacity.size

    def _cost_stage(self, model: PackingModel) -> int | None:
        """Return the cap on cost in units; None if the solver has no solution to go on from."""
        if self._proven():
            return int(np.floor(self.score.cost * model.cost_factor + 1e-6))  # costs are rounded down each
        model.minimise_cost()
        outcome = self._solve(model, COST_PART)
        self._keep(outcome)
        return None if outcome.shard_of is None else outcome.objective

    def _proven(self) -> bool:
        return self.ended and self.score.cost <= self.eviction.total * (1 + TOLERANCE)

    def _bound(self) -> float:
        """Return the best proven lower bound on the cost."""
        bound = self.eviction.total if self.ended else 0.0
        if self._proven() or not self.scope.full or self._too_late():
            return bound
        model = self._model(Rounding.RELAXED)
        model.cap_overload(int(np.floor(self.score.overload * UNITS + 1)))
        model.minimise_cost()
        outcome = self._solve(model, PROOF_PART)
        return max(bound, outcome.bound / model.cost_factor)
