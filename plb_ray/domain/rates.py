"""Arrival rates over time: what was observed (history) and what is foreseen (forecast).

Axes: K order params, T past steps, H horizon steps, Q quantile levels. Times are seconds since the Unix epoch, UTC, and
name the *start* of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.events import NO_EVENTS, EventCalendar
from plb_ray.errors import UnknownOrderParamError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RateHistory:
    """Observed arrival rates on a regular grid.

    Attributes:
        order_params: (K,) unique names, in the order of the rows.
        start_s: start of the first step.
        step_s: length of a step in seconds.
        messages_per_s: (K, T) float32 or float64, finite, >= 0.
        calendar: the events known when the history ends, those to come included.
    """

    order_params: tuple[str, ...]
    start_s: int
    step_s: int
    messages_per_s: NDArray[np.floating]
    calendar: EventCalendar = NO_EVENTS

    @property
    def end_s(self) -> int:
        """End of the last step: the cutoff of a forecast made from this history."""
        return self.start_s + self.step_s * int(self.messages_per_s.shape[1])

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each order param."""
        return {name: row for row, name in enumerate(self.order_params)}

    def rows(self, order_params: tuple[str, ...]) -> RateHistory:
        """Return the history of only these order params, in this order."""
        rows = [self.index[name] for name in order_params]
        return replace(self, order_params=order_params, messages_per_s=self.messages_per_s[rows])

    def last(self, steps: int) -> RateHistory:
        """Return only the last `steps` steps (all, if there are fewer)."""
        dropped = max(0, self.messages_per_s.shape[1] - steps)
        start_s = self.start_s + dropped * self.step_s
        return replace(self, start_s=start_s, messages_per_s=self.messages_per_s[:, dropped:])

    def coarser(self, step_s: int) -> RateHistory:
        """Return the mean rates of steps `step_s` long, aligned to multiples of `step_s`; ragged ends are dropped.

        `step_s` must be a multiple of the present step.
        """
        factor = step_s // self.step_s
        if factor == 1:
            return self
        skip = (-self.start_s % step_s) // self.step_s
        steps = max(0, (self.messages_per_s.shape[1] - skip) // factor)
        block = self.messages_per_s[:, skip : skip + steps * factor]
        mean = block.reshape(len(self.order_params), steps, factor).mean(axis=2)  # (K, T // factor)
        return replace(self, start_s=self.start_s + skip * self.step_s, step_s=step_s, messages_per_s=mean)


@dataclass(frozen=True)
class Horizon:
    """How far and how finely to look ahead.

    Attributes:
        name: "short" (5-15 minutes) or "medium" (1-24 hours).
        step_s: length of a forecast step; a multiple of the history's step.
        steps: H, number of steps.
    """

    name: str
    step_s: int
    steps: int


SHORT_S = 15 * 60
MEDIUM_STEP_S = 3600
MEDIUM_STEPS = 24


def short_horizon(step_s: int) -> Horizon:
    """Return the short horizon: as many steps as cover 15 minutes, two at least (a plan needs one step of lead)."""
    return Horizon("short", step_s, max(2, -(-SHORT_S // step_s)))


def medium_horizon(step_s: int) -> Horizon:
    """Return the medium horizon: 24 h in steps of one hour (mean rate of the hour)."""
    return Horizon("medium", max(MEDIUM_STEP_S, step_s), MEDIUM_STEPS)


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """Quantiles over a horizon: `values` is (H, Q), one row per step starting at `start_s + h * step_s`."""

    start_s: int
    step_s: int
    levels: tuple[float, ...]
    values: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class OrderParamForecast:
    """The forecast of one order param (the specification's structure)."""

    order_param: str
    forecast: TimeSeries
    source: str


@dataclass(frozen=True, eq=False)
class Forecast:
    """Quantiles of the arrival rate of many order params over one horizon.

    Attributes:
        order_params: (K,) names.
        horizon: steps and their length.
        cutoff_s: end of the history it was made from = start of the first step.
        levels: (Q,) quantile levels, ascending, each in (0, 1), containing 0.5.
        messages_per_s: (K, H, Q) finite, >= 0, not decreasing along Q.
        sources: (K,) which forecaster made each row: "ensemble", "seasonal_naive", ...
    """

    order_params: tuple[str, ...]
    horizon: Horizon
    cutoff_s: int
    levels: tuple[float, ...]
    messages_per_s: NDArray[np.floating]
    sources: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each order param."""
        return {name: row for row, name in enumerate(self.order_params)}

    def at_level(self, level: float) -> NDArray[np.floating]:
        """Return the (K, H) rates at one quantile level, linear between the two nearest levels."""
        upper = int(np.clip(np.searchsorted(self.levels, level), 1, len(self.levels) - 1))
        low, high = self.levels[upper - 1], self.levels[upper]
        weight = float(np.clip((level - low) / (high - low), 0.0, 1.0))
        return (1 - weight) * self.messages_per_s[:, :, upper - 1] + weight * self.messages_per_s[:, :, upper]

    def rows(self, order_params: tuple[str, ...]) -> Forecast:
        """Return the forecast of only those of these order params that are in it, in this order."""
        rows = [self.index[name] for name in order_params if name in self.index]
        return replace(
            self,
            order_params=tuple(self.order_params[row] for row in rows),
            messages_per_s=self.messages_per_s[rows],
            sources=tuple(self.sources[row] for row in rows),
        )

    def of(self, order_param: str) -> OrderParamForecast:
        """Return the forecast of one order param.

        Raises:
            UnknownOrderParamError: it is not in this forecast.
        """
        row = self.index.get(order_param)
        if row is None:
            raise UnknownOrderParamError(order_param)
        series = TimeSeries(self.cutoff_s, self.horizon.step_s, self.levels, self.messages_per_s[row])
        return OrderParamForecast(order_param, series, self.sources[row])
