"""The check of a plan by other code than made it. It reads the problem and the plan, and nothing of the planner's.

It recomputes from the plan's words alone where each order param ends up, loads every shard with `numpy.add.at` straight from
the estimate, and compares with what the plan claims. Each fault is one sentence; no fault means the plan may be executed.

    moves     order param known, once only, on its source, movable; destination known, another shard, not draining; budget
    effect    total overload is not above what it was; no shard that was fine overloads
    claims    cost, overload before and after are what they are; 0 <= bound <= cost; the status fits; what stays over is said
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.plan import PlanStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from plb_ray.domain.plan import Move, Plan, PlanProblem

NOISE = 1e-6  # share of a capacity, and relative error of a sum, that rounding may cost


class PlanVerifier:
    """The `PlanChecker` of `plb_ray.control.ports`."""

    def check(self, problem: PlanProblem, plan: Plan) -> tuple[str, ...]:
        """Return the faults found, in words; empty if the plan may be executed."""
        faults = list(_move_faults(problem, plan))
        if faults:
            return tuple(faults)  # the effect of moves that make no sense is not defined
        return (*_effect_faults(problem, plan), *_claim_faults(problem, plan))


def _move_faults(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    if not np.isfinite(problem.estimate.target).all():
        yield "the load estimate holds numbers that are not finite"
    for name, times in Counter(move.order_param for move in plan.moves).items():
        if times > 1:
            yield f"order param {name} is moved {times} times in one plan"
    if len(plan.moves) > problem.budget_moves:
        yield f"the plan has {len(plan.moves)} moves, the budget is {problem.budget_moves}"
    rows = {name: row for row, name in enumerate(problem.estimate.order_params)}
    positions = {shard.shard_id: position for position, shard in enumerate(problem.shards)}
    for move in plan.moves:
        yield from _one_move_faults(problem, move, rows, positions)


def _one_move_faults(problem: PlanProblem, move: Move, rows: dict[str, int], positions: dict[str, int]) -> Iterator[str]:
    what = f"move of order param {move.order_param} from {move.source} to {move.destination}"
    row = rows.get(move.order_param)
    if row is None:
        yield f"{what}: there is no such order param"
    else:
        owner = problem.shards[int(problem.current[row])].shard_id
        if owner != move.source:
            yield f"{what}: it is on {owner}"
        if not problem.movable[row]:
            yield f"{what}: it may not move now"
    if move.source == move.destination:
        yield f"{what}: source and destination are the same"
    if move.destination not in positions:
        yield f"{what}: there is no such destination"
    elif problem.shards[positions[move.destination]].draining:
        yield f"{what}: the destination is draining"
    if not move.reason:
        yield f"{what}: no reason is given"


def _owners_after(problem: PlanProblem, plan: Plan) -> NDArray[np.int64]:
    destination = {move.order_param: move.destination for move in plan.moves}
    positions = {shard.shard_id: position for position, shard in enumerate(problem.shards)}
    names = problem.estimate.order_params
    after = [
        positions[destination[name]] if name in destination else int(problem.current[row]) for row, name in enumerate(names)
    ]
    return np.array(after, dtype=np.int64)


def _overloads(problem: PlanProblem, owners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (S,): load above capacity x headroom as a share of capacity, summed over steps and resources."""
    target = problem.estimate.target
    load = np.zeros((len(problem.shards), *target.shape[1:]))
    np.add.at(load, owners, target)
    totals = np.zeros(len(problem.shards))
    for position, shard in enumerate(problem.shards):
        capacity = shard.capacity
        for resource, amount in enumerate((capacity.cpu_cores, capacity.memory_bytes, capacity.io_bytes_per_s)):
            if amount > 0 and np.isfinite(amount):  # 0 states no capacity
                beyond = load[position, :, resource] / amount - problem.headroom
                totals[position] += beyond[beyond > NOISE / 10].sum()
    return totals


def _effect_faults(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    before = _overloads(problem, np.asarray(problem.current))
    after = _overloads(problem, _owners_after(problem, plan))
    if after.sum() > before.sum() + _noise(before.sum()):
        yield f"the plan makes the overload worse: {before.sum():.6g} before, {after.sum():.6g} after"
    for position in np.flatnonzero((before == 0) & (after > NOISE)):
        yield f"the plan overloads shard {problem.shards[position].shard_id}, which was fine"


def _claim_faults(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    moved = {move.order_param for move in plan.moves}
    rows = [row for row, name in enumerate(problem.estimate.order_params) if name in moved]
    after = _overloads(problem, _owners_after(problem, plan))
    truths = (
        ("cost", plan.cost, float(np.asarray(problem.move_cost)[rows].sum())),
        ("overload before", plan.overload_before, float(_overloads(problem, np.asarray(problem.current)).sum())),
        ("overload after", plan.overload_after, float(after.sum())),
    )
    for what, claimed, true in truths:
        if not abs(claimed - true) <= _noise(true):
            yield f"the plan claims a {what} of {claimed:.6g}, it is {true:.6g}"
    if not 0 <= plan.bound <= plan.cost + _noise(plan.cost):
        yield f"the plan claims a lower bound of {plan.bound:.6g} on a cost of {plan.cost:.6g}"
    yield from _status_faults(plan, float(after.sum()))


def _status_faults(plan: Plan, overload: float) -> Iterator[str]:
    if plan.status is PlanStatus.NOT_NEEDED and (plan.moves or overload > NOISE):
        yield f"the plan says it is not needed, but has {len(plan.moves)} moves and leaves an overload of {overload:.6g}"
    if plan.status is PlanStatus.OPTIMAL and plan.cost > plan.bound + _noise(plan.cost):
        yield f"the plan claims to be optimal at a cost of {plan.cost:.6g}, but proves only {plan.bound:.6g}"
    if plan.status is PlanStatus.REFUSED:
        yield "the plan was refused before"
    if overload > NOISE and not plan.unresolved:
        yield f"the plan leaves an overload of {overload:.6g} and does not say why"


def _noise(value: float) -> float:
    return NOISE * max(1.0, abs(float(value)))
