"""How even the load can be made for what migration cost: falling targets of utilisation, each with a proven bound.

Mathematics
    For a target u:  limit_u[s, c] = min( capacity[s, c] x headroom[s],  u x capacity[s, c] ).
    cost(u) = least cost of an allocation that keeps limit_u;  LB0(u) of `optimizer.eviction` bounds it from below.
    cost(u) and LB0(u) only rise as u falls: the points (u, cost, LB0) are a certified frontier of utilisation against cost.

A target below the mean utilisation of some column cannot be reached (volume), and `floor_of` says where that is.
Each target is solved on its own from the current mapping: moves of one point are not built on another's.
Cost: one `solve` per target; without polishing some 0.1 s at 100,000 x 1,000.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.packing import pack
from optimizer.solve import solve
from plb_ray.clock import monotonic_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from optimizer.packing import Packing
    from optimizer.solve import Solution
    from plb_ray.domain.plan import PlanBudget, PlanProblem

STEPS = 8  # targets between now and the lowest
INFEASIBLE_IN_A_ROW = 2  # targets missed, then lower ones are not tried


@dataclass(frozen=True, eq=False)
class Point:
    """One target of the frontier.

    Attributes:
        target: highest utilisation aimed at.
        reached: whether the allocation keeps it.
        cost, bound: migration cost, and its proven lower bound.
        max_utilisation: of the allocation.
        shard_of: (K,).
        solve_s: time spent.
    """

    target: float
    reached: bool
    cost: float
    bound: float
    max_utilisation: float
    shard_of: NDArray[np.int64]
    solve_s: float


def frontier(problem: PlanProblem, targets: Sequence[float], now_s: Callable[[], float] = monotonic_s) -> tuple[Point, ...]:
    """Return one point per target, in their order; the problem's budget is shared out evenly."""
    packing = pack(problem)
    share = replace(problem.budget, wall_s=problem.budget.wall_s / max(1, len(targets)))
    return tuple(point(packing, target, share, now_s)[0] for target in targets)


def point(packing: Packing, target: float, budget: PlanBudget, now_s: Callable[[], float]) -> tuple[Point, Solution]:
    """Solve for one target."""
    started_s = now_s()
    lowered = packing.with_limit(np.minimum(packing.limit, np.floor(target * packing.capacity)))
    solution = solve(lowered, budget, now_s)
    found = Point(
        target=target,
        reached=solution.sound,
        cost=solution.score.cost,
        bound=solution.bound,
        max_utilisation=max_utilisation(packing, solution.shard_of),
        shard_of=solution.shard_of,
        solve_s=now_s() - started_s,
    )
    return found, solution


def max_utilisation(packing: Packing, shard_of: NDArray[np.int64]) -> float:
    """Return the highest share of a capacity in use; a capacity of 0 that is used counts as infinite."""
    use, capacity = packing.use(shard_of)[:-1], packing.capacity[:-1]
    share = np.divide(use, capacity, out=np.where(use > 0, np.inf, 0.0), where=capacity > 0)
    return float(share.max(initial=0.0))


def floor_of(packing: Packing) -> float:
    """Return the highest mean utilisation of a column: no allocation has a lower highest one."""
    use, capacity = packing.use_now.sum(axis=0), packing.capacity[:-1].sum(axis=0)
    return float(np.divide(use, capacity, out=np.zeros_like(use), where=capacity > 0).max(initial=0.0))


def balance(
    packing: Packing, start: Solution, band: float, budget: PlanBudget, now_s: Callable[[], float], until_s: float
) -> Solution:
    """Return the solution with the lowest highest utilisation, down to the band, whose cost the budget allows.

    Args:
        packing: the problem.
        start: a sound solution of it; returned if no target is reached.
        band: targets end this much above the mean's highest utilisation.
        budget: `cost` is the most that may be spent; `gap` is not asked of balancing.
        now_s: a monotonic clock.
        until_s: when to stop.
    """
    best, missed = start, 0
    highest = max_utilisation(packing, start.shard_of)
    lowest = floor_of(packing) + band
    if not np.isfinite(highest) or lowest >= highest:
        return start
    for target in np.linspace(highest, lowest, STEPS + 1)[1:].tolist():
        left_s = until_s - now_s()
        if left_s <= 0 or missed == INFEASIBLE_IN_A_ROW:
            break
        share = replace(budget, wall_s=left_s / 2, gap=max(budget.gap, 0.05))
        found, solution = point(packing, target, share, now_s)
        affordable = found.cost <= budget.cost
        if found.reached and affordable:
            best, missed = solution, 0
        else:
            missed += 1
    return best
