"""Seasonal naive with empirical errors: the forecast that is there at once and never fails.

For order param k, horizon step h and an origin t (the first step to foresee), with x the rates:

    season(k, h, t) = mean of x at t + h minus 1..4 weeks    (two weeks of history or more)
                      mean of x at t + h minus 1..7 days     (less)
    last(k, t)      = x at t - 1
    point           = w * last + (1 - w) * season,           w in WEIGHTS
    quantile(q)     = max(0, point + q-quantile of the errors x - point at past origins)

The past origins are those of the last DAYS days within NEAR_S of the present time of day, because a night is not as
uncertain as a rush hour, and the RECENT latest ones, because today may differ. Each order param and step takes the w
with the smallest mean absolute error over them: an order param with no rhythm is foreseen by its last rate, one with a
timetable by its season. Where fewer than ORIGINS_MIN origins have a season before them it is the last rate alone.
There is nothing to fit; everything is read from the history handed in.

References:
    Hyndman & Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., sections 5.2 and 5.5 (bootstrapped errors).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, LEVELS, WEEK_S, make_forecast, on_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import Forecast, Horizon, RateHistory

SOURCE = "seasonal_naive"
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
DAYS = 14
NEAR_S = 40 * 60
NEAR_STEPS_MAX = 4
RECENT = 24
ORIGINS_MIN = 8
WEEK_LAGS = 4
DAY_LAGS = 7

BASELINE_LOOKBACK_S = WEEK_LAGS * WEEK_S + (DAYS + 2) * DAY_S
"""How much history is made use of: four weeks of season before the oldest origin whose error is counted."""


def seasonal_naive(history: RateHistory, horizon: Horizon) -> Forecast:
    """Return the baseline's forecast for every order param of `history`.

    Raises:
        NoForecastError: the history holds no step.
        BadInputError: the horizon's step is no multiple of the history's.
    """
    grid = on_grid(history, horizon)
    grid = grid.last(BASELINE_LOOKBACK_S // grid.step_s)
    return make_forecast(grid, horizon, _quantiles(grid, horizon.steps), SOURCE)


def _quantiles(grid: RateHistory, steps: int) -> NDArray[np.float32]:
    """Return (K, H, Q), not yet cut to valid rates."""
    rates = np.asarray(grid.messages_per_s)  # (K, T)
    now = rates.shape[1]
    lags, origins = _season_and_origins(now, grid.step_s, steps)
    blends = WEIGHTS if lags else (1.0,)
    by_step = [_one_step(rates, now, origins, step, lags, blends) for step in range(steps)]
    return np.stack(by_step, axis=1)


def _season_and_origins(now: int, step_s: int, steps: int) -> tuple[list[int], NDArray[np.intp]]:
    """Return the lags of the season (none = no season) and the past origins (N,) to learn the errors from."""
    origins = _past_origins(now, step_s, steps)
    lags = _season_lags(now, step_s, steps)
    with_season = origins[origins >= min(lags, default=now)]
    if len(with_season) >= ORIGINS_MIN:
        return lags, with_season
    latest = np.arange(max(1, now - steps - 6 * RECENT), now - steps + 1)
    return [], latest


def _season_lags(now: int, step_s: int, steps: int) -> list[int]:
    """Return the lags, shortest first: those that every horizon step knows and that the history reaches back to."""
    season_s, count = (WEEK_S, WEEK_LAGS) if now * step_s >= 2 * WEEK_S else (DAY_S, DAY_LAGS)
    season = max(1, season_s // step_s)
    first = -(-steps // season)
    return [lag for i in range(count) if (lag := season * (first + i)) <= now]


def _past_origins(now: int, step_s: int, steps: int) -> NDArray[np.intp]:
    """Return origins whose every horizon step has happened: near this time of day on past days, and the latest ones."""
    day = max(1, DAY_S // step_s)
    near = min(NEAR_STEPS_MAX, NEAR_S // step_s)
    same_time = now - day * np.arange(1, DAYS + 1)[:, None] + np.arange(-near, near + 1)
    latest = now - steps - np.arange(RECENT)
    origins = np.unique(np.concatenate([same_time.ravel(), latest]))
    return origins[(origins >= 1) & (origins <= now - steps)]


def _one_step(
    rates: NDArray[np.float32],
    now: int,
    origins: NDArray[np.intp],
    step: int,
    lags: list[int],
    blends: tuple[float, ...],
) -> NDArray[np.float32]:
    """Return the quantiles (K, Q) of one horizon step."""
    times = np.append(origins, now)  # (N + 1,) the last one is the origin to foresee
    last = rates[:, times - 1]  # (K, N + 1)
    season = _season(rates, times, step, lags)
    actual = rates[:, origins + step]  # (K, N)
    best_point, best_error = last, np.full(len(rates), np.inf)
    for blend in blends:
        point = blend * last + (1.0 - blend) * season
        error = np.abs(actual - point[:, :-1]).mean(axis=1) if len(origins) else np.zeros(len(rates))
        better = error < best_error
        best_point = np.where(better[:, None], point, best_point)
        best_error = np.where(better, error, best_error)
    spread = _error_quantiles(actual - best_point[:, :-1])
    return best_point[:, -1:] + spread


def _season(rates: NDArray[np.float32], times: NDArray[np.intp], step: int, lags: list[int]) -> NDArray[np.float32]:
    """Return the seasonal forecast (K, N) of horizon step `step` at each origin: the mean of the lags that exist there."""
    total = np.zeros((len(rates), len(times)), dtype=np.float32)
    count = np.zeros(len(times), dtype=np.float32)
    for lag in lags:
        there = times >= lag
        total[:, there] += rates[:, times[there] + step - lag]
        count += there
    return total / np.maximum(count, 1)


def _error_quantiles(errors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the quantiles (K, Q) of errors (K, N); zeros when there are none.

    Weibull's plotting positions (Hyndman & Fan 1996, type 6): with few errors they reach further out than the usual ones.
    """
    count = errors.shape[1]
    if count == 0:
        return np.zeros((len(errors), len(LEVELS)), dtype=np.float32)
    ordered = np.sort(errors, axis=1)
    position = np.clip(np.asarray(LEVELS) * (count + 1) - 1, 0, count - 1)  # (Q,)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, count - 1)
    weight = (position - below).astype(np.float32)
    return (1 - weight) * ordered[:, below] + weight * ordered[:, above]
