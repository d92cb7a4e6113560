"""Tallies per horizon, forecaster and UTC day: what lets a week slide, and what is summed up anew after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.control.forecast_quality import BASELINE, CHAMPION, tally
from plb_ray.history.outcomes import DAY_S

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from plb_ray.control.forecast_quality import ForecastQuality, Tally
    from plb_ray.history.outcomes import StoredOutcomes

Key = tuple[str, str, int]
"""Horizon, forecaster, UTC day since 1970."""


class DailyTallies:
    """Tallies per horizon, forecaster and UTC day, so that a week can slide."""

    def __init__(self) -> None:
        self._tallies: dict[Key, Tally] = {}

    @property
    def horizons(self) -> tuple[str, ...]:
        """Those that there are pairs of, sorted."""
        return tuple(sorted({horizon for horizon, _, _ in self._tallies}))

    def add(self, key: Key, found: Tally | None) -> None:
        """Add the sums over some pairs of that day; None adds nothing."""
        if found is not None:
            before = self._tallies.get(key)
            self._tallies[key] = found if before is None else before.plus(found)

    def merge(self, other: DailyTallies) -> None:
        """Add all of another one, which has other pairs."""
        for key, found in other._tallies.items():
            self.add(key, found)

    def forget(self, before_day: int) -> None:
        """Drop the days before."""
        self._tallies = {key: found for key, found in self._tallies.items() if key[2] >= before_day}

    def reset(self, horizon: str, forecaster: str) -> None:
        """Drop all days of one forecaster at one horizon."""
        self._tallies = {key: found for key, found in self._tallies.items() if key[:2] != (horizon, forecaster)}

    def quality(self, horizon: str, forecaster: str, since_day: int = 0) -> ForecastQuality | None:
        """Return how good one has been since a day; None if there are no pairs."""
        total: Tally | None = None
        for (of_horizon, of_forecaster, day), found in self._tallies.items():
            if (of_horizon, of_forecaster) == (horizon, forecaster) and day >= since_day:
                total = found if total is None else total.plus(found)
        return None if total is None else total.quality(horizon, forecaster)


def day_of(at_s: int) -> int:
    """Return the UTC day since 1970."""
    return at_s // DAY_S


def sum_up(
    stored: Iterable[StoredOutcomes], counts_from_s: Mapping[str, int], baseline_sources: Collection[str]
) -> DailyTallies:
    """Return the tallies of rows of the table, read once and never held together.

    Args:
        stored: batches of rows.
        counts_from_s: per horizon the first cutoff of champions that counts.
        baseline_sources: what forecasts of the baseline are signed with.
    """
    tallies = DailyTallies()
    for batch in stored:
        _add_batch(tallies, batch, counts_from_s, baseline_sources)
    return tallies


def _add_batch(
    tallies: DailyTallies, batch: StoredOutcomes, counts_from_s: Mapping[str, int], baseline_sources: Collection[str]
) -> None:
    by_baseline = np.array([source in baseline_sources for source in batch.sources], dtype=np.bool_)[batch.source]
    first_s = np.array([counts_from_s.get(horizon, 0) for horizon in batch.horizons], dtype=np.int64)[batch.horizon]
    counted = by_baseline | (batch.cutoffs_s >= first_s)
    groups = ((batch.ends_s // DAY_S) * len(batch.horizons) + batch.horizon) * 2 + by_baseline  # (N,)
    for group in np.unique(groups[counted]).tolist():
        chosen = counted & (groups == group)
        day, horizon = divmod(group // 2, len(batch.horizons))
        ends_s = batch.ends_s[chosen]
        found = tally(batch.pairs.of(chosen), int(ends_s.min()), int(ends_s.max()))
        tallies.add((batch.horizons[horizon], BASELINE if group % 2 else CHAMPION, day), found)
