"""How good forecasts have been over a week, and whether a champion may go on. Pure arithmetic on pairs.

Coverage of rates that are often 0, or small counts
    An idle order param is foreseen as 0 at every level and is 0: to ask whether the rate lies within the interval is then
    always answered yes, at 80 % as at 95 %, and no forecaster could be calibrated where most steps are idle. So a rate y is
    spread evenly over the levels that it stands for, [F(y-), F(y)], and counts for the share of them that the interval holds
    (the expected randomised probability integral transform). If the forecast is the truth the expectation of that is the
    nominal coverage, for counts as for continuous rates.

    A forecast states F on its levels only. If y meets no quantile, the levels next to it are all that is known, and the
    interval holds y or does not. If y meets quantiles, the atom ends somewhere between the last level that meets it and the
    next one, and is taken to end halfway, but at 0 or 1 if it meets the first or the last level. With the five KEPT_LEVELS
    halfway would be off by up to 0.2 for an order param that is idle in a third of its steps. Therefore the atom is measured
    on all levels of the forecast before it is cut down to five, and its two ends are kept with it.

Loss
    2 x the quantile loss, mean over KEPT_LEVELS, summed over pairs, over the sum of the observed rates: the weighted
    quantile loss with other levels. For a forecast of a single number, such as the seasonal naive's (the same time the day
    before), that is the sum of the absolute errors over the sum of the observed rates.

References:
    Czado, Gneiting, Held (2009), "Predictive model assessment for count data", Biometrics 65, section 2.
    Salinas et al. (2020), "DeepAR", section 4.2: the weighted quantile loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError
from plb_ray.history.outcomes import DAY_S, KEPT_LEVELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from plb_ray.history.outcomes import Pairs

CHAMPION, BASELINE = "champion", "baseline"
INTERVAL_80 = (KEPT_LEVELS[1], KEPT_LEVELS[3])
INTERVAL_95 = (KEPT_LEVELS[0], KEPT_LEVELS[4])
SAME_RELATIVE = 1e-6
SAME_MESSAGES = 0.01
"""Rates that differ by less, of themselves or in messages a step, are equal: means of float32 are not exact."""


@dataclass(frozen=True)
class ForecastQuality:
    """How good one forecaster has been at one horizon.

    Attributes:
        horizon: short or medium.
        forecaster: "champion", or "baseline" for the order params and times that no champion answered for.
        pairs: how many (order param, cutoff, step ahead) were compared.
        since_s, until_s: when the first and the last of them were known.
        coverage_80, coverage_95: share of what came within the intervals of 80 % and 95 %, atoms shared out.
        loss: relative quantile loss; NaN if nothing arrived at all.
        seasonal_naive_loss: the same of the rate at the same time the day before.
    """

    horizon: str
    forecaster: str
    pairs: int
    since_s: float
    until_s: float
    coverage_80: float
    coverage_95: float
    loss: float
    seasonal_naive_loss: float


@dataclass(frozen=True)
class VerdictRule:
    """When a champion is demoted.

    Attributes:
        span_s: > 0, it must have been watched for so long.
        pairs: >= 1, and been compared so often.
        tolerance: (0, 1), how far its coverage may be off.
    """

    span_s: float = 2.0 * DAY_S
    pairs: int = 200
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        if not (self.span_s > 0 and self.pairs >= 1 and 0 < self.tolerance < 1):
            raise BadInputError(f"{self}: span_s must be above 0, pairs at least 1, tolerance in (0, 1)")


def verdict(quality: ForecastQuality, rule: VerdictRule | None = None) -> str:
    """Return why a forecaster must not go on; empty if it may, or if too little is known of it."""
    rule = rule or VerdictRule()
    if quality.pairs < rule.pairs or quality.until_s - quality.since_s < rule.span_s:
        return ""
    if quality.loss > quality.seasonal_naive_loss:
        return f"worse than the seasonal naive: loss {quality.loss:.3g} against {quality.seasonal_naive_loss:.3g}"
    for covered, nominal in ((quality.coverage_80, 0.8), (quality.coverage_95, 0.95)):
        if abs(covered - nominal) > rule.tolerance + SAME_RELATIVE:
            points = 100 * rule.tolerance
            return f"the {nominal:.0%} interval held {covered:.1%} of what came, more than {points:g} points off"
    return ""


@dataclass(frozen=True)
class Tally:
    """Sums over pairs; tallies of disjoint pairs add up. Meaning of the fields: see `ForecastQuality`."""

    pairs: int
    since_s: int
    until_s: int
    inside_80: float
    inside_95: float
    loss: float
    seasonal_naive_loss: float
    observed: float

    def plus(self, other: Tally) -> Tally:
        """Return the sums over both."""
        return Tally(
            pairs=self.pairs + other.pairs,
            since_s=min(self.since_s, other.since_s),
            until_s=max(self.until_s, other.until_s),
            inside_80=self.inside_80 + other.inside_80,
            inside_95=self.inside_95 + other.inside_95,
            loss=self.loss + other.loss,
            seasonal_naive_loss=self.seasonal_naive_loss + other.seasonal_naive_loss,
            observed=self.observed + other.observed,
        )

    def quality(self, horizon: str, forecaster: str) -> ForecastQuality:
        """Return the means."""
        return ForecastQuality(
            horizon=horizon,
            forecaster=forecaster,
            pairs=self.pairs,
            since_s=float(self.since_s),
            until_s=float(self.until_s),
            coverage_80=self.inside_80 / self.pairs,
            coverage_95=self.inside_95 / self.pairs,
            loss=self._relative(self.loss),
            seasonal_naive_loss=self._relative(self.seasonal_naive_loss),
        )

    def _relative(self, total: float) -> float:
        return total / self.observed if self.observed > 0 else math.nan


def tally(pairs: Pairs, since_s: int, until_s: int) -> Tally | None:
    """Return the sums over those pairs that can be compared with the seasonal naive; None if there are none."""
    usable = np.isfinite(pairs.seasonal_naive)
    if not usable.all():
        pairs = pairs.of(usable)
    if not pairs.observed.size:
        return None
    return Tally(
        pairs=int(pairs.observed.size),
        since_s=since_s,
        until_s=until_s,
        inside_80=float(_inside(pairs.pit, *INTERVAL_80).sum()),
        inside_95=float(_inside(pairs.pit, *INTERVAL_95).sum()),
        loss=float(_quantile_loss(pairs).sum()),
        seasonal_naive_loss=float(np.abs(pairs.observed - pairs.seasonal_naive).sum()),
        observed=float(pairs.observed.sum()),
    )


def coverage(pit: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the shares of (N, 2) levels within the intervals of 80 % and 95 %; None if there are none."""
    if not pit.size:
        return None
    return float(_inside(pit, *INTERVAL_80).mean()), float(_inside(pit, *INTERVAL_95).mean())


def pit_bounds(
    observed: NDArray[np.float64], quantiles: NDArray[np.floating], levels: Sequence[float], step_s: int
) -> NDArray[np.float64]:
    """Return (N, 2) the levels from which and up to which each rate lies in its forecast, from < upto.

    Args:
        observed: (N,) rates >= 0.
        quantiles: (N, Q) of the forecast, not decreasing along Q.
        levels: (Q,) ascending.
        step_s: over which the rates are means.
    """
    same = np.maximum(SAME_RELATIVE * observed, SAME_MESSAGES / step_s)[:, None]
    below = (quantiles < observed[:, None] - same).sum(axis=1)  # (N,) how many quantiles lie below
    upto = (quantiles <= observed[:, None] + same).sum(axis=1)  # (N,) and below or at the rate
    edges = np.array([0.0, *levels, 1.0])
    middle = (edges[1:] + edges[:-1]) / 2
    from_atom = np.where(below == 0, 0.0, middle[below])
    upto_atom = np.where(upto == len(levels), 1.0, middle[upto])
    meets = upto > below
    return np.column_stack([np.where(meets, from_atom, edges[below]), np.where(meets, upto_atom, edges[below + 1])])


def _inside(pit: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return (N,) the share of the levels that lies within [low, high]."""
    held = np.minimum(pit[:, 1], high) - np.maximum(pit[:, 0], low)
    return np.asarray(np.clip(held, 0.0, None) / (pit[:, 1] - pit[:, 0]))


def _quantile_loss(pairs: Pairs) -> NDArray[np.float64]:
    """Return (N,) 2 x the mean over KEPT_LEVELS."""
    error, levels = pairs.observed[:, None] - pairs.quantiles, np.array(KEPT_LEVELS)
    return np.asarray(2.0 * np.maximum(levels * error, (levels - 1.0) * error).mean(axis=1))
