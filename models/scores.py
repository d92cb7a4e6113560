"""How good quantile forecasts were: pure functions of what was said and what came. Nothing is forecast here.

Axes: N origins, K order params, H horizon steps, Q quantile levels (`models.base.LEVELS`).

Coverage of counts
    An idle order param is foreseen as 0 at every level and is 0: the literal question "does the rate lie within the
    interval" is then always answered yes, at 80 % as at 95 %, and no forecaster could ever be calibrated where most
    steps are idle. The same holds, less plainly, for any rate that is a small count. So the literal coverage is offered
    for people to read, while `Scores` holds the coverage of the randomised probability integral transform: a rate y is
    spread evenly over the levels it stands for, [F(y-), F(y)], and counts for the share of them that the interval holds.
    If the forecast is the truth its expectation is the nominal coverage, for counts as for continuous rates. Where y meets
    no quantile it is the literal one.

        F(y-) = between the highest level whose quantile lies below y, and the lowest one that y meets
        F(y)  = between the highest level that y meets, and the next one

    More is not known of F, so the middle is taken, and 0 and 1 beyond the ends. For Poisson counts this leaves the 80 %
    coverage within 3.5 points and the 95 % one within 2.5 of the truth, most often within one.

References:
    Czado, Gneiting, Held (2009), "Predictive model assessment for count data", Biometrics 65, section 2.
    Gneiting, Ranjan (2011), "Comparing density forecasts using threshold- and quantile-weighted scoring rules": the CRPS is
    twice the integral of the quantile loss. Hyndman, Koehler (2006), "Another look at measures of forecast accuracy": MASE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, LEVELS, pinball, weighted_quantile_loss
from models.traffic_class import CLASSES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import RateHistory

MEDIAN = LEVELS.index(0.5)
INTERVAL_80 = (0.1, 0.9)
INTERVAL_95 = (0.025, 0.975)


@dataclass(frozen=True)
class Scores:
    """One forecaster's marks on one set of forecasts. Smaller is better, except coverage, which should be what it says.

    Attributes:
        wql: mean weighted quantile loss over 0.1 ... 0.9, relative to the sum of the actual rates.
        crps: continuous ranked probability score relative to the mean actual rate (the normalised CRPS).
        mase: mean absolute error of the median relative to the seasonal naive's in-sample error, mean over the order params
            that have one; NaN if none has.
        wape: sum of |actual - median| over the sum of the actual rates.
        coverage_80: share of actual rates within the quantiles 0.1 ... 0.9, atoms shared out (see the module).
        coverage_95: the same within 0.025 ... 0.975.
    """

    wql: float
    crps: float
    mase: float
    wape: float
    coverage_80: float
    coverage_95: float


def score(actual: NDArray[np.floating], values: NDArray[np.floating], scale: NDArray[np.floating]) -> Scores:
    """Return the marks of quantiles `values` (N, K, H, Q) on the actual rates (N, K, H).

    Args:
        actual: what came, finite.
        values: what was said, finite and not decreasing along Q.
        scale: (K,) see `seasonal_scale`.
    """
    return Scores(
        wql=weighted_quantile_loss(actual, values),
        crps=normalised_crps(actual, values),
        mase=mean_scaled_error(actual, values[..., MEDIAN], scale),
        wape=_relative(float(np.abs(_wide(actual) - values[..., MEDIAN]).sum()), actual),
        coverage_80=randomised_coverage(actual, values, *INTERVAL_80),
        coverage_95=randomised_coverage(actual, values, *INTERVAL_95),
    )


def by_class(
    actual: NDArray[np.floating],
    values: NDArray[np.floating],
    scale: NDArray[np.floating],
    of_class: NDArray[np.intp],
) -> dict[str, Scores]:
    """Return the marks within each class of traffic that has order params; `of_class` (K,) as `classify` returns it."""
    members = {name: np.flatnonzero(of_class == number) for number, name in enumerate(CLASSES)}
    return {name: score(actual[:, rows], values[:, rows], scale[rows]) for name, rows in members.items() if len(rows)}


def seasonal_scale(grid: RateHistory, train_steps: int) -> NDArray[np.float64]:
    """Return (K,) the in-sample mean absolute error of the seasonal naive of one day over the first `train_steps` steps.

    A training part of a day or less is measured by the last rate instead; one of a single step has no error: 0.
    """
    rates = _wide(np.asarray(grid.messages_per_s)[:, :train_steps])
    day = max(1, DAY_S // grid.step_s)
    lag = day if rates.shape[1] > day else 1
    if rates.shape[1] <= lag:
        return np.zeros(len(rates))
    return np.asarray(np.abs(rates[:, lag:] - rates[:, :-lag]).mean(axis=1))


def mean_scaled_error(actual: NDArray[np.floating], median: NDArray[np.floating], scale: NDArray[np.floating]) -> float:
    """Return the MASE of medians (N, K, H): mean over the order params with a scale > 0; NaN if there are none."""
    error = np.abs(_wide(actual) - median).mean(axis=(0, 2))  # (K,)
    known = scale > 0
    return float((error[known] / scale[known]).mean()) if known.any() else math.nan


def normalised_crps(actual: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Return the sum of the CRPS over the sum of the actual rates.

    The quantile loss is integrated over all LEVELS by trapezoids; outside them the quantile function stays at its ends, so
    that the score of a single number is exactly its absolute error.
    """
    loss = pinball(actual, values)  # (N, K, H, Q)
    at_0 = np.maximum(values[..., 0] - _wide(actual), 0.0)
    at_1 = np.maximum(_wide(actual) - values[..., -1], 0.0)
    levels = np.array([0.0, *LEVELS, 1.0])
    width = (levels[2:] - levels[:-2]) / 2  # (Q,) of the trapezoids at each level
    integral = (loss @ width).sum() + at_0.sum() * levels[1] / 2 + at_1.sum() * (1.0 - levels[-2]) / 2
    return _relative(2.0 * float(integral), actual)


def coverage(actual: NDArray[np.floating], values: NDArray[np.floating], low: float, high: float) -> float:
    """Return the literal share of actual rates (N, K, H) with quantile(low) <= rate <= quantile(high), both in LEVELS."""
    lowest, highest = values[..., LEVELS.index(low)], values[..., LEVELS.index(high)]
    rates = actual.astype(values.dtype)
    return float(((lowest <= rates) & (rates <= highest)).mean())


def randomised_coverage(actual: NDArray[np.floating], values: NDArray[np.floating], low: float, high: float) -> float:
    """Return the expected share of the randomised PIT within [low, high], both in LEVELS (see the module)."""
    rates = actual.astype(values.dtype)[..., None]  # of the same width, so that equal rates are equal
    below, upto = (values < rates).sum(axis=-1), (values <= rates).sum(axis=-1)  # (N, K, H) how many quantiles
    levels = np.asarray(LEVELS)
    between = np.array([0.0, *(levels[1:] + levels[:-1]) / 2, 1.0])  # [i] = where F is, having passed i quantiles
    begin, end = between[below], between[upto]
    inside = np.clip(np.minimum(end, high) - np.maximum(begin, low), 0.0, None)
    literal = (below > LEVELS.index(low)) & (below <= LEVELS.index(high))
    tied = upto > below
    return float(np.where(tied, inside / np.where(tied, end - begin, 1.0), literal).mean())


def _relative(total: float, actual: NDArray[np.floating]) -> float:
    """Return losses over the sum of the actual rates, as `weighted_quantile_loss` does: without traffic 0 stays 0."""
    return total / max(float(np.abs(_wide(actual)).sum()), float(np.finfo(np.float32).tiny))


def _wide(rates: NDArray[np.floating]) -> NDArray[np.float64]:
    return rates.astype(np.float64)
