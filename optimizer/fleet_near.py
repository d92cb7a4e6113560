"""From a packing that knows nothing of today's mapping to one that leaves nearly everything where it is.

A packing of a fleet is sound, but nothing in it corresponds to what there is. First each of its shards is given the existing
one with which it shares the most load (an assignment problem; Kuhn, "The Hungarian method", 1955). Then order params go
home, one by one, the smallest first, where there is room at every step, or in exchange for one that is not at home there.
Each that leaves frees room for others, so this is repeated. Every state on the way is sound, so the result is. It is a
heuristic: how few moves the fleet allows is not known, but what has no home in it moves whatever is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet_pack import used_with
from optimizer.fleet_parts import TOLERANCE
from optimizer.fleet_pool import shared, summands, used
from optimizer.jit import kernel
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet_problem import FleetPlan, FleetProblem

PASSES = 12


def near_home(
    problem: FleetProblem,
    plan: FleetPlan,
    capacity: NDArray[np.float64],
    may_stand: NDArray[np.bool_],
    current: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return (P,) the shard of each part of the plan, with as few away from where they are as was found.

    Args:
        problem: what the plan was made for.
        plan: a sound fleet.
        capacity: (S, R) of the shards that there are and will be.
        may_stand: (Y, S) which of them may stand for one of the fleet's types.
        current: (K,) shard of each order param today, -1 for none. One that may not stand for any type is emptied.
    """
    parts = np.bincount(plan.origin, minlength=len(problem.order_params))[plan.origin]
    load = shared(summands(problem)[plan.origin], parts)
    load = np.ascontiguousarray(load.reshape(plan.origin.size, np.prod(load.shape[1:3]), load.shape[3]))  # (P, D, M)
    limit = np.tile(capacity * problem.headroom * (1 + TOLERANCE / 2), (1, problem.load.shape[1]))  # (S, D)
    shard_of = _matched(plan, used(load), current[plan.origin], may_stand)
    staying = np.where(may_stand.any(axis=0), np.arange(limit.shape[0]), -1)
    home = np.where(parts == 1, np.append(staying, -1)[current[plan.origin]], -1)
    use = per_shard(load, shard_of, limit.shape[0])
    size = (used(load) / np.where(np.isfinite(limit), limit, np.inf).max(axis=0)).max(axis=1, initial=0.0)
    order = np.argsort(size, kind="stable").astype(np.int64)
    for _ in range(PASSES):
        if not go_home(order, load, limit, home, parts == 1, shard_of, use):
            break
    return shard_of


@kernel
def _room(
    shard: int, comes: int, goes: int, load: NDArray[np.float64], limit: NDArray[np.float64], use: NDArray[np.float64]
) -> bool:
    """Return whether a shard keeps its limits once a part has come and another has gone (-1: none)."""
    for column in range(load.shape[1]):  # noqa: SIM110 - numba compiles no generator
        if used_with(shard, column, comes, goes, load, use) > limit[shard, column]:
            return False
    return True


@kernel
def go_home(
    order: NDArray[np.int64],
    load: NDArray[np.float64],
    limit: NDArray[np.float64],
    home: NDArray[np.int64],
    alone: NDArray[np.bool_],
    shard_of: NDArray[np.int64],
    use: NDArray[np.float64],
) -> int:
    """Let each part of `order` go home if there is room, or in exchange for one that is not at home there.

    Only parts that are `alone` (P,), the only ones of their order param, are sent away for it. Returns how many went home.
    """
    went = 0
    for part in order:
        here, there = shard_of[part], home[part]
        if there < 0 or there == here:
            continue
        if _room(there, part, -1, load, limit, use):
            use[here] -= load[part]
            use[there] += load[part]
            shard_of[part] = there
            went += 1
            continue
        for other in order:
            if shard_of[other] != there or home[other] == there or not alone[other]:
                continue
            if _room(there, part, other, load, limit, use) and _room(here, other, part, load, limit, use):
                use[here] += load[other] - load[part]
                use[there] += load[part] - load[other]
                shard_of[part], shard_of[other] = there, here
                went += 1
                break
    return went


def _matched(
    plan: FleetPlan, load: NDArray[np.float64], current: NDArray[np.int64], may_stand: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return (P,) the shard of each part, with each of the fleet's shards at one that there is; `load` (P, D)."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import

    weight = (load / load.sum(axis=0, keepdims=True).clip(1e-300)).max(axis=1, initial=0.0)
    stays = np.zeros((plan.shards, may_stand.shape[1]))
    here = current >= 0
    np.add.at(stays, (plan.shard_of[here], current[here]), weight[here])
    stays[~may_stand[plan.shard_type]] = -1.0 - weight.sum()
    return np.asarray(linear_sum_assignment(stays, maximize=True)[1][plan.shard_of], dtype=np.int64)
