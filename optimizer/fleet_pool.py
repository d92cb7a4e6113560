"""How uncertain loads add up on a shard: less than their quantiles do, since not all of them are high at once.

With mean m_k and excess e_k (quantile less mean) of order param k, and errors of pairwise correlation rho, a shard carries
    use = sum m_k + sqrt(rho (sum e_k)^2 + (1 - rho) sum e_k^2)
as in `plb_ray.estimate.load`, whose pooling factor is the root divided by sum e_k. So three sums decide, M = 3:
    sum m,   sum sqrt(rho) e,   sum (1 - rho) e^2
and M = 1 where nothing exceeds. The use is at most sum (m + e), and at least sum (m + sqrt(rho) e): lower bounds on a fleet
stand on the latter, which is linear. Parts of a split order param have an equal share of both m and e.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet_problem import FleetPlan, FleetProblem


def summands(problem: FleetProblem) -> NDArray[np.float64]:
    """Return (K, T, R, M): what each order param adds to the sums of its shard."""
    if problem.excess is None or not problem.excess.any():
        return problem.load[..., None]
    rho, excess = problem.correlation, problem.excess
    return np.stack([problem.load, np.sqrt(rho) * excess, (1 - rho) * excess**2], axis=-1)


def used(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the load (...) that sums (..., M) make."""
    if sums.shape[-1] == 1:
        return sums[..., 0]
    return np.asarray(sums[..., 0] + np.sqrt(sums[..., 1] ** 2 + np.maximum(0.0, sums[..., 2])))


def least(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (...) what each adds at least to the load of any shard."""
    return sums[..., 0] if sums.shape[-1] == 1 else np.asarray(sums[..., 0] + sums[..., 1])


def shared(sums: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the summands of one of `parts` (P,) equal parts of each (P, ..., M)."""
    power = np.array([1.0, 1.0, 2.0])[: sums.shape[-1]]
    return np.asarray(sums / (parts.reshape(-1, *(1,) * (sums.ndim - 1)) ** power))


def shard_loads(problem: FleetProblem, plan: FleetPlan) -> NDArray[np.float64]:
    """Return (B, T, R): what each shard of the fleet carries."""
    parts = np.bincount(plan.origin, minlength=len(problem.order_params))[plan.origin]
    return used(per_shard(shared(summands(problem)[plan.origin], parts), plan.shard_of, plan.shards))


def planned_load(problem: FleetProblem, plan: FleetPlan) -> NDArray[np.float64]:
    """Return (K, T, R) loads that add up to what each shard of the fleet carries: mean + f x excess, f of the shard.

    An order param without a shard pools with nothing; a split one counts as in the part that pools least.
    """
    if problem.excess is None:
        return problem.load
    factor = np.ones_like(problem.load)
    if plan.shards:
        own = shard_loads(problem, plan) - shard_loads(replace(problem, excess=None), plan)  # (B, T, R)
        parts = np.bincount(plan.origin, minlength=len(problem.order_params))[plan.origin]
        total = per_shard(problem.excess[plan.origin] / parts[:, None, None], plan.shard_of, plan.shards)
        share = np.divide(own, total, out=np.ones_like(own), where=total > 0)
        factor[plan.origin] = 0.0
        np.maximum.at(factor, plan.origin, share[plan.shard_of])
    return np.asarray(problem.load + factor * problem.excess)
