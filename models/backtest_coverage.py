"""Whether quantiles keep their word: each level's share of hits, and coverage at every origin and in the worst week.

The mean over months hides a week in which the intervals missed; a balancer lives through that week. Any seven days in a row
are looked at, not only calendar weeks. A test part shorter than a week counts as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.base import LEVELS, WEEK_S
from models.scores import INTERVAL_80, INTERVAL_95, randomised_coverage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.backtest_course import Course

NOMINAL_80, NOMINAL_95 = 0.80, 0.95


@dataclass(frozen=True, eq=False)
class Coverage:
    """Coverage at N origins in a row.

    Attributes:
        at_s: (N,) when the horizons begin.
        inside_80, inside_95: (N,) share of the order params and horizon steps within the interval (`models.scores`).
    """

    at_s: NDArray[np.int64]
    inside_80: NDArray[np.float64]
    inside_95: NDArray[np.float64]

    @property
    def worst_week_80(self) -> float:
        """Coverage of the 80 % interval in the seven days in which it is furthest from 0.80."""
        return self._worst(self.inside_80, NOMINAL_80)

    @property
    def worst_week_95(self) -> float:
        """Coverage of the 95 % interval in the seven days in which it is furthest from 0.95."""
        return self._worst(self.inside_95, NOMINAL_95)

    def over(self, span_s: int, inside: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the means of all runs of origins that cover `span_s`; one mean of all, if they cover less."""
        gap_s = int(np.diff(self.at_s).min()) if len(self.at_s) > 1 else span_s
        length = min(max(1, span_s // gap_s), len(inside))
        running = np.cumsum(np.concatenate([[0.0], inside]))
        return np.asarray((running[length:] - running[:-length]) / length)

    def _worst(self, inside: NDArray[np.float64], nominal: float) -> float:
        weeks = self.over(WEEK_S, inside)
        return float(weeks[np.argmax(np.abs(weeks - nominal))])


def coverage_of(course: Course, origins: NDArray[np.intp], values: NDArray[np.floating]) -> Coverage:
    """Return the coverage of quantiles `values` (N, K, H, Q) said at some origins (N,) of a course."""
    actual = course.after(origins)
    ones = [(actual[i : i + 1], values[i : i + 1]) for i in range(len(origins))]
    return Coverage(
        at_s=course.grid.start_s + course.grid.step_s * origins.astype(np.int64),
        inside_80=np.array([randomised_coverage(*one, *INTERVAL_80) for one in ones]),
        inside_95=np.array([randomised_coverage(*one, *INTERVAL_95) for one in ones]),
    )


def reliability(actual: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (Q,) the share of actual rates (N, K, H) at or below each quantile (N, K, H, Q); ideally LEVELS.

    A rate that meets several quantiles at once is spread over the levels that it stands for, as in `models.scores`.
    """
    rates = actual.astype(values.dtype)[..., None]  # of the same width, so that equal rates are equal
    below, upto = (values < rates).sum(axis=-1), (values <= rates).sum(axis=-1)  # (N, K, H) how many quantiles
    levels = np.asarray(LEVELS)
    between = np.array([0.0, *(levels[1:] + levels[:-1]) / 2, 1.0])
    begin, tied = between[below], upto > below
    width = np.where(tied, between[upto] - begin, 1.0)
    hits = [np.where(tied, np.clip((level - begin) / width, 0.0, 1.0), below <= i) for i, level in enumerate(levels)]
    return np.array([float(each.mean()) for each in hits])


def joined(parts: list[Coverage]) -> Coverage:
    """Return the coverage at the origins of all parts, in their order."""
    return Coverage(
        np.concatenate([part.at_s for part in parts]),
        np.concatenate([part.inside_80 for part in parts]),
        np.concatenate([part.inside_95 for part in parts]),
    )
