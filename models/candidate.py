"""The port of everything that can be weighed against everything else: networks, statistical methods, baselines.

A candidate works on the horizon's own grid and answers for many origins in one call, so that it can be judged on weeks of
them in seconds. What turns candidates into a `Forecaster` is `models.ensemble`; what judges them is `models.backtest`.
Axes: N origins, K order params, T past steps, H horizon steps, Q quantile levels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from plb_ray.domain.rates import Horizon, RateHistory


class Candidate(Protocol):
    """One way to foresee arrival rates. One instance serves one group of order params and one horizon."""

    @property
    def name(self) -> str:
        """A short word, unique among the candidates that are weighed together: nhits, seasonal_naive, ..."""
        ...

    @property
    def lookback_s(self) -> int:
        """How much history before an origin is made use of; more is ignored, less is fine."""
        ...

    @property
    def training_s(self) -> int:
        """How much history `fit` makes use of; more is ignored, less is fine."""
        ...

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:
        """Learn from rates on the horizon's grid (`models.base.on_grid`); a method without memory only notes the horizon.

        Args:
            grid: (K, T) clean rates whose step is the horizon's.
            horizon: what will be asked for.
            on_progress: told the fraction done, rising to 1.

        Raises:
            NoForecastError: the history is too short to learn from.
        """
        ...

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, K, H, Q) rates at `models.base.LEVELS`, finite, >= 0, not decreasing along Q.

        Args:
            grid: (K, T) clean rates; the order params need not be those of `fit`.
            origins: (N,) index of the first step to foresee, each in 1..T; what is at or behind an origin is not read.

        Raises:
            NoForecastError: neither `fit` nor `load` came first.
        """
        ...


class Member(Candidate, Protocol):
    """A candidate that can be kept: what an ensemble is made of."""

    @property
    def made_for(self) -> str:
        """The class of traffic (`models.traffic_class.CLASSES`) that it is made for; empty: any."""
        ...

    def learn_on(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """Go on from what was learnt, on a longer grid.

        Raises:
            NoForecastError: neither `fit` nor `load` came first, or the grid is too short to learn from.
        """
        ...

    def specialise(self, grid: RateHistory, on_progress: Callable[[float], None]) -> None:
        """Go on from what was learnt of many order params, on the few that the grid has, without forgetting the many.

        Raises:
            NoForecastError: as `learn_on`.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what `fit` learnt into an empty folder, which is made if need be. No pickles."""
        ...

    def load(self, folder: Path, horizon: Horizon) -> None:
        """Read what `save` wrote.

        Raises:
            NoForecastError: it is not there, is damaged, or was made for other settings.
        """
        ...
