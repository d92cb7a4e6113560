"""A shard's p95 is not the sum of p95s: how far off that sum is, and how far off the planner's formula, on random sets.

For sets of 2, 5, 20 and 50 order params drawn at random, at every step of the later half of the origins:

    added    the sum of the order params' q-quantiles
    pooled   the q-quantile of the sum by the formula of the planner (`plb_ray.estimate.load`), with the correlation rho of
             the residuals (actual - mean) at the earlier half of the origins

Each should be exceeded by the actual sum in 1 - q of the cases. Adding is exceeded far less, because not all order params
are high at once, and reserves capacity that is never used; the larger the set, the more. Only order params that sent
something in training are drawn: silence adds up to silence by any rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.regret import end_to_end, means, quantile, reserve
from plb_ray.estimate.pooling import residual_correlation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.backtest_course import Course

SIZES = (2, 5, 20, 50)
QUANTILES = (0.9, 0.95)
SETS = 100
ROUNDING = 1e-6
"""Relative; sums in another order differ by less, and that is no exceeding."""


@dataclass(frozen=True)
class SumRow:
    """One size of sets and one quantile level.

    Attributes:
        order_params: in each set.
        level: q; the ideal share of cases that exceed is 1 - q.
        added_exceeded, pooled_exceeded: share of cases (a set at a step) whose actual sum is above what was reserved.
        added_reserved, pooled_reserved: what was reserved relative to what came, on average.
    """

    order_params: int
    level: float
    added_exceeded: float
    pooled_exceeded: float
    added_reserved: float
    pooled_reserved: float


@dataclass(frozen=True)
class Sums:
    """The table, and the correlation of forecast errors that the pooled figures were made with."""

    correlation: float
    rows: tuple[SumRow, ...]


@dataclass(frozen=True, eq=False)
class _Later:
    """The later half of the origins, their horizons end to end: (K, M) each, `upper` by level."""

    came: NDArray[np.float64]
    mean: NDArray[np.float64]
    upper: dict[float, NDArray[np.float64]]
    correlation: float


def sums_of(course: Course, values: NDArray[np.floating], random: np.random.Generator) -> Sums:
    """Return the comparison for quantiles `values` (N, K, H, Q) at the origins of a course; no rows for one order param."""
    later = _later(course, values)
    drawn_from = np.flatnonzero(course.training_means > 0)
    rows: list[SumRow] = []
    for size in SIZES:
        if size <= len(drawn_from):
            sets = np.stack([random.choice(drawn_from, size, replace=False) for _ in range(SETS)])
            rows.extend(_row(later, sets, level) for level in QUANTILES)
    return Sums(later.correlation, tuple(rows))


def _later(course: Course, values: NDArray[np.floating]) -> _Later:
    cut = len(values) // 2 * course.horizon.steps
    came, mean = end_to_end(course.actual), means(course, values)
    correlation = residual_correlation((came - mean)[:, :cut])
    upper = {level: quantile(values, level)[:, cut:] for level in QUANTILES}
    return _Later(came[:, cut:], mean[:, cut:], upper, correlation)


def _row(later: _Later, sets: NDArray[np.intp], level: float) -> SumRow:
    """Return one row of the table for `sets` (sets, size) of rows."""
    upper = later.upper[level]
    together = np.zeros(sets.shape[1], dtype=np.int64)  # all on one shard
    came = np.stack([later.came[each].sum(axis=0) for each in sets])  # (sets, M)
    added = np.stack([upper[each].sum(axis=0) for each in sets])
    pooled = np.stack([reserve(later.mean[each], upper[each], together, later.correlation)[0] for each in sets])
    total = max(float(came.sum()), float(np.finfo(np.float32).tiny))
    return SumRow(
        order_params=sets.shape[1],
        level=level,
        added_exceeded=_exceeding(came, added),
        pooled_exceeded=_exceeding(came, pooled),
        added_reserved=float(added.sum()) / total,
        pooled_reserved=float(pooled.sum()) / total,
    )


def _exceeding(came: NDArray[np.float64], reserved: NDArray[np.float64]) -> float:
    return float((came > reserved * (1.0 + ROUNDING)).mean())
