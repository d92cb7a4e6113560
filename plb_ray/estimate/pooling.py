"""How far the errors of a shard's order params cancel: the pooling factors f_s of `plb_ray.estimate.load`. Pure.

By the formula with one correlation rho; corrected at steps whose joint scenarios are known (`plb_ray.estimate.scenarios`).

Axes: K order params, T steps, R' resources with the same quantile level, S shards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.sums import per_shard
from plb_ray.estimate.scenarios import PRIOR_SCENARIOS, scenario_rates, shard_excess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import Forecast
    from plb_ray.estimate.scenarios import ScenarioGroup, Scenarios

CORRELATION = 0.1  # errors of order params with common customers and clocks move together; 0 would trust them not to


@dataclass(frozen=True, eq=False)
class Past:
    """A step that scenarios are known of.

    Attributes:
        group: its scenarios.
        forecast: that it is part of.
        column: there.
        step: its index among all steps.
        followers: indices of the steps whose factors are corrected like its own, itself included.
    """

    group: ScenarioGroup
    forecast: Forecast
    column: int
    step: int
    followers: NDArray[np.int64]

    def rows(self, order_params: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (K,) rows in the group and in the forecast; both -1 where either knows too little of it."""
        theirs = self.group.rows(order_params)
        of_forecast = np.array([self.forecast.index.get(name, -1) for name in order_params], dtype=np.int64)
        both = (theirs >= 0) & (of_forecast >= 0)
        return np.where(both, theirs, -1), np.where(both, of_forecast, -1)


@dataclass(frozen=True, eq=False)
class Pooling:
    """What decides how far errors cancel.

    Attributes:
        order_params: (K,) names.
        owner: (K,) shard of each.
        correlation: rho.
        level: quantile level of the sums.
        pasts: steps that scenarios are known of.
    """

    order_params: tuple[str, ...]
    owner: NDArray[np.int64]
    correlation: float
    level: float
    pasts: list[Past]


def pasts_of(
    short: Forecast, medium: Forecast | None, starts_s: NDArray[np.int64], scenarios: Scenarios | None
) -> list[Past]:
    """Return, for each group of scenarios that is the nearest to some steps, the step that it is worked out at."""
    if scenarios is None:
        return []
    found: dict[tuple[str, int], list[tuple[int, int, Forecast, ScenarioGroup]]] = {}
    for step, start_s in enumerate(starts_s.tolist()):
        forecast = short if step < short.horizon.steps or medium is None else medium
        column = int((start_s - forecast.cutoff_s) // forecast.horizon.step_s)
        group = scenarios.nearest(forecast.horizon.name, (column + 1) * forecast.horizon.step_s)
        if group is not None:
            found.setdefault((group.horizon, group.ahead_s), []).append((step, column, forecast, group))
    return [_past(steps) for steps in found.values()]


def _past(steps: list[tuple[int, int, Forecast, ScenarioGroup]]) -> Past:
    """Return where a group is worked out: at the step nearest to its own; its other steps follow."""
    step, column, forecast, group = min(steps, key=lambda s: abs((s[1] + 1) * s[2].horizon.step_s - s[3].ahead_s))
    return Past(group, forecast, column, step, np.array([each[0] for each in steps], dtype=np.int64))


def factors(
    excess: NDArray[np.float64], pooling: Pooling, unit: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (K, T, R') the pooling factors: the formula's, corrected at the steps that scenarios are known of.

    Args:
        excess: (K, T, R') load at the level less mean load, >= 0.
        pooling: how errors cancel.
        unit: (K, R') load of a message per second.
        expected: (K, T, R') mean load.
    """
    found = pooling_factors(excess, pooling.owner, pooling.correlation)
    for past in pooling.pasts:
        at = past.step
        corrected = _scenario_factors(excess[:, at], expected[:, at], unit, past, pooling)  # (K, R')
        ratio = np.divide(corrected, found[:, at], out=np.ones_like(corrected), where=found[:, at] > 0)
        found[:, past.followers] = np.clip(found[:, past.followers] * ratio[:, None], 0.0, 1.0)
    return found


def _scenario_factors(
    excess: NDArray[np.float64],
    mean: NDArray[np.float64],
    unit: NDArray[np.float64],
    past: Past,
    pooling: Pooling,
) -> NDArray[np.float64]:
    """Return (K, R') the factors at one step by its scenarios, averaged with the formula; arrays are (K, R')."""
    owner, rho = pooling.owner, pooling.correlation
    shards = int(owner.max(initial=-1)) + 1
    rows, of_forecast = past.rows(pooling.order_params)
    has = rows >= 0
    rates = scenario_rates(
        past.forecast.messages_per_s[of_forecast[has], past.column], past.forecast.levels, past.group, rows[has]
    )
    found = np.column_stack(
        [shard_excess(rates, unit[has, r], mean[has, r], owner[has], shards, pooling.level) for r in range(unit.shape[1])]
    )
    rest = np.where(has[:, None], 0.0, excess)
    sums, lacking = per_shard(excess, owner, shards), per_shard(rest, owner, shards)  # (S, R')
    formula = rho * sums**2 + (1 - rho) * per_shard(excess**2, owner, shards)
    alone = rho * lacking**2 + (1 - rho) * per_shard(rest**2, owner, shards)
    joint = found**2 + alone + 2 * rho * (sums - lacking) * lacking
    scenarios = past.group.levels.shape[1]
    squared = (scenarios * joint + PRIOR_SCENARIOS * formula) / (scenarios + PRIOR_SCENARIOS)
    pooled = np.sqrt(np.divide(squared, sums**2, out=np.ones_like(sums), where=sums > 0))
    return np.asarray(np.minimum(1.0, pooled)[owner])


def pooling_factors(excess: NDArray[np.float64], owner: NDArray[np.int64], correlation: float) -> NDArray[np.float64]:
    """Return (K, ...) the factor f of each order param's shard; 1 where nothing exceeds.

    Args:
        excess: (K, ...) e >= 0.
        owner: (K,) index >= 0 of the shard.
        correlation: rho in [0, 1].
    """
    assert 0 <= correlation <= 1
    shards = int(owner.max(initial=-1)) + 1
    sums, squares = per_shard(excess, owner, shards), per_shard(excess**2, owner, shards)
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
