"""What each mode of a plan makes of the problem: which rules are added, and which solver runs.

    relief        the problem as it is
    drain         the focus shards are draining, then relief
    add           only the focus shards take order params; relief, then lower the highest utilisation
    balance       relief, then lower the highest utilisation down to the band, within the cost limit
    consolidate   relief, and as many shards as possible draining besides: those that are cheapest to empty
    allocate      what is not pinned has no shard; placed anew, the emptiest shard first

In every mode the answer is an allocation of the packing of the *stated* problem, scored by its own limits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.frontier import balance
from optimizer.packing import Packing, pack
from optimizer.solve import Solution, solve, within_moves
from plb_ray.domain.plan import NOWHERE, PlanMode, Termination

if TYPE_CHECKING:
    from collections.abc import Callable

    from plb_ray.domain.plan import PlanProblem


@dataclass(frozen=True, eq=False)
class Choice:
    """An allocation for a plan problem.

    Attributes:
        packing: of the problem that was solved: the stated one with the mode's rules.
        solution: `bound` is proven for every plan that the problem's rules allow with as little overload, whatever else the
            mode spends on; so it is relief's.
        drained: (S,) shards that consolidation emptied.
    """

    packing: Packing
    solution: Solution
    drained: tuple[int, ...] = ()


def choose(problem: PlanProblem, now_s: Callable[[], float]) -> Choice:
    """Return the best allocation for the problem's mode within its budget."""
    started_s = now_s()
    mode = problem.mode
    if mode is PlanMode.CONSOLIDATE:
        return _consolidate(problem, now_s, started_s)
    packing = pack(with_rules(problem))
    if mode is PlanMode.ALLOCATE:
        return _allocate(problem, packing, now_s, started_s)
    solution = solve(packing, problem.budget, now_s, started_s)
    if mode in (PlanMode.BALANCE, PlanMode.ADD) and solution.sound:
        until_s = started_s + problem.budget.wall_s
        relief, solution = solution, balance(packing, solution, problem.band, problem.budget, now_s, until_s)
        solution = solution if solution is relief else _spent_on_more(solution, relief.bound)
    return Choice(packing, solution)


def _spent_on_more(solution: Solution, bound: float) -> Solution:
    """Return a solution of a stricter problem as one of the stated: with that one's bound, and nothing claimed beyond."""
    stopped = solution.termination
    if stopped in (Termination.PROVEN, Termination.GAP):
        stopped = Termination.EXHAUSTED
    return replace(solution, bound=min(bound, solution.score.cost), optimal=False, termination=stopped)


def with_rules(problem: PlanProblem) -> PlanProblem:
    """Return the problem with what its mode adds to the rules and to the current mapping."""
    rules, focus = problem.rules, np.isin(np.arange(len(problem.shards)), problem.focus)
    if problem.mode is PlanMode.DRAIN:
        return replace(problem, rules=replace(rules, draining=rules.draining | focus))
    if problem.mode is PlanMode.ADD:
        return replace(problem, rules=replace(rules, closed=rules.closed | ~focus))
    if problem.mode is PlanMode.ALLOCATE:
        return replace(problem, current=np.where(rules.pinned, problem.current, NOWHERE))
    return problem


def _allocate(problem: PlanProblem, packing: Packing, now_s: Callable[[], float], started_s: float) -> Choice:
    """Place everything anew; what finds no place stays where it is, and only as much moves as the budget allows."""
    budget = replace(problem.budget, moves=packing.current.size)
    solution = solve(replace(packing, moves_max=packing.current.size), budget, now_s, started_s)
    stated = pack(problem)
    shard_of = np.where(solution.shard_of == packing.nowhere, stated.current, solution.shard_of)
    shard_of = within_moves(stated, shard_of)
    while (joiners := stated.joiners(shard_of)).size:  # beside a member that found no place and stayed
        shard_of[joiners] = stated.current[joiners]
    score = stated.score(shard_of)
    sound = score.overload == 0 and score.broken == 0
    placed = replace(solution, shard_of=shard_of, score=score, sound=sound)
    return Choice(packing, _spent_on_more(placed, bound=0.0))


def _consolidate(problem: PlanProblem, now_s: Callable[[], float], started_s: float) -> Choice:
    """Empty as many shards as the others can hold: by bisection over the shards, the cheapest to empty first."""
    packing = pack(problem)
    plain = Choice(packing, solve(packing, problem.budget, now_s, started_s))
    if not plain.solution.sound:
        return plain
    order = _cheapest_to_empty(packing)
    best, enough, too_many = plain, 0, len(order) + 1
    while too_many - enough > 1 and problem.budget.wall_s - (now_s() - started_s) > 0:
        count = (enough + too_many) // 2
        found = _emptied(problem, order[:count], now_s, started_s)
        if found is None:
            too_many = count
        else:
            enough, best = count, found
    if best is plain:
        return plain
    return replace(best, solution=_spent_on_more(best.solution, plain.solution.bound))


def _emptied(problem: PlanProblem, shards: list[int], now_s: Callable[[], float], started_s: float) -> Choice | None:
    """Return the choice with these shards draining; None if the others cannot hold their order params without overload."""
    draining = problem.rules.draining.copy()
    draining[shards] = True
    packing = pack(replace(problem, rules=replace(problem.rules, draining=draining)))
    left_s = problem.budget.wall_s - (now_s() - started_s)
    solution = solve(packing, replace(problem.budget, wall_s=left_s / 2, gap=0.05), now_s)
    empty = not np.isin(solution.shard_of, shards).any()
    affordable = solution.score.cost <= problem.budget.cost
    return Choice(packing, solution, tuple(shards)) if solution.sound and empty and affordable else None


def _cheapest_to_empty(packing: Packing) -> list[int]:
    """Return the shards that may be emptied, by the cost of all that is on them per share of the fleet's limits."""
    cost = np.bincount(packing.current, weights=packing.cost, minlength=packing.shards)[:-1]
    stuck = np.bincount(packing.current[~packing.movable], minlength=packing.shards)[:-1] > 0
    limit = packing.limit[:-1]
    total = np.where(np.isfinite(limit), limit, 0.0).sum(axis=0)
    size = np.divide(limit, total, out=np.zeros_like(limit), where=(total > 0) & np.isfinite(limit)).max(axis=1, initial=0.0)
    order = np.argsort(cost * np.maximum(size, 1e-12), kind="stable")
    return [int(shard) for shard in order if not stuck[shard]]
