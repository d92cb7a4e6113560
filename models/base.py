"""What every forecaster shares: the port, the quantile levels, the clean-up of input and output, and the score.

No network and no baseline lives here. Axes: K order params, T past steps, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.ports import Forecaster
from plb_ray.domain.rates import Forecast, RateHistory
from plb_ray.errors import BadInputError, NoForecastError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import Horizon

__all__ = [
    "DAY_S",
    "DECILES",
    "LEVELS",
    "RATE_MAX_PER_S",
    "WEEK_S",
    "Forecaster",
    "clean_rates",
    "make_forecast",
    "on_grid",
    "pinball",
    "tail_steps",
    "truncated",
    "weighted_quantile_loss",
]

LEVELS: tuple[float, ...] = (0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
"""The quantile levels of every forecast: the plan reads the upper ones, the dashboard draws 0.1 to 0.9, and the intervals
of 80 % and 95 % are 0.1 to 0.9 and 0.025 to 0.975."""

DECILES = [i for i, level in enumerate(LEVELS) if round(10 * level, 6).is_integer()]
"""Where 0.1, 0.2 ... 0.9 stand in LEVELS: what the weighted quantile loss is taken over."""

DAY_S = 24 * 3600
WEEK_S = 7 * DAY_S

TAIL_S = 2 * DAY_S
"""Of a history: at most so much is held out from what learns, if the horizon is not longer still."""

CHECKED_ROWS = 64  # at a time: they stay in the processor's cache
RATE_MAX_PER_S = 1e15
"""Larger rates are cut to this, so that no sum or square of rates leaves the range of float32."""


def clean_rates(rates: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (K, T) finite rates in [0, RATE_MAX_PER_S] as a new array.

    A step that is NaN or infinite was not measured: it repeats the last measured step of its row (0 before the first).
    A negative rate is a counter that was reset: 0.
    """
    bad = ~np.isfinite(rates)
    if bad.any():
        steps = np.where(bad, -1, np.arange(rates.shape[1]))
        source = np.maximum.accumulate(steps, axis=1)  # (K, T) step to take the value from, -1 = none yet
        held = np.take_along_axis(rates, np.maximum(source, 0), axis=1)
        rates = np.where(source < 0, 0.0, held)
    return np.clip(rates, 0.0, RATE_MAX_PER_S).astype(np.float32)


def _are_clean(rates: NDArray[np.floating]) -> bool:
    """Return whether (K, T) rates are as `clean_rates` leaves them. One pass, which costs a tenth of cleaning."""
    if rates.dtype != np.float32:
        return False
    blocks = (rates[begin : begin + CHECKED_ROWS] for begin in range(0, len(rates), CHECKED_ROWS))
    return all(block.min(initial=0.0) >= 0 and block.max(initial=0.0) <= RATE_MAX_PER_S for block in blocks)  # NaN: False


def tail_steps(steps: int, step_s: int, horizon: Horizon) -> int:
    """Return how many steps are held out: a fifth, at least one horizon, at most two days or two horizons."""
    longest = max(2 * horizon.steps, TAIL_S // step_s)
    return max(horizon.steps, min(steps // 5, longest))


def on_grid(history: RateHistory, horizon: Horizon) -> RateHistory:
    """Return the history in the horizon's steps, with clean rates; it ends at the last full step.

    A history shorter than one full step counts as one step with its mean rate.

    Raises:
        NoForecastError: the history holds no step at all.
        BadInputError: the horizon's step is no multiple of the history's.
    """
    if horizon.step_s % history.step_s:
        raise BadInputError(
            f"a {horizon.name} forecast in steps of {horizon.step_s} s cannot be made from a history in steps of "
            f"{history.step_s} s; choose a step that divides the other"
        )
    if history.messages_per_s.shape[1] == 0:
        raise NoForecastError(f"the {horizon.name} forecast needs a history of at least one step")
    rates = history.messages_per_s
    fine = history if _are_clean(rates) else replace(history, messages_per_s=clean_rates(rates))
    coarse = fine.coarser(horizon.step_s)
    return coarse if coarse.messages_per_s.shape[1] else _as_one_step(fine, horizon.step_s)


def _as_one_step(history: RateHistory, step_s: int) -> RateHistory:
    mean = history.messages_per_s.mean(axis=1, keepdims=True)
    return replace(history, start_s=history.end_s // step_s * step_s - step_s, step_s=step_s, messages_per_s=mean)


def truncated(history: RateHistory, steps: int) -> RateHistory:
    """Return only the first `steps` steps of a history: what was known then."""
    return replace(history, messages_per_s=history.messages_per_s[:, :steps])


def make_forecast(history: RateHistory, horizon: Horizon, values: NDArray[np.floating], source: str) -> Forecast:
    """Wrap (K, H, Q) values: cut to [0, RATE_MAX_PER_S] and sorted along Q, so that quantiles never cross.

    The cutoff is the end of `history`, which must be on the horizon's grid.
    """
    ordered = np.sort(np.clip(values, 0.0, RATE_MAX_PER_S), axis=2)
    sources = (source,) * len(history.order_params)
    return Forecast(history.order_params, horizon, history.end_s, LEVELS, ordered, sources)


def pinball(actual: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the quantile loss of `values` (..., Q) against `actual` (...), per level: (..., Q)."""
    error = actual[..., None].astype(np.float64) - values
    levels = np.asarray(LEVELS)
    return np.maximum(levels * error, (levels - 1.0) * error)


def weighted_quantile_loss(actual: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Return the mean weighted quantile loss over the levels 0.1 to 0.9: 2 x sum of pinball over the sum of actual rates.

    With nothing but zeros to foresee the sum is divided by the tiniest positive number instead, so 0 stays 0.

    References:
        Salinas et al. (2020), "DeepAR", section 4.2.
    """
    total = max(float(np.abs(actual).sum()), float(np.finfo(np.float32).tiny))
    return float(2.0 * pinball(actual, values)[..., DECILES].mean(axis=-1).sum() / total)
