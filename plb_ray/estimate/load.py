"""From forecasts of rates to the load to plan with: what a shard needs so that it suffices with probability `level`.

The mathematics of the target
    A shard's load is the sum of its order params' loads. Means add up; quantiles do not: the sum of 0.9-quantiles of 50
    independent order params is exceeded far less than one time in ten, and planning on it wastes most of the shards.
    With mean m_k and excess e_k = max(0, q-quantile of k - m_k) of each order param k on shard s, the q-quantile of the
    sum is approximated by

        sum m_k  +  sqrt( (1 - rho) sum e_k^2  +  rho (sum e_k)^2 )

    which is exact for normal loads with pairwise correlation rho (there e_k = z_q sd_k, and variances add up), and for
    one order param alone; for many it holds by the central limit theorem. rho = 1 gives back the sum of quantiles, rho = 0
    independence. So that a planner can go on adding up loads per order param, the pooled excess is shared out:

        target_k = m_k + f_s e_k,      f_s = sqrt( rho + (1 - rho) sum e_k^2 / (sum e_k)^2 )

    with one pooling factor f_s per shard, step and resource, from the allocation as it is: exact for where things are,
    an approximation for where they might go. The same square-root law is the "risk pooling" of Eppen, "Effects of
    centralization on expected costs in a multi-location newsboy problem", Management Science 25 (1979).

The mean of an order param is taken from its quantiles: trapezoids between the levels; above the highest level an exponential
tail through the last two levels, below the lowest a straight line, not below 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.load import LoadEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import Forecast
    from plb_ray.estimate.cost import CostModel

CORRELATION = 0.1  # errors of order params with common customers and clocks move together; 0 would trust them not to


def estimate_load(
    short: Forecast,
    cost: CostModel,
    level: float,
    owner: NDArray[np.int64],
    medium: Forecast | None = None,
    medium_hours: float = 0.0,
    correlation: float = CORRELATION,
) -> LoadEstimate:
    """Return the load of each order param at each coming step.

    Args:
        short: forecast whose steps all count.
        cost: cost per message.
        level: quantile level of a shard's load that must fit, in (0, 1).
        owner: (K,) index of the shard of each order param of `short`; who shares an index is pooled.
        medium: forecast that goes on where the short one ends. An order param that it lacks keeps its last short rate.
        medium_hours: how many hours from the short cutoff on to look ahead with it; 0 for none.
        correlation: rho, between any two order params' forecast errors, in [0, 1].

    Returns:
        Steps: all of `short`, then those parts of `medium` that lie behind it; K order params as in `short`.
    """
    starts_s, mean, upper = short_steps(short, level)
    if medium is not None and medium_hours > 0:
        later = medium_steps(short, medium, level, medium_hours)
        starts_s = np.concatenate([starts_s, later[0]])
        mean, upper = np.concatenate([mean, later[1]], axis=1), np.concatenate([upper, later[2]], axis=1)
    expected = cost.load(short.order_params, mean)  # (K, T, R)
    excess = np.maximum(0.0, cost.load(short.order_params, np.maximum(mean, upper)) - expected)
    target = expected + pooling_factors(excess, owner, correlation) * excess
    return LoadEstimate(short.order_params, starts_s, target, expected, level)


Steps = tuple["NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.float64]"]  # (T,) starts, (K, T) mean, (K, T) quantile


def short_steps(forecast: Forecast, level: float) -> Steps:
    """Return starts, mean rates and rates at the level of every step."""
    starts_s = forecast.cutoff_s + forecast.horizon.step_s * np.arange(forecast.horizon.steps, dtype=np.int64)
    return starts_s, mean_rates(forecast), np.asarray(forecast.at_level(level), dtype=np.float64)


def medium_steps(short: Forecast, medium: Forecast, level: float, hours: float) -> Steps:
    """Return the same of the medium steps that end after the short ones do and start within `hours` of the cutoff.

    The step that the short horizon ends in is cut off at its start, so that no time is left out.
    """
    starts_s, mean, upper = short_steps(medium, level)
    short_end_s = short.cutoff_s + short.horizon.step_s * short.horizon.steps
    until_s = short.cutoff_s + hours * 3600
    used = (starts_s + medium.horizon.step_s > short_end_s) & (np.maximum(starts_s, short_end_s) < until_s)
    rows = np.array([medium.index.get(name, -1) for name in short.order_params], dtype=np.int64)
    lacking = (rows < 0)[:, None]
    last_mean, last_upper = mean_rates(short)[:, -1:], np.asarray(short.at_level(level), dtype=np.float64)[:, -1:]
    return (
        np.maximum(starts_s[used], short_end_s),
        np.where(lacking, last_mean, mean[rows][:, used]),
        np.where(lacking, last_upper, upper[rows][:, used]),
    )


def mean_rates(forecast: Forecast) -> NDArray[np.float64]:
    """Return (K, H) the approximate mean of each distribution that is given by its quantiles."""
    values = np.asarray(forecast.messages_per_s, dtype=np.float64)  # (K, H, Q)
    levels = np.asarray(forecast.levels)
    if levels.size == 1:
        return values[:, :, 0]
    between = ((values[:, :, 1:] + values[:, :, :-1]) / 2 * np.diff(levels)).sum(axis=2)
    return np.asarray(between + _lower_tail(values, levels) + _upper_tail(values, levels), dtype=np.float64)


def _upper_tail(values: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K, H) the part above the highest level: an exponential tail exceeds its start by its scale on average."""
    scale = (values[:, :, -1] - values[:, :, -2]) / np.log((1 - levels[-2]) / (1 - levels[-1]))
    return np.asarray((1 - levels[-1]) * (values[:, :, -1] + scale), dtype=np.float64)


def _lower_tail(values: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    slope = (values[:, :, 1] - values[:, :, 0]) / (levels[1] - levels[0])
    lowest = np.maximum(0.0, values[:, :, 0] - slope * levels[0])
    return np.asarray(levels[0] * (values[:, :, 0] + lowest) / 2, dtype=np.float64)


def pooling_factors(excess: NDArray[np.float64], owner: NDArray[np.int64], correlation: float) -> NDArray[np.float64]:
    """Return (K, ...) the factor f of each order param's shard; 1 where nothing exceeds.

    Args:
        excess: (K, ...) e >= 0.
        owner: (K,) index >= 0 of the shard.
        correlation: rho in [0, 1].
    """
    assert 0 <= correlation <= 1
    sums, squares = _per_shard(excess, owner), _per_shard(excess**2, owner)
    with np.errstate(invalid="ignore", divide="ignore"):
        concentration = np.where(sums > 0, squares / sums**2, 1.0)  # 1 / (effective number of order params)
    factors = np.sqrt(correlation + (1 - correlation) * np.minimum(1.0, concentration))
    return np.asarray(factors[owner], dtype=np.float64)


def residual_correlation(residuals: NDArray[np.floating]) -> float:
    """Return the mean pairwise correlation of forecast errors, weighted by their deviations: rho of the formula above.

    From Var(sum r_k) = sum Var(r_k) + rho ((sum sd_k)^2 - sum Var(r_k)); clipped to [0, 1].

    Args:
        residuals: (K, N) errors of K order params at N past steps.
    """
    deviations = residuals.std(axis=1)
    variances = float((deviations**2).sum())
    pairs = float(deviations.sum() ** 2) - variances
    if pairs <= 0:
        return 0.0
    return float(np.clip((residuals.sum(axis=0).var() - variances) / pairs, 0.0, 1.0))


def _per_shard(values: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum (K, ...) over the order params of each shard: (S, ...)."""
    total = np.zeros((int(owner.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(total, owner, values)
    return total
