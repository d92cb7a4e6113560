"""The decision of one tick: a situation, standing orders and a memory in; a ruling and the next memory out. Pure.

    situation -> is the forecast trusted? -> course of load -> is anything to be done? -> plan -> check -> admit each move

The reactive floor is always on: what was measured is the first step of every plan, so overload that nobody foresaw is
relieved, and a move that would overload its destination by what was measured is not sent, unless it takes more overload away
from its source. A forecast that is missing, stale, unsound or has not held lately (`plb_ray.control.guard`) leaves the floor
alone, and the ruling says so.

When a move is sent: at once if its source is over now, or will be before a migration and two ticks are over. Otherwise it
waits for the quietest step before that time, is planned anew each tick, and is sent when that step is here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.guard import usable
from plb_ray.control.stating import course_of, plan_problem
from plb_ray.control.views import Admission, AdmittedMove, Basis, Mode
from plb_ray.domain.plan import Plan, PlanStatus, Termination

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.damping import Memory
    from plb_ray.control.orders import Orders
    from plb_ray.control.ports import PlanChecker, Planner
    from plb_ray.control.situation import Situation
    from plb_ray.control.stating import Course
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.domain.plan import Move, PlanProblem
    from plb_ray.settings import BalancerSettings

LEAD_TICKS = 2
"""Ticks before its source is over that a move is sent at the latest, besides what a migration takes."""

NOT_NEEDED = Plan(PlanStatus.NOT_NEEDED, Termination.PROVEN, (), 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0, (), 0.0)


@dataclass(frozen=True)
class Ruling:
    """What was decided.

    Attributes:
        moves: all that were planned, each with what became of it.
        faults: what the checker found wrong with the plan; not empty = nothing is sent.
        basis: what it was decided on.
        notes: what the operator should know, in sentences.
    """

    plan: Plan
    moves: tuple[AdmittedMove, ...]
    faults: tuple[str, ...]
    basis: Basis
    notes: tuple[str, ...] = ()

    @property
    def sent(self) -> tuple[Move, ...]:
        """The moves that are to be sent now."""
        return tuple(each.move for each in self.moves if each.admission is Admission.ADMITTED)


class Decider:
    """Decides. Holds no state; may be used from several threads."""

    def __init__(self, planner: Planner, checker: PlanChecker, settings: BalancerSettings) -> None:
        self._planner = planner
        self._checker = checker
        self._settings = settings

    def decide(self, situation: Situation, orders: Orders, memory: Memory) -> tuple[Ruling, Memory]:
        """Return the ruling, and the memory for the next tick.

        Args:
            situation: as it is now.
            orders: of the operator.
            memory: from the tick before; `Memory()` at the beginning.
        """
        memory = memory.at(situation.at_s)
        memory = replace(memory, guard=memory.guard.scored(situation))
        estimate, notes = _trusted(situation, memory)
        basis = Basis.MEASURED if estimate is None else Basis.FORECAST
        course = course_of(situation, estimate)
        problem, plan, faults = self._planned(course, orders, memory)
        moves = tuple(self._admitted(course, problem, plan, faults, orders, memory))
        ruling = Ruling(plan, moves, faults, basis, notes)
        memory = replace(memory, guard=memory.guard.noted(situation))
        return ruling, memory.with_sent(ruling.sent, situation.at_s)

    def _planned(self, course: Course, orders: Orders, memory: Memory) -> tuple[PlanProblem | None, Plan, tuple[str, ...]]:
        """Return problem, plan and the faults found in it; no problem where there is nothing to do."""
        if orders.paused or not course.situation.order_params or not self._needed(course, orders):
            return None, NOT_NEEDED, ()
        staying = memory.cooling(course.situation.at_s, self._settings.damping.cooldown_s)
        estimate = course.situation.estimate
        problem = plan_problem(course, orders, staying, self._settings, estimate.level if estimate else 0.5)
        plan = self._planner.plan(problem)
        faults = self._checker.check(problem, plan)
        return problem, replace(plan, status=PlanStatus.REFUSED) if faults else plan, faults

    def _needed(self, course: Course, orders: Orders) -> bool:
        """Return whether a shard is or will be over the headroom, or a rule may be broken."""
        ruled = (
            orders.draining or orders.forbidden or orders.spread_groups or any(s.draining for s in course.situation.shards)
        )
        return bool(ruled) or bool((course.shares > self._settings.headroom).any())

    # ---- admission

    def _admitted(
        self,
        course: Course,
        problem: PlanProblem | None,
        plan: Plan,
        faults: tuple[str, ...],
        orders: Orders,
        memory: Memory,
    ) -> list[AdmittedMove]:
        """Return every planned move with what becomes of it, the most urgent first."""
        if problem is None or not plan.moves:
            return []
        whole = _whole_plan(faults, orders)
        if whole is None and not self._worth(course, problem, plan):
            whole = Admission.NOT_WORTH_IT
        if whole is not None:
            return [AdmittedMove(move, whole) for move in plan.moves]
        rooms = _Rooms(course, self._settings.headroom)
        budgets = _Budgets(self._settings, memory)
        first_wave = min(move.wave for move in plan.moves)
        result = []
        for move in plan.moves:
            until_s = self._due_s(course, move)
            admission = self._one(move, until_s, rooms, budgets, waits=move.wave > first_wave)
            result.append(AdmittedMove(move, admission, until_s if admission is Admission.DEFERRED else None))
        return result

    @staticmethod
    def _one(move: Move, until_s: float | None, rooms: _Rooms, budgets: _Budgets, *, waits: bool) -> Admission:
        if waits:
            return Admission.WAITS_FOR_WAVE
        if until_s is not None:
            return Admission.DEFERRED
        if (refused := budgets.refusal(move)) is not None:
            return refused
        if not rooms.take(move):
            return Admission.DESTINATION_FULL
        budgets.spend(move)
        return Admission.ADMITTED

    def _worth(self, course: Course, problem: PlanProblem, plan: Plan) -> bool:
        """Return whether the plan takes away at least what its moves cost; ending a broken rule always does."""
        if plan.broken_after < plan.broken_before:
            return True
        after = course.when_on(_after(problem, plan))
        gained_s = course.over_s(self._settings.headroom) - after.over_s(self._settings.headroom)
        return gained_s >= self._settings.damping.move_cost_s * len(plan.moves)

    def _due_s(self, course: Course, move: Move) -> float | None:
        """Return when a move is to be sent; None for now."""
        situation = course.situation
        position = {shard.shard_id: at for at, shard in enumerate(situation.shards)}
        source, destination = position.get(move.source), position.get(move.destination)
        if source is None or destination is None:
            return None
        over = np.flatnonzero(course.shares[source].max(axis=1) > self._settings.headroom)
        if not over.size:
            return None
        latest_s = float(course.starts_s[over[0]]) - situation.lead_s - LEAD_TICKS * situation.step_s
        before = np.flatnonzero(course.starts_s <= latest_s)
        if before.size < 2:
            return None
        together = course.shares[[source, destination]].max(axis=2).sum(axis=0)[before]  # (T',)
        quietest = int(together.argmin())
        return float(course.starts_s[quietest]) if quietest > 0 and course.starts_s[quietest] > situation.at_s else None


class _Rooms:
    """How full each shard is by what was measured; taking keeps count."""

    def __init__(self, course: Course, headroom: float) -> None:
        situation = course.situation
        self._headroom = headroom
        self._row = {name: row for row, name in enumerate(situation.order_params)}
        self._column = {shard.shard_id: at for at, shard in enumerate(situation.shards)}
        self._measured, self._capacity = situation.measured, situation.capacity
        self._shares = course.shares[:, 0].copy()  # (S, R)

    def take(self, move: Move) -> bool:
        """Return whether a move leaves its destination within the headroom, or both shards less over it; then count it."""
        pair = [self._column[move.source], self._column[move.destination]]
        load = self._measured[self._row[move.order_param]] / self._capacity[pair]  # (2, R)
        before = self._shares[pair]
        after = before + load * np.array([[-1.0], [1.0]])
        fits = (after[1] <= np.maximum(self._headroom, before[1])).all()
        if not fits and self._over(after) >= self._over(before):
            return False
        self._shares[pair] = after
        return True

    def _over(self, shares: NDArray[np.float64]) -> float:
        return float(np.maximum(0.0, shares - self._headroom).sum())


class _Budgets:
    """How many moves may still be sent."""

    def __init__(self, settings: BalancerSettings, memory: Memory) -> None:
        self._tick = settings.budget_moves
        self._hour = settings.damping.moves_per_hour - len(memory.sent_s)
        self._of_shard = settings.damping.moves_per_shard
        self._touched: Counter[str] = Counter()

    def refusal(self, move: Move) -> Admission | None:
        """Return which budget forbids a move, if one does."""
        if self._tick <= 0:
            return Admission.TICK_BUDGET
        if self._hour <= 0:
            return Admission.HOUR_BUDGET
        if max(self._touched[move.source], self._touched[move.destination]) >= self._of_shard:
            return Admission.SHARD_BUDGET
        return None

    def spend(self, move: Move) -> None:
        """Count a move that is sent."""
        self._tick -= 1
        self._hour -= 1
        self._touched.update((move.source, move.destination))


def _trusted(situation: Situation, memory: Memory) -> tuple[LoadEstimate | None, tuple[str, ...]]:
    """Return the estimate if it may be planned on, and what is to be said of it."""
    if situation.estimate is None:
        return None, ()
    if not usable(situation):
        return None, ("the forecast is stale or unsound; decided on what was measured",)
    if not memory.guard.trusted:
        return None, ("the forecast has not held lately, or not been tried yet; decided on what was measured",)
    return situation.estimate, ()


def _whole_plan(faults: tuple[str, ...], orders: Orders) -> Admission | None:
    """Return what holds for all moves of a plan, if something does."""
    if faults:
        return Admission.PLAN_REFUSED
    if orders.mode is not Mode.PREDICTIVE:
        return Admission.MODE_FORBIDS
    return Admission.AWAITS_APPROVAL if orders.approval else None


def _after(problem: PlanProblem, plan: Plan) -> NDArray[np.int64]:
    """Return (K,) the shard of each order param after the plan."""
    row_of = {name: row for row, name in enumerate(problem.order_params)}
    column_of = {shard_id: at for at, shard_id in enumerate(problem.shards)}
    after = problem.current.copy()
    for move in plan.moves:
        after[row_of[move.order_param]] = column_of[move.destination]
    return after
