"""The decision of one tick: a situation, standing orders and a memory in; a ruling and the next memory out. Pure.

    situation -> is the forecast trusted? -> course of load -> is anything to be done? -> plan -> check -> admit each move

The reactive floor is always on: what was measured is the first step of every plan, so overload that nobody foresaw is
relieved, and a move that would overload its destination by what was measured is not sent, unless it takes more overload away
from its source. A forecast that is missing, stale, unsound or has not held lately (`plb_ray.control.guard`) leaves the floor
alone, and the ruling says so.

When a move is sent is said in `plb_ray.control.timing`, and whether it is worth making in `plb_ray.control.worth`.

What a plan is for is said in `plb_ray.control.aims`. A plan that people have approved is carried out by the same rules, but
for those that weigh whether it is worth it: that, they have decided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.admitting import Budgets, Rooms, parted
from plb_ray.control.aims import aim_of, breaks, in_sight_of, uneven
from plb_ray.control.guard import usable
from plb_ray.control.hedging import hedged, hedges
from plb_ray.control.stating import course_of, plan_problem, rules_of
from plb_ray.control.timing import due_s, ticks_of, waves_in_a_tick
from plb_ray.control.views import Admission, AdmittedMove, Basis, Mode
from plb_ray.control.worth import worthwhile
from plb_ray.domain.plan import Plan, PlanStatus, Termination

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from plb_ray.control.damping import Memory
    from plb_ray.control.orders import Orders
    from plb_ray.control.ports import PlanChecker, Planner
    from plb_ray.control.situation import Situation
    from plb_ray.control.stating import Course
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.domain.plan import Move, PlanProblem
    from plb_ray.settings import BalancerSettings

EQUAL_OVERLOAD = 1e-6
"""Shares of a shard by which two plans' overload may differ and yet be called as good."""

NOT_NEEDED = Plan(PlanStatus.NOT_NEEDED, Termination.PROVEN, (), 0.0, 0.0, 0, 0, 0.0, 0.0, 0.0, (), 0.0)


@dataclass(frozen=True)
class Ruling:
    """What was decided.

    Attributes:
        moves: all that were planned, each with what became of it.
        faults: what the checker found wrong with the plan; not empty = nothing is sent.
        basis: what it was decided on.
        notes: what the operator should know, in sentences.
        course: the load that was planned on.
    """

    plan: Plan
    moves: tuple[AdmittedMove, ...]
    faults: tuple[str, ...]
    basis: Basis
    course: Course
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

    def decide(
        self, situation: Situation, orders: Orders, memory: Memory, waiting: Sequence[Move] = ()
    ) -> tuple[Ruling, Memory]:
        """Return the ruling, and the memory for the next tick.

        Args:
            situation: as it is now.
            orders: of the operator.
            memory: from the tick before; `Memory()` at the beginning.
            waiting: the moves of the plan that waits for approval; it stays the plan while it does as much as a new one.
        """
        memory = memory.at(situation.at_s)
        memory = replace(memory, guard=memory.guard.scored(situation))
        estimate, notes = _trusted(situation, memory)
        basis = Basis.MEASURED if estimate is None else Basis.FORECAST
        course = in_sight_of(course_of(situation, self._counted(estimate)), orders.mode)
        problem, plan, faults = self._planned(course, orders, memory, waiting)
        moves = tuple(self._admitted(course, problem, plan, faults, orders, memory))
        ruling = Ruling(plan, moves, faults, basis, course, (*notes, *_said_of(orders)))
        memory = replace(memory, guard=memory.guard.noted(situation))
        return ruling, memory.with_sent(ruling.sent, situation.at_s)

    def carry_out(
        self, situation: Situation, orders: Orders, memory: Memory, moves: Sequence[Move]
    ) -> tuple[Ruling, Memory]:
        """Return the ruling on moves that people have approved, held against the situation as it is now.

        They are checked whole; moves that do not fit into this tick's budgets, or whose turn has not come, are not sent yet.
        Neither the cooldown nor what the plan is worth counts.
        """
        memory = memory.at(situation.at_s)
        estimate, notes = _trusted(situation, memory)
        basis = Basis.MEASURED if estimate is None else Basis.FORECAST
        course = course_of(situation, self._counted(estimate))
        problem = self._problem(course, orders, ())
        within = np.full(len(problem.shards), self._settings.headroom)  # the dead band is for plans that are made now
        problem = replace(problem, headroom=within, budget=replace(problem.budget, moves=len(moves)))
        plan = self._planner.restated(problem, moves)
        faults = self._checker.check(problem, plan)
        if faults:
            refused = tuple(AdmittedMove(move, Admission.PLAN_REFUSED) for move in plan.moves)
            return Ruling(replace(plan, status=PlanStatus.REFUSED), refused, faults, basis, course, notes), memory
        everything = {move.order_param for move in plan.moves}
        sent = parted(self._each(course, plan, memory, everything, at_once=True), course, orders)
        ruling = Ruling(plan, tuple(sent), (), basis, course, notes)
        return ruling, memory.with_sent(ruling.sent, situation.at_s)

    def _planned(
        self, course: Course, orders: Orders, memory: Memory, waiting: Sequence[Move]
    ) -> tuple[PlanProblem | None, Plan, tuple[str, ...]]:
        """Return problem, plan and the faults found in it; no problem where there is nothing to do."""
        if orders.paused or not course.situation.order_params:
            return None, NOT_NEEDED, ()
        staying = memory.cooling(course.situation.at_s, self._settings.damping.cooldown_s)
        needed = self._needed(course, orders, staying)
        if not needed and not hedges(course, orders):
            return None, NOT_NEEDED, ()
        problem = self._problem(course, orders, staying)
        prepared = self._prepared(course, problem, orders)
        if not needed and prepared is None:
            return None, NOT_NEEDED, ()
        plan = self._planner.plan(problem) if needed else prepared or NOT_NEEDED
        plan = plan if prepared is None or _worse(prepared, plan) or _same(prepared, plan) else prepared
        plan = self._as_good(problem, waiting, plan) or plan
        faults = self._checker.check(problem, plan)
        return problem, replace(plan, status=PlanStatus.REFUSED) if faults else plan, faults

    def _prepared(self, course: Course, problem: PlanProblem, orders: Orders) -> Plan | None:
        """Return the plan that prepares for what came before, and relieves what is over now; None if there is none.

        None too if it would bring overload now, or soon: the past does not count as much as that.
        """
        moves = hedged(course, problem, self._settings) if hedges(course, orders) else ()
        plan = self._planner.restated(problem, moves) if moves else None
        return None if plan is None or plan.overload_after > plan.overload_before + EQUAL_OVERLOAD else plan

    def _problem(self, course: Course, orders: Orders, staying: Collection[str]) -> PlanProblem:
        estimate = course.situation.estimate
        level = estimate.level if estimate and self._settings.margin.planned == "quantile" else None
        return plan_problem(course, orders, staying, self._settings, level)

    def _counted(self, estimate: LoadEstimate | None) -> LoadEstimate | None:
        """Return the estimate with what moves are planned on as its target: two margins on top of each other cost moves."""
        if estimate is None or self._settings.margin.planned == "quantile":
            return estimate
        return replace(estimate, target=estimate.expected)

    def _as_good(self, problem: PlanProblem, waiting: Sequence[Move], plan: Plan) -> Plan | None:
        """Return the plan that waits for approval, if it still holds and does as much: people should not see it change."""
        if not waiting or not plan.moves:
            return None
        old = self._planner.restated(problem, waiting)
        return None if _worse(old, plan) or self._checker.check(problem, old) else old

    def _needed(self, course: Course, orders: Orders, staying: Collection[str]) -> bool:
        """Return whether a shard is or will be over the headroom, a rule is broken, or the load is to be evened out."""
        if bool((course.shares > self._settings.headroom).any()) or uneven(course, aim_of(course, orders)):
            return True
        return breaks(rules_of(course, orders, staying), course.heading)

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
        if whole in (None, Admission.AWAITS_APPROVAL):
            worth = worthwhile(course, problem, plan, aim_of(course, orders), self._settings)
            if not worth:
                whole = Admission.NOT_WORTH_IT
        if whole is not None:
            return [AdmittedMove(move, whole) for move in plan.moves]
        return parted(self._each(course, plan, memory, worth, at_once=orders.mode is Mode.RELIEF), course, orders)

    def _each(
        self, course: Course, plan: Plan, memory: Memory, worth: Collection[str], *, at_once: bool
    ) -> list[AdmittedMove]:
        """Return each move with what becomes of it; `at_once`: none waits for a quieter time."""
        rooms = Rooms(course, self._settings.headroom)
        budgets = Budgets(self._settings, memory)
        first_wave, waves = min((move.wave for move in plan.moves), default=1), waves_in_a_tick(course.situation)
        ticks = ticks_of([move for move in plan.moves if move.order_param in worth], self._settings)
        result = []
        for move in plan.moves:
            until_s = None if at_once else due_s(course, move, self._settings.headroom, ticks)
            if move.order_param not in worth:
                admission = Admission.NOT_WORTH_IT
            else:
                wave = move.wave - first_wave + 1
                admission = self._one(move, until_s, rooms, budgets, late=wave > 1, in_time=wave <= waves and not move.via)
            result.append(AdmittedMove(move, admission, until_s if admission is Admission.DEFERRED else None))
        return result

    @staticmethod
    def _one(move: Move, until_s: float | None, rooms: Rooms, budgets: Budgets, *, late: bool, in_time: bool) -> Admission:
        if late and (not in_time or not rooms.gains(move)):
            return Admission.WAITS_FOR_WAVE
        if until_s is not None:
            return Admission.DEFERRED
        if (refused := budgets.refusal(move)) is not None:
            return refused
        if not rooms.take(move):
            return Admission.DESTINATION_FULL
        budgets.spend(move)
        return Admission.ADMITTED


def _trusted(situation: Situation, memory: Memory) -> tuple[LoadEstimate | None, tuple[str, ...]]:
    """Return the estimate if it may be planned on, and what is to be said of it."""
    if situation.estimate is None:
        return None, ()
    if not usable(situation):
        return None, ("the forecast is stale or unsound; decided on what was measured",)
    if situation.distrust:
        return None, (f"{situation.distrust}; decided on what was measured",)
    if not memory.guard.trusted:
        return None, ("the forecast has not held lately, or not been tried yet; decided on what was measured",)
    return situation.estimate, ()


def _worse(one: Plan, other: Plan) -> bool:
    return (one.broken_after, one.overload_after) > (other.broken_after, other.overload_after + EQUAL_OVERLOAD)


def _same(one: Plan, other: Plan) -> bool:
    """Return whether two plans make the same moves; then the reasons of the planner say more."""
    return {(m.order_param, m.destination) for m in one.moves} == {(m.order_param, m.destination) for m in other.moves}


def _said_of(orders: Orders) -> tuple[str, ...]:
    return ("the balancer is paused: nothing is planned until it is resumed",) if orders.paused else ()


def _whole_plan(faults: tuple[str, ...], orders: Orders) -> Admission | None:
    """Return what holds for all moves of a plan, if something does."""
    if faults:
        return Admission.PLAN_REFUSED
    if not orders.mode.acts:
        return Admission.MODE_FORBIDS
    return Admission.AWAITS_APPROVAL if orders.approval else None
