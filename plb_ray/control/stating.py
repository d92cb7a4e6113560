"""What the control loop saw and foresees, stated as a plan problem. Decides nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.load import RESOURCE_WORDS, RESOURCES
from plb_ray.domain.plan import PlacementRules, PlanBudget, PlanProblem, PlanWords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from plb_ray.control.observation import Observation
    from plb_ray.domain.load import LoadEstimate
    from plb_ray.settings import BalancerSettings


def plan_problem(
    seen: Observation, estimate: LoadEstimate, moving: Mapping[str, str], settings: BalancerSettings
) -> PlanProblem:
    """Return the problem of this tick.

    An order param on its way counts where it goes and stays put; a shard that does not answer takes nothing; a capacity of 0
    states no limit; overload counts as a share of the capacity, so that resources add up; every move costs the same.

    Args:
        seen: the shards and who owns what.
        estimate: the load foreseen of the same order params.
        moving: destination of each order param on its way.
        settings: headroom and budgets.
    """
    names, shards = seen.history.order_params, seen.shards
    capacity = _capacity(seen)
    rules = replace(
        PlacementRules.none(len(names), len(shards)),
        pinned=np.array([name in moving for name in names], dtype=np.bool_),
        draining=np.array([shard.draining for shard in shards], dtype=np.bool_),
        closed=np.array([shard.shard_id in seen.snapshot.missing for shard in shards], dtype=np.bool_),
    )
    return PlanProblem(
        order_params=names,
        shards=tuple(shard.shard_id for shard in shards),
        resources=RESOURCES,
        load=estimate.target,
        capacity=capacity,
        headroom=np.full(len(shards), settings.headroom),
        current=_current(seen, moving),
        move_cost=np.ones(len(names)),
        rules=rules,
        overload_weight=np.where(np.isfinite(capacity), 1 / capacity, 1.0),
        budget=PlanBudget(wall_s=settings.solver_budget_s, moves=settings.budget_moves),
        words=_words(estimate),
    )


def _capacity(seen: Observation) -> NDArray[np.float64]:
    """Return (S, R), infinite where a shard states no limit."""
    stated = np.array([shard.capacity.array() for shard in seen.shards]).reshape(-1, len(RESOURCES))
    return np.where(np.isfinite(stated) & (stated > 0), stated, np.inf)


def _current(seen: Observation, moving: Mapping[str, str]) -> NDArray[np.int64]:
    position = {shard.shard_id: index for index, shard in enumerate(seen.shards)}
    current = seen.owner.copy()
    for row, name in enumerate(seen.history.order_params):
        if (destination := moving.get(name)) in position:
            current[row] = position[destination]
    return current


def _words(estimate: LoadEstimate) -> PlanWords:
    steps = (datetime.fromtimestamp(int(start_s), UTC).strftime("%H:%M") for start_s in estimate.starts_s)
    return PlanWords(steps=tuple(steps), load=f"p{estimate.level * 100:g}", resources=RESOURCE_WORDS)
