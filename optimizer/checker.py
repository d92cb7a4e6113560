"""The check of a plan by other code than made it. It reads the problem and the plan, and nothing of the planner's.

It works out from the plan's words alone where each order param ends up, loads every shard anew from the problem's numbers,
and compares with what the plan claims. Each fault is one sentence; no fault means the plan may be executed.

    moves     `optimizer.checker_moves`: names, sources, rules, segments, spread groups, budget, reasons, waves
    effect    broken rules do not rise; overload does not rise unless broken rules fall (ALLOCATE: unless anew is worse)
    claims    cost, broken rules, overload and highest utilisation are what they are; 0 <= bound <= cost; the status fits;
              whatever stays over a limit or breaks a rule is named in `unresolved`
    waves     `optimizer.checker_waves`: with both copies counted, nothing is over its limit on the way

Conventions
    cost      move cost of order params that leave a real shard, times parts moved / parts for one that is split
    broken    order params with no shard or on one where they may not be, plus members too many of a group on one shard
    over      load above capacity x headroom by more than a tolerance; see `optimizer.checker_state`
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from optimizer.checker_moves import read_moves
from optimizer.checker_state import NOISE, State, state_after, state_before
from optimizer.checker_waves import wave_faults
from plb_ray.domain.plan import NOWHERE, PlanMode, PlanStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optimizer.checker_moves import Moves
    from plb_ray.domain.plan import Plan, PlanProblem


MARKS = "\"'`.,;:()"  # what stands beside a name in a sentence


class PlanVerifier:
    """The `PlanChecker` of `plb_ray.control.ports`."""

    def check(self, problem: PlanProblem, plan: Plan) -> tuple[str, ...]:
        """Return the faults found, in words; empty if the plan may be executed.

        The problem is one that `optimizer.validate` found well-formed.
        """
        moves, faults = read_moves(problem, plan)
        if faults:
            return faults  # the effect of moves that make no sense is not defined
        before, after = state_before(problem), state_after(problem, moves)
        return (
            *_effect_faults(problem, before, after),
            *_claim_faults(problem, plan, moves, before, after),
            *_status_faults(plan, after),
            *_silence_faults(problem, plan, after),
            *wave_faults(problem, plan, moves, before, after),
        )


def _effect_faults(problem: PlanProblem, before: State, after: State) -> Iterator[str]:
    if after.broken_most > before.broken_most:
        yield f"the plan breaks more rules: {before.broken_most} order params before, {after.broken_most} after"
    old_counts = problem.mode is not PlanMode.ALLOCATE and after.broken_most == before.broken_most
    if old_counts and after.overload_least > before.overload_most + _noise(before.overload_most):
        yield f"the plan makes the overload worse: {before.overload_most:.6g} before, {after.overload_least:.6g} after"


def _claim_faults(problem: PlanProblem, plan: Plan, moves: Moves, before: State, after: State) -> Iterator[str]:
    cost = _cost(problem, moves)
    claims = (
        ("cost", plan.cost, cost, cost),
        ("overload before", plan.overload_before, before.overload_least, before.overload_most),
        ("overload after", plan.overload_after, after.overload_least, after.overload_most),
        ("highest utilisation", plan.max_utilisation, after.max_utilisation, after.max_utilisation),
        ("number of broken rules before", plan.broken_before, before.broken, before.broken_most),
        ("number of broken rules after", plan.broken_after, after.broken, after.broken_most),
    )
    for what, claimed, least, most in claims:
        if not least - _noise(least) <= claimed <= most + _noise(most):
            yield f"the plan claims a {what} of {claimed:.6g}, it is {most:.6g}"
    if not 0 <= plan.bound <= plan.cost + _noise(plan.cost):
        yield f"the plan claims a lower bound of {plan.bound:.6g} on a cost of {plan.cost:.6g}"


def _cost(problem: PlanProblem, moves: Moves) -> float:
    leaving = moves.source != NOWHERE
    return float((problem.move_cost[moves.row] / moves.parts)[leaving].sum())


def _status_faults(plan: Plan, after: State) -> Iterator[str]:
    surely = after.broken > 0 or bool(after.over.any())
    perhaps = after.broken_most > 0 or bool(after.near.any())
    left = f"leaves {after.broken} broken rules and an overload of {after.overload_most:.6g}"
    if plan.status is PlanStatus.REFUSED:
        yield "the plan was refused before"
    if plan.status is PlanStatus.NOT_NEEDED and (plan.moves or surely):
        yield f"the plan says it is not needed, but has {len(plan.moves)} moves and {left}"
    if plan.status is PlanStatus.OPTIMAL and plan.cost > plan.bound + _noise(plan.cost):
        yield f"the plan claims to be optimal at a cost of {plan.cost:.6g}, but proves only {plan.bound:.6g}"
    if plan.status is PlanStatus.FEASIBLE and surely:
        yield f"the plan claims to be feasible, but {left}"
    if plan.status is PlanStatus.OPTIMAL and surely and not plan.unresolved:
        yield f"the plan claims to be optimal, but {left} and does not say so"
    if plan.status is PlanStatus.PARTIAL and not perhaps:
        yield "the plan says that something stays unresolved, but nothing is over a limit and no rule is broken"


def _silence_faults(problem: PlanProblem, plan: Plan, after: State) -> Iterator[str]:
    """Find what stays over or broken and is named in no sentence: a shard, or an order param, or the shard that it is on."""
    words = Words(plan.unresolved)
    for shard in np.flatnonzero(after.over.any(axis=1)).tolist():
        if not words.name(problem.shards[shard]):
            yield f"shard {problem.shards[shard]} stays over its limit and `unresolved` does not name it"
    for row, shard in after.misplaced:
        known = shard != NOWHERE and words.name(problem.shards[shard])
        if not known and not words.name(problem.order_params[row]):
            where = "has no shard" if shard == NOWHERE else f"stays on {problem.shards[shard]}, where it may not be,"
            yield f"order param {problem.order_params[row]} {where} and `unresolved` does not name it"
    for rows, shard in after.crowds:
        if not words.name(problem.shards[shard]) and not any(words.name(problem.order_params[row]) for row in rows):
            yield (
                f"order param {problem.order_params[rows[0]]} stays on {problem.shards[shard]} beside a member of its"
                " spread group and `unresolved` does not name it"
            )


class Words:
    """The words of some sentences, to look names up in."""

    def __init__(self, sentences: tuple[str, ...]) -> None:
        self._text = "\n".join(sentences)
        self._words = {word.strip(MARKS) for word in self._text.split()}

    def name(self, name: str) -> bool:
        """Return whether a sentence has the name as a word; a name with other signs in it may be anywhere."""
        odd = " " in name or name != name.strip(MARKS)
        return name in self._words or (odd and name in self._text)


def _noise(value: float) -> float:
    """Return what rounding may change in a sum."""
    return NOISE * abs(value) + 1e-9 if math.isfinite(value) else 0.0
