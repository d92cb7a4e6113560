"""Which steps of a forecast are compared, and a forecast beside what came. Pure.

Axes: K order params, T past steps, S steps of a forecast that are kept, Q quantile levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.forecast_quality import pit_bounds
from plb_ray.history.outcomes import DAY_S, KEPT_LEVELS, Outcomes, Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import Forecast, Horizon, RateHistory

ALSO_AHEAD_S = (6 * 3600, 12 * 3600)


def kept_steps(horizon: Horizon) -> list[int]:
    """Return which steps are compared, ascending: the first, the last, and those that end at ALSO_AHEAD_S."""
    also = {ahead_s // horizon.step_s - 1 for ahead_s in ALSO_AHEAD_S if ahead_s < horizon.step_s * horizon.steps}
    return sorted({0, horizon.steps - 1} | also)


def busiest(history: RateHistory, most: int) -> frozenset[str]:
    """Return the `most` order params with the highest mean rate over the last day; of equal ones the first."""
    last_day = history.last(max(1, DAY_S // history.step_s)).messages_per_s
    rates = last_day.sum(axis=1, dtype=np.float64)  # (K,)
    return frozenset(history.order_params[row] for row in np.argsort(-rates, kind="stable")[:most].tolist())


def outcomes_of(
    forecast: Forecast, column: int, ahead_s: int, history: RateHistory, gap_starts_s: NDArray[np.int64]
) -> Outcomes | None:
    """Return what came of one step, for those order params that are in both; None if the step was not observed.

    Args:
        forecast: (K, S, Q).
        column: of the step, < S.
        ahead_s: from the cutoff to the end of the step.
        history: reaches at least to that end.
        gap_starts_s: starts of those of its steps of which nothing is known, ascending.
    """
    end_s = forecast.cutoff_s + ahead_s
    start_s = end_s - forecast.horizon.step_s
    places = np.array([history.index.get(name, -1) for name in forecast.order_params], dtype=np.int64)
    sound = (places >= 0) & np.isfinite(forecast.messages_per_s[:, column]).all(axis=1)
    observed = mean_rates(history, places[sound], start_s, end_s)
    gaps = np.searchsorted(gap_starts_s, [start_s, end_s])
    if observed is None or gaps[1] > gaps[0] or not sound.any():
        return None
    a_day_before = mean_rates(history, places[sound], start_s - DAY_S, end_s - DAY_S)
    values = forecast.messages_per_s[sound, column]  # (N, Q)
    pairs = Pairs(
        observed=observed,
        seasonal_naive=np.full(observed.size, np.nan) if a_day_before is None else a_day_before,
        quantiles=np.column_stack([forecast.at_level(level)[sound, column] for level in KEPT_LEVELS]).astype(np.float64),
        pit=pit_bounds(observed, values, forecast.levels, forecast.horizon.step_s),
    )
    rows = np.flatnonzero(sound).tolist()
    names, sources = forecast.order_params, forecast.sources
    horizon, of_rows = forecast.horizon.name, tuple(names[row] for row in rows)
    return Outcomes(horizon, forecast.cutoff_s, ahead_s, of_rows, tuple(sources[row] for row in rows), pairs)


def mean_rates(history: RateHistory, rows: NDArray[np.int64], start_s: int, end_s: int) -> NDArray[np.float64] | None:
    """Return (N,) the mean rates of some rows of (K, T) between two times; None if the history has not all steps between."""
    first, off_grid = divmod(start_s - history.start_s, history.step_s)
    steps = (end_s - start_s) // history.step_s
    if off_grid or first < 0 or end_s > history.end_s or steps < 1:
        return None
    return np.asarray(history.messages_per_s[rows, first : first + steps].mean(axis=1, dtype=np.float64))
