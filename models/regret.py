"""What a forecast costs once it is decided on: the overload it lets happen and the capacity it leaves idle.

The decision
    Order params are spread over S shards, longest processing time first: in the order of falling mean rate of the training
    part, each goes to the shard that carries least. At each step the shard s reserves what its load will not exceed with
    probability LEVEL, by the formula of the planner (`plb_ray.estimate.load`), from the quantiles of its order params:

        R_s = sum m_k + sqrt( (1 - rho) sum e_k^2 + rho (sum e_k)^2 ),   e_k = max(0, quantile_k(LEVEL) - m_k)

    When A_s messages come, over = max(0, A_s - R_s) exceed the reserve and idle = max(0, R_s - A_s) were reserved in vain.
    One who reserves at LEVEL holds that an exceeding message costs LEVEL / (1 - LEVEL) = 9 times as much as a reserved one
    that does not come (the newsvendor's critical ratio). So, with sums over shards and steps,

        overload = sum over / sum A        idle = sum idle / sum A        regret = 9 overload + idle

    Perfect foresight has 0. A regret of 0.3 is as bad as always having 30 % more capacity than is used.

References:
    Arrow, Harris, Marschak (1951), "Optimal inventory policy", Econometrica 19, for the critical ratio; Graham (1969),
    "Bounds on multiprocessing timing anomalies", for longest processing time first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.base import LEVELS
from plb_ray.domain.rates import Forecast
from plb_ray.estimate.load import mean_rates
from plb_ray.estimate.pooling import CORRELATION, pooling_factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.backtest_course import Course

LEVEL = 0.9
SHARDS_MAX = 16
PER_SHARD = 4
"""Order params per shard at least, so that pooling matters; a trace with few of them gets few shards."""


@dataclass(frozen=True)
class Regret:
    """Costs per message that came; see the module.

    Attributes:
        regret: 9 overload + idle.
        overload: messages above the reserve.
        idle: reserved and not used.
    """

    regret: float
    overload: float
    idle: float


def regret_of(course: Course, values: NDArray[np.floating]) -> Regret:
    """Return what deciding on quantiles `values` (N, K, H, Q) would have cost at the origins of the course."""
    owner = spread(course.training_means, shards_for(len(course.grid.order_params)))
    reserved = reserve(means(course, values), quantile(values, LEVEL), owner, CORRELATION)  # (S, N H)
    came = per_shard(end_to_end(course.actual), owner)
    total = float(came.sum())
    overload = float(np.maximum(0.0, came - reserved).sum()) / total
    idle = float(np.maximum(0.0, reserved - came).sum()) / total
    return Regret(LEVEL / (1.0 - LEVEL) * overload + idle, overload, idle)


def shards_for(order_params: int) -> int:
    """Return S."""
    return int(np.clip(order_params // PER_SHARD, 1, SHARDS_MAX))


def spread(means: NDArray[np.floating], shards: int) -> NDArray[np.int64]:
    """Return (K,) the shard of each order param, longest processing time first; ties go to the one that comes first."""
    owner = np.zeros(len(means), dtype=np.int64)
    carried = np.zeros(shards)
    for row in np.argsort(-means, kind="stable"):
        owner[row] = int(np.argmin(carried))
        carried[owner[row]] += means[row]
    return owner


def end_to_end(rates: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return rates (N, K, H) as (K, N H): the horizons of all origins one after the other."""
    return np.asarray(rates.swapaxes(0, 1).reshape(rates.shape[1], -1), dtype=np.float64)


def means(course: Course, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (K, N H) the means of distributions that are given by their quantiles (N, K, H, Q)."""
    count, rows, steps, levels = values.shape
    in_a_row = values.swapaxes(0, 1).reshape(rows, count * steps, levels)
    long = replace(course.horizon, steps=count * steps)
    names = course.grid.order_params
    return mean_rates(Forecast(names, long, course.grid.end_s, LEVELS, in_a_row, ("",) * rows))


def quantile(values: NDArray[np.floating], level: float) -> NDArray[np.float64]:
    """Return (K, N H) one of the LEVELS of (N, K, H, Q)."""
    return end_to_end(values[..., LEVELS.index(level)])


def reserve(
    mean: NDArray[np.float64], upper: NDArray[np.float64], owner: NDArray[np.int64], correlation: float
) -> NDArray[np.float64]:
    """Return (S, M) what each shard reserves at each of M steps, from (K, M) means and quantiles; see the module."""
    excess = np.maximum(0.0, upper - mean)
    return per_shard(mean + pooling_factors(excess, owner, correlation) * excess, owner)


def per_shard(values: NDArray[np.floating], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (S, M) the sums of (K, M) over the order params of each shard."""
    total = np.zeros((int(owner.max()) + 1, values.shape[1]))
    np.add.at(total, owner, values)
    return total
