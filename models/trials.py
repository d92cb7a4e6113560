"""A challenger's trial: what is held out of a history, the losses of forecasts of it, and whether one is really better.

The mathematics of the test
    Two forecasters have the losses a_n and b_n at the same N origins; d_n = b_n - a_n. Forecasts over H steps made every G
    steps overlap with the L = ceil(H / G) - 1 that follow, so d is correlated up to lag L. With its autocovariances g_l,

        V = (g_0 + 2 sum_{l=1..L} (1 - l / (L + 1)) g_l) / N                      (Newey-West variance of the mean)
        t = mean(d) / sqrt(V) * sqrt((N + 1 - 2h + h (h - 1) / N) / N),  h = L + 1

    is compared with Student's t of N - 1 degrees of freedom; p is the chance of such a t if a were no better than b.

    The correction is severe: where the trial is no longer than two horizons, N is hardly more than h, and no gain at all is
    significant. So a long horizon has more held out than a short one.

References:
    Diebold, Mariano (1995), "Comparing predictive accuracy", J. Bus. Econ. Stat. 13; Newey, West (1987), Econometrica 55;
    Harvey, Leybourne, Newbold (1997), "Testing the equality of prediction mean squared errors", Int. J. Forecasting 13.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr

from models.base import DAY_S, DECILES, on_grid, pinball, truncated
from models.baseline import seasonal_naive
from models.scores import INTERVAL_80, INTERVAL_95, randomised_coverage
from plb_ray.errors import BadInputError, NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from plb_ray.domain.rates import Forecast, Horizon, RateHistory


@dataclass(frozen=True)
class TrialParams:
    """How much is held out and how it is looked at.

    Attributes:
        share: (0, 0.5] of the history that is held out, within the next two bounds.
        tail_s: > 0, most that is held out, where it is more than `tail_horizons`: two days of traffic.
        tail_horizons: 1.., horizons that may be held out anyway: a gain a day ahead shows in a week, not in two days.
        origins_max: 2.., cutoffs at which the held-out tail is forecast.
        rows_max: 1.., order params that are looked at: half of them the busiest, the others taken evenly from the rest.
    """

    share: float = 0.1
    tail_s: int = 2 * DAY_S
    tail_horizons: int = 7
    origins_max: int = 48
    rows_max: int = 2000

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        least = {"tail_s": 1, "tail_horizons": 1, "origins_max": 2, "rows_max": 1}
        if not 0 < self.share <= 0.5 or any(getattr(self, name) < low for name, low in least.items()):
            raise BadInputError(f"{self}: share must be in (0, 0.5], the others at least {least}")


@dataclass(frozen=True, eq=False)
class Tail:
    """What is held out of a history.

    Attributes:
        history: with the tail; only the order params that are looked at.
        grid: the same on the horizon's grid.
        horizon: H steps.
        origins: (N,) ascending, evenly spaced; steps of the grid, at each of which H steps follow.
        learnt_until_s: a forecaster may learn what is before this time.
    """

    history: RateHistory
    grid: RateHistory
    horizon: Horizon
    origins: NDArray[np.intp]
    learnt_until_s: int

    @property
    def cutoffs_s(self) -> NDArray[np.int64]:
        """Time of each origin (N,), seconds since the Unix epoch."""
        return self.grid.start_s + self.origins.astype(np.int64) * self.grid.step_s

    @property
    def overlap(self) -> int:
        """How many of the next forecasts share steps with one."""
        gap = int(np.diff(self.origins).min()) if len(self.origins) > 1 else self.horizon.steps
        return -(-self.horizon.steps // gap) - 1


@dataclass(frozen=True, eq=False)
class Trial:
    """How good one forecaster was on a tail.

    Attributes:
        losses: (N,) weighted quantile loss at each origin, relative to the mean traffic of all origins; `wql` is its mean.
        wql: see `models.base.weighted_quantile_loss`.
        coverage_80: see `models.scores.Scores`.
        coverage_95: the same.
    """

    losses: NDArray[np.float64]
    wql: float
    coverage_80: float
    coverage_95: float


def hold_out(history: RateHistory, horizon: Horizon, params: TrialParams) -> Tail:
    """Return the tail of a history that is kept from training.

    Raises:
        NoForecastError: nothing would be left to learn from.
        BadInputError: the horizon's step is no multiple of the history's.
    """
    part = _looked_at(history, params.rows_max)
    grid = on_grid(part, horizon)
    steps = int(grid.messages_per_s.shape[1])
    first, last = steps - tail_steps(steps, horizon, params), steps - horizon.steps
    learnt_until_s = grid.start_s + first * grid.step_s
    if learnt_until_s <= history.start_s:
        raise NoForecastError(
            f"{history.messages_per_s.shape[1]} steps of {history.step_s} s are too short a history to train on: "
            f"{horizon.steps * horizon.step_s} s are held out to judge by"
        )
    gap = max(1, -(-(last - first) // (params.origins_max - 1)))
    return Tail(part, grid, horizon, np.arange(last, first - 1, -gap)[::-1], learnt_until_s)


def tail_steps(steps: int, horizon: Horizon, params: TrialParams) -> int:
    """Return how many of the grid's `steps` are held out; one horizon at least, however few there are."""
    longest = max(params.tail_horizons * horizon.steps, params.tail_s // horizon.step_s)
    return max(horizon.steps, min(int(params.share * steps), longest))


def until(history: RateHistory, end_s: int) -> RateHistory:
    """Return what was known of a history at a time."""
    return truncated(history, max(0, (end_s - history.start_s) // history.step_s))


def run_trial(predict: Callable[[RateHistory], Forecast], tail: Tail) -> Trial:
    """Return how good forecasts of the tail are, each made from what was known at its origin."""
    steps = tail.horizon.steps
    made = [
        _marks(predict(until(tail.history, at_s)), tail, at)
        for at, at_s in zip(tail.origins, tail.cutoffs_s.tolist(), strict=True)
    ]
    losses, coverage_80, coverage_95 = np.array(made, dtype=np.float64).T  # (N,) each
    traffic = np.mean([np.abs(tail.grid.messages_per_s[:, at : at + steps]).sum(dtype=np.float64) for at in tail.origins])
    losses = losses / max(float(traffic), float(np.finfo(np.float32).tiny))
    return Trial(losses, float(losses.mean()), float(coverage_80.mean()), float(coverage_95.mean()))


def with_spoiled_rows_replaced(forecast: Forecast, history: RateHistory) -> Forecast:
    """Return the forecast with the baseline's row wherever a value is not finite."""
    spoiled = ~np.isfinite(forecast.messages_per_s).all(axis=(1, 2))  # (K,)
    if not spoiled.any():
        return forecast
    names = tuple(name for name, bad in zip(forecast.order_params, spoiled, strict=True) if bad)
    stand_in = seasonal_naive(history.rows(names), forecast.horizon)
    values = forecast.messages_per_s.copy()
    values[spoiled] = stand_in.messages_per_s
    sources = np.where(spoiled, stand_in.sources[0], forecast.sources)
    return replace(forecast, messages_per_s=values, sources=tuple(sources.tolist()))


def significantly_better(losses_a: ArrayLike, losses_b: ArrayLike, overlap: int) -> float:
    """Return the p-value of "a is not better than b" (see the module): small means that a is better.

    Args:
        losses_a: (N,) one loss per origin, in the order of time.
        losses_b: (N,) of the other forecaster, at the same origins.
        overlap: L, how many of the next forecasts share steps with one.

    Returns:
        In [0, 1]; 1 where nothing can be said: too few origins, or losses that are not finite.
    """
    gain = np.asarray(losses_b, dtype=np.float64) - np.asarray(losses_a, dtype=np.float64)
    count, h = len(gain), overlap + 1
    if count <= h or not np.isfinite(gain).all():
        return 1.0
    mean = float(gain.mean())
    variance = _variance_of_mean(gain - mean, overlap)
    if variance <= (1e-12 * mean) ** 2:  # the same gain everywhere
        return 0.0 if mean > 0 else 1.0
    correction = (count + 1 - 2 * h + h * (h - 1) / count) / count
    statistic = mean / math.sqrt(variance) * math.sqrt(correction)
    return float(stdtr(count - 1, -statistic))


def digest_of(history: RateHistory) -> str:
    """Return a short digest of a history's names, times and rates."""
    content = hashlib.sha256(repr((history.order_params, history.start_s, history.step_s)).encode())
    for row in history.messages_per_s:
        content.update(np.ascontiguousarray(row, dtype=np.float32).tobytes())
    return content.hexdigest()[:16]


def _variance_of_mean(deviations: NDArray[np.float64], overlap: int) -> float:
    count = len(deviations)
    covariances = [float(deviations[lag:] @ deviations[: count - lag]) / count for lag in range(overlap + 1)]
    weighted = sum((1 - lag / (overlap + 1)) * covariances[lag] for lag in range(1, overlap + 1))
    return (covariances[0] + 2 * weighted) / count


def _marks(forecast: Forecast, tail: Tail, origin: int) -> tuple[float, float, float]:
    """Return (weighted quantile loss, not yet relative; coverage of 80 %; coverage of 95 %) of one forecast."""
    actual = tail.grid.messages_per_s[:, origin : origin + tail.horizon.steps]  # (K, H)
    said = forecast.messages_per_s  # (K, H, Q)
    loss = 2.0 * float(pinball(actual, said)[..., DECILES].mean(axis=-1).sum())
    one = (actual[None], said[None])
    return loss, randomised_coverage(*one, *INTERVAL_80), randomised_coverage(*one, *INTERVAL_95)


def _looked_at(history: RateHistory, most: int) -> RateHistory:
    """Return the history of at most `most` order params: the busiest, and others evenly from the rest."""
    count = len(history.order_params)
    if count <= most:
        return history
    busiest = np.argsort(-np.nan_to_num(history.messages_per_s).mean(axis=1), kind="stable")
    sure = (most + 1) // 2
    others = np.linspace(sure, count - 1, most - sure).astype(np.intp)
    rows = np.sort(busiest[[*range(sure), *others]])
    return history.rows(tuple(history.order_params[row] for row in rows))
