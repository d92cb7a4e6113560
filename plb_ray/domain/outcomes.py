"""What was foreseen of an order param, beside what then came. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Distance(StrEnum):
    """Which of the steps of a forecast."""

    NEXT = "next"  # the first one
    LAST = "last"  # at the end of the horizon


@dataclass(frozen=True)
class ForecastOutcome:
    """One step of one forecast that has come. Rates in messages per second.

    Attributes:
        cutoff_s: end of the history that the forecast was made from.
        ahead_s: from there to the end of the step.
        observed: mean rate of the step.
        quantiles: what was foreseen, at the levels of `OrderParamOutcomes`.
        pit: the levels from which and up to which `observed` lies in the forecast.
        source: which forecaster made it.
    """

    cutoff_s: int
    ahead_s: int
    observed: float
    quantiles: tuple[float, ...]
    pit: tuple[float, float]
    source: str

    @property
    def end_s(self) -> int:
        """End of the step."""
        return self.cutoff_s + self.ahead_s


@dataclass(frozen=True)
class OrderParamOutcomes:
    """The forecasts of one order param at one distance, in the order of time.

    Attributes:
        levels: quantile levels, ascending.
        coverage_80, coverage_95: share of what came within these intervals, atoms shared out; None without outcomes.
    """

    order_param: str
    horizon: str
    levels: tuple[float, ...]
    items: tuple[ForecastOutcome, ...]
    coverage_80: float | None
    coverage_95: float | None
