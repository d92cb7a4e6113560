"""Has the traffic left what a champion learnt? Its losses now against those on the days it was promoted for.

The mathematics
    With mean m and standard deviation s of the reference losses, each newer loss L_n is x_n = (L_n - m) / s, cut to
    +-CUT, since one bad day is an accident. The Page-Hinkley statistic is

        U_n = sum_{i <= n} (x_i - tolerated),     PH_n = U_n - min_{j <= n} U_j,  with U_0 = 0

    that is the CUSUM of what exceeds `tolerated`. PH_n > threshold is a drift, which began behind the j of that minimum.

References:
    Page (1954), "Continuous inspection schemes", Biometrika 41; Gama et al. (2014), "A survey on concept drift adaptation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CUT = 4.0
REFERENCE_MIN = 8
"""Fewer losses than these have no standard deviation to speak of: no drift is ever found."""

SPREAD_MIN = 0.05
"""A reference without noise is taken to have this share of its mean as standard deviation."""


@dataclass(frozen=True)
class DriftParams:
    """How much worse, and for how long, is a drift.

    Attributes:
        tolerated: > 0, standard deviations that the mean loss may rise by and stay so.
        threshold: > 0, of the summed excess. With 16 a loss that is worse by two standard deviations is found after eleven
            origins. Of 48 losses as they ever were, half correlated from one to the next, one set in 25 counts as drift (one
            in 12 if they are log-normal): enough for a remark in the audit, too many to act on alone.
    """

    tolerated: float = 0.5
    threshold: float = 16.0

    def __post_init__(self) -> None:
        """Check every range. Raises BadInputError."""
        if not (self.tolerated > 0 and self.threshold > 0):
            raise BadInputError(f"drift parameters must be > 0, not {self.tolerated!r} and {self.threshold!r}")


@dataclass(frozen=True)
class DriftReport:
    """Whether the losses have drifted.

    Attributes:
        drifted: the statistic has passed the threshold.
        statistic: the highest that it was.
        threshold: of `DriftParams`.
        since_s: cutoff of the first forecast that was made in the drift, seconds since the Unix epoch; None without one.
    """

    drifted: bool
    statistic: float
    threshold: float
    since_s: int | None = None


def drift(losses: ArrayLike, cutoffs_s: ArrayLike, reference: ArrayLike, params: DriftParams | None = None) -> DriftReport:
    """Return whether losses (N,), oldest first, of forecasts made at `cutoffs_s` (N,) drifted from the reference (M,)."""
    params = params or DriftParams()
    recent, before = np.asarray(losses, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    recent, cutoffs = recent[np.isfinite(recent)], np.asarray(cutoffs_s)[np.isfinite(recent)]
    before = before[np.isfinite(before)]
    if len(before) < REFERENCE_MIN or not len(recent):
        return DriftReport(drifted=False, statistic=0.0, threshold=params.threshold)
    spread = max(float(before.std(ddof=1)), SPREAD_MIN * abs(float(before.mean())), float(np.finfo(np.float32).tiny))
    excess = np.clip((recent - before.mean()) / spread, -CUT, CUT) - params.tolerated
    total = np.concatenate([[0.0], np.cumsum(excess)])  # U_0 .. U_N
    statistics = total - np.minimum.accumulate(total)
    worst = int(np.argmax(statistics))
    highest = float(statistics[worst])
    if highest <= params.threshold:
        return DriftReport(drifted=False, statistic=highest, threshold=params.threshold)
    began = int(np.argmin(total[: worst + 1]))  # the loss behind it is the first of the drift: losses[began]
    return DriftReport(drifted=True, statistic=highest, threshold=params.threshold, since_s=int(cutoffs[began]))
