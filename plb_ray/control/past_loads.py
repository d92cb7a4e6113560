"""What a mapping should stand, by the past: what came together before, and surges of single order params. Pure.

    moments   what all order params brought together, at the highest moment of each stretch of the last days
    surges    one order param beyond its record, by as much as that is above its usual day's peak; others bring their mean

The moments keep who peaks with whom, but nothing in them is larger than it has been, and tenants that grow break their
records. So each of the largest surges is to be stood too, one at a time: robust optimisation with a budget of one deviation
(Bertsimas and Sim, Operations Research 52, 2004). Traffic that is even, or the same every day, surges to its record.

Axes: K order params, M surges, N moments, G days, R' the resources that are told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.load import RESOURCES
from plb_ray.domain.words import DAY_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.rates import RateHistory
    from plb_ray.estimate.cost import CostModel

MOMENTS_MAX = 1008
"""A week of ten minutes."""

CELLS_MAX = 3_000_000
"""Order params x moments x resources that are kept at most."""

SURGES_MAX = 32
"""Surges that are kept at most; never more than half as many as moments."""

SURGE_S = 300.0
"""What a surge counts for: ticks see it and relieve it within minutes."""


@dataclass(frozen=True, eq=False)
class PastLoads:
    """Loads that a mapping should stand, as columns: M surges, then N moments.

    Attributes:
        load: (K, M + N, R'), rows as the order params of the situation.
        resources: (R',) their positions in `RESOURCES`.
        lasts_s: (M + N,) seconds that each counts for.
        surging: (M,) row of the order param that surges.
    """

    load: NDArray[np.float32]
    resources: tuple[int, ...]
    lasts_s: NDArray[np.float64]
    surging: NDArray[np.int64]

    @property
    def moments_s(self) -> float:
        """How much of the past is told, in seconds."""
        return float(self.lasts_s[len(self.surging) :].sum())

    @property
    def days(self) -> tuple[int, ...]:
        """The first column of each day, counted back from now; the first day may be a part of one."""
        first = len(self.surging)
        return tuple(first + begin for begin in _day_begins(len(self.lasts_s) - first, float(self.lasts_s[-1])))


def _day_begins(columns: int, lasts_s: float) -> tuple[int, ...]:
    """Return the first column of each day, counted back from the last one; the first day may be a part of one.

    Args:
        columns: >= 1.
        lasts_s: seconds between two columns.
    """
    of_a_day = max(1, round(DAY_S / lasts_s))
    return tuple(sorted({0, *range(columns % of_a_day, columns, of_a_day)}))


def past_loads(history: RateHistory, cost: CostModel, days: float) -> PastLoads | None:
    """Return what the last days say; None if there is nothing to tell. Two passes over their rates.

    Args:
        history: (K, T) rates.
        cost: of a message.
        days: how far to look back; 0 for not at all.
    """
    steps = min(history.messages_per_s.shape[1], int(days * DAY_S / history.step_s))
    count = len(history.order_params)
    if steps == 0 or count == 0:
        return None
    most = max(1, min(MOMENTS_MAX, CELLS_MAX // (count * len(RESOURCES))))
    stretch = -(-steps // most)
    recent = history.messages_per_s[:, -steps:]
    total = np.nan_to_num(recent.sum(axis=0))  # of the sums: a copy of all that is added up costs a hundred times as much
    total = np.pad(total, (0, -len(total) % stretch), constant_values=-1.0).reshape(-1, stretch)
    columns = total.argmax(axis=1) + stretch * np.arange(len(total))
    peaks = np.fmax.reduceat(recent, _day_begins(steps, history.step_s), axis=1)
    rates = np.nan_to_num(np.concatenate([recent[:, columns], peaks], axis=1).astype(np.float64))
    load = cost.load(history.order_params, rates).astype(np.float32)
    told = tuple(np.flatnonzero(load.any(axis=(0, 1))).tolist())
    moments, peaks = np.split(load[:, :, told], [len(columns)], axis=1)
    return with_surges(moments, told, float(stretch * history.step_s), peaks)


def with_surges(
    moments: NDArray[np.float32], resources: tuple[int, ...], lasts_s: float, peaks: NDArray[np.float32] | None = None
) -> PastLoads:
    """Return moments with the largest surges before them.

    Args:
        moments: (K, N, R') loads, N >= 1.
        resources: (R',) see `PastLoads`.
        lasts_s: seconds that a moment stands for.
        peaks: (K, G, R') highest load of each order param on each day, G >= 1; None: as the moments have it.
    """
    if peaks is None:
        peaks = np.maximum.reduceat(moments, _day_begins(moments.shape[1], lasts_s), axis=1)
    mean, record = moments.mean(axis=1), peaks.max(axis=1)
    surge = np.maximum(mean, 2 * record - np.median(peaks, axis=1))
    total = surge.sum(axis=0)
    share = (surge / np.where(total > 0, total, 1.0)).max(axis=1, initial=0.0)
    most = min(SURGES_MAX, moments.shape[1] // 2)
    surging = np.argsort(-share, kind="stable")[:most]
    surges = np.repeat(mean[:, None, :], len(surging), axis=1)
    surges[surging, np.arange(len(surging))] = surge[surging]
    counts_s = np.repeat([SURGE_S, lasts_s], [len(surging), moments.shape[1]])
    return PastLoads(np.concatenate([surges, moments], axis=1), resources, counts_s, surging)
