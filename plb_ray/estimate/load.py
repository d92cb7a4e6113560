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

Where it is known how the errors came together in the past, joint scenarios take the place of rho and of the normal law
(`plb_ray.estimate.scenarios`): at the steps that the past tells of, f_s is the scenarios' excess / sum e_k, and the steps
next to those take over its ratio to the formula's.

The level is a newsvendor's: q = C_overload / (C_overload + C_idle), what a unit too little costs against a unit too much,
for each resource (Arrow, Harris and Marschak, Econometrica 19 (1951)).

Bands. Each order param's load lies between `lower` and `upper` in BAND of all cases: of the forecast's quantiles and of the
cost's error bars, as of independent errors, so their distances from the mean add up in squares. They are of each order param
alone and do not add up over a shard: the errors of costs learned from one shard's sum cancel in that sum, which is why the
target holds no part of them. Memory does not follow the rate, and its bounds are its mean.

The mean of an order param is taken from its quantiles: trapezoids between the levels; above the highest level an exponential
tail through the last two levels, below the lowest a straight line, not below 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.load import RESOURCES, LoadEstimate
from plb_ray.estimate.cost import BAND
from plb_ray.estimate.pooling import CORRELATION, Pooling, factors, pasts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from plb_ray.domain.rates import Forecast
    from plb_ray.estimate.cost import Bands, CostModel
    from plb_ray.estimate.scenarios import Scenarios

_OUTSIDE = (1 - BAND) / 2


def estimate_load(
    short: Forecast,
    cost: CostModel,
    level: float | Sequence[float],
    owner: NDArray[np.int64],
    medium: Forecast | None = None,
    medium_hours: float = 0.0,
    correlation: float = CORRELATION,
    scenarios: Scenarios | None = None,
) -> LoadEstimate:
    """Return the load of each order param at each coming step.

    Args:
        short: forecast whose steps all count.
        cost: cost per message.
        level: quantile level of a shard's load that must fit, in (0, 1); of all resources, or (R,) one of each.
        owner: (K,) index of the shard of each order param of `short`; who shares an index is pooled.
        medium: forecast that goes on where the short one ends. An order param that it lacks keeps its last short rate.
        medium_hours: how many hours from the short cutoff on to look ahead with it; 0 for none.
        correlation: rho, between any two order params' forecast errors, in [0, 1].
        scenarios: how errors came together in the past; None or too few: rho alone counts.

    Returns:
        Steps: all of `short`, then those parts of `medium` that lie behind it; K order params as in `short`.
    """
    levels = tuple(level) if not isinstance(level, float) else (level,) * len(RESOURCES)
    used = medium if medium_hours > 0 else None
    steps = _steps(short, used, sorted({*levels, _OUTSIDE, 1 - _OUTSIDE}), medium_hours)
    names, count = short.order_params, len(short.order_params)
    base = cost.load(names, np.zeros(count))  # (K, R): memory, which does not follow the rate
    unit = cost.load(names, np.ones(count)) - base  # (K, R)
    expected = base[:, None, :] + steps.mean[..., None] * unit[:, None, :]  # (K, T, R)
    target = expected.copy()
    pasts = pasts_of(short, used, steps.starts_s, scenarios)
    for each in set(levels):
        of = [resource for resource, its in enumerate(levels) if its == each and unit[:, resource].any()]
        excess = np.maximum(0.0, steps.at[each] - steps.mean)[..., None] * unit[:, None, of]
        pooling = Pooling(names, owner, correlation, each, pasts)
        target[..., of] += factors(excess, pooling, unit[:, of], expected[..., of]) * excess
    lower, upper = _bands(cost.bands(names), steps, unit, expected)
    return LoadEstimate(names, steps.starts_s, target, expected, max(levels), lower, upper)


@dataclass(frozen=True, eq=False)
class _Steps:
    """Rates foreseen: (T,) starts, (K, T) mean, and (K, T) at some quantile levels."""

    starts_s: NDArray[np.int64]
    mean: NDArray[np.float64]
    at: dict[float, NDArray[np.float64]]


def _steps(short: Forecast, medium: Forecast | None, levels: list[float], hours: float) -> _Steps:
    """Return all steps that are looked at: those of the short forecast, then those of the medium one that lie behind it.

    Medium steps count that end after the short ones do and start within `hours` of the cutoff; the one that the short
    horizon ends in is cut off at its start, so that no time is left out. Who is not in the medium forecast keeps its last
    short rate.
    """
    near = _of(short, levels)
    if medium is None:
        return near
    short_end_s = short.cutoff_s + short.horizon.step_s * short.horizon.steps
    starts_s, until_s = _starts_s(medium), short.cutoff_s + hours * 3600
    used = (starts_s + medium.horizon.step_s > short_end_s) & (np.maximum(starts_s, short_end_s) < until_s)
    far = _of(replace(medium, messages_per_s=medium.messages_per_s[:, used]), levels)
    rows = np.array([medium.index.get(name, -1) for name in short.order_params], dtype=np.int64)

    def joined(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(after):
            after = np.zeros((1, after.shape[1]))
        return np.concatenate([before, np.where((rows < 0)[:, None], before[:, -1:], after[rows])], axis=1)

    return _Steps(
        np.concatenate([near.starts_s, np.maximum(starts_s[used], short_end_s)]),
        joined(near.mean, far.mean),
        {level: joined(near.at[level], far.at[level]) for level in levels},
    )


def _of(forecast: Forecast, levels: list[float]) -> _Steps:
    at = {level: np.asarray(forecast.at_level(level), dtype=np.float64) for level in levels}
    return _Steps(_starts_s(forecast), mean_rates(forecast), at)


def _starts_s(forecast: Forecast) -> NDArray[np.int64]:
    return forecast.cutoff_s + forecast.horizon.step_s * np.arange(forecast.horizon.steps, dtype=np.int64)


def _bands(
    bands: Bands, steps: _Steps, unit: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (K, T, R) lower and upper."""
    follows = unit.any(axis=0)
    mean, per_message = steps.mean.astype(np.float32)[..., None], unit.astype(np.float32)[:, None, :]
    sides = []
    for rates, of_cost in ((steps.at[_OUTSIDE], bands.lower), (steps.at[1 - _OUTSIDE], bands.upper)):
        of_rate = (rates.astype(np.float32)[..., None] - mean) * per_message
        of_message = np.where(follows, of_cost - bands.cost, 0.0).astype(np.float32)[:, None, :] * mean
        sides.append(np.hypot(of_rate, of_message))
    return np.maximum(0.0, expected - sides[0]).astype(np.float32), (expected + sides[1]).astype(np.float32)


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
