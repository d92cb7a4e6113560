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
There is nothing to fit; everything is read from the history handed in. `seasonal_naive` is the forecast of the present;
`BaselineForecaster` says the same for many origins, as a member of an ensemble.

References:
    Hyndman & Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., sections 5.2 and 5.5 (bootstrapped errors).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, LEVELS, RATE_MAX_PER_S, WEEK_S, make_forecast, on_grid, truncated
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
FORMAT = 1
MANIFEST = "baseline.json"
ROWS = 2048
"""Order params that are worked on at a time: their errors stay in the processor's cache."""

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


class BaselineForecaster:
    """The same for many origins. Implements `models.candidate.Member`; nothing is learnt."""

    name = "baseline"
    made_for = ""
    lookback_s = BASELINE_LOOKBACK_S
    training_s = 0

    def __init__(self) -> None:
        self._horizon: Horizon | None = None

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:  # noqa: ARG002
        """See `Candidate`: only the horizon is noted."""
        self._horizon = horizon
        on_progress(1.0)

    def learn_on(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: the same as `fit`."""
        self.fit(grid, self._noted(), on_progress)

    def specialise(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """See `Member`: each order param is on its own anyway."""
        self.learn_on(grid, on_progress)

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Candidate`."""
        steps, lookback = self._noted().steps, self.lookback_s // grid.step_s
        values = np.empty((len(origins), len(grid.order_params), steps, len(LEVELS)), dtype=np.float32)
        for i, origin in enumerate(origins):
            values[i] = _quantiles(truncated(grid, int(origin)).last(lookback), steps)
        return np.sort(np.clip(values, 0.0, RATE_MAX_PER_S, out=values), axis=3)

    def save(self, folder: Path) -> None:
        """See `Member`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(_manifest(self._noted())), encoding="utf-8")

    def load(self, folder: Path, horizon: Horizon) -> None:
        """See `Member`."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
        if content != _manifest(horizon):
            raise NoForecastError(f"the artifact in {folder} was made for other settings; train again")
        self._horizon = horizon

    def _noted(self) -> Horizon:
        if self._horizon is None:
            raise NoForecastError("the baseline was not given its horizon yet; call fit or load first")
        return self._horizon


def _manifest(horizon: Horizon) -> dict[str, object]:
    return {"format": FORMAT, "horizon": asdict(horizon)}


def _quantiles(grid: RateHistory, steps: int) -> NDArray[np.float32]:
    """Return (K, H, Q), not yet cut to valid rates."""
    rates = np.asarray(grid.messages_per_s)  # (K, T)
    now = rates.shape[1]
    lags, origins = _season_and_origins(now, grid.step_s, steps)
    values = np.empty((len(rates), steps, len(LEVELS)), dtype=np.float32)
    for begin in range(0, len(rates), ROWS):
        part = np.ascontiguousarray(rates[begin : begin + ROWS])  # `take` would copy a view whole at every call
        last = part.take(np.append(origins, now) - 1, axis=1)  # (K, N + 1)
        for step in range(steps):
            values[begin : begin + ROWS, step] = _one_step(part, last, now, origins, step, lags)
    return values


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
    last: NDArray[np.float32],
    now: int,
    origins: NDArray[np.intp],
    step: int,
    lags: list[int],
) -> NDArray[np.float32]:
    """Return the quantiles (K, Q) of one horizon step.

    Args:
        rates: (K, T).
        last: (K, N + 1) the last rate at each past origin, and at `now`.
        now: the origin to foresee.
        origins: (N,) past origins, ascending.
        step: of the horizon, from 0.
        lags: of the season; none = the last rate alone.
    """
    actual = rates.take(origins + step, axis=1)  # (K, N)
    if not lags:
        return last[:, -1:] + _error_quantiles(actual - last[:, :-1])
    season = _season(rates, np.append(origins, now), step, lags)  # (K, N + 1)
    weight = _best_weight(actual, last[:, :-1], season[:, :-1])  # (K, 1)
    point = weight * last + (np.float32(1.0) - weight) * season
    return point[:, -1:] + _error_quantiles(actual - point[:, :-1])


def _best_weight(actual: NDArray[np.float32], last: NDArray[np.float32], season: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (K, 1) the first of WEIGHTS with the smallest mean absolute error over past origins (K, N)."""
    off_season, slope = actual - season, last - season
    errors = np.stack([np.abs(off_season - np.float32(weight) * slope).mean(axis=1) for weight in WEIGHTS])  # (W, K)
    return np.asarray(np.asarray(WEIGHTS, dtype=np.float32)[errors.argmin(axis=0)][:, None])


def _season(rates: NDArray[np.float32], times: NDArray[np.intp], step: int, lags: list[int]) -> NDArray[np.float32]:
    """Return the seasonal forecast (K, N) of one horizon step at ascending times: the mean of the lags that exist there."""
    total = np.zeros((len(rates), len(times)), dtype=np.float32)
    count = np.zeros(len(times), dtype=np.float32)
    for lag in lags:
        first = int(np.searchsorted(times, lag))  # from here on the lag reaches into the history
        total[:, first:] += rates.take(times[first:] + step - lag, axis=1)
        count[first:] += 1
    total /= np.maximum(count, 1)
    return total


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
