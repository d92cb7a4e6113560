"""What announced events bring, as a factor learnt from those that were: a quick companion for methods that know no events.

For order param k and kind of event e, with x the rates and c_e(t) the share of step t that events of the kind cover:

    usual(k, t) = median of x at the same time of day on days that no event touches
    factor(k, e) = (sum of x + P usual) / (sum of usual + P usual)     over the steps with c_e >= 1/2;   1 without any
    forecast     = method(x / lift) * lift,     lift(k, t) = prod_e (1 + (factor - 1) c_e(t))

so the method sees a past without events, and what it says is raised where one is to come. P = PRIOR_STEPS pulls a factor
that stands on little towards 1. The networks of the ensemble learn more than a factor (`models.windows`); this is for
scenarios, which train nothing for long. Axes as in `models.candidate`; E kinds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, truncated
from plb_ray.domain.events import covariates
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.candidate import Candidate
    from plb_ray.domain.rates import Horizon, RateHistory

PRIOR_STEPS = 1.0
MOSTLY = 0.5


class WithEvents:
    """Implements `models.candidate.Candidate` over another candidate; the order params are those of `fit`."""

    def __init__(self, method: Candidate) -> None:
        self.name = f"{method.name}+events"
        self.lookback_s, self.training_s = method.lookback_s, method.training_s
        self._method = method
        self._horizon: Horizon | None = None
        self._kinds: tuple[str, ...] = ()
        self.factors: NDArray[np.float64] = np.ones((0, 0))
        """(K, E) of the last `fit`."""

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:
        """See `Candidate`."""
        self._horizon, self._kinds = horizon, grid.calendar.kinds
        cover = self._cover(grid, grid.messages_per_s.shape[1])
        self.factors = _factors(np.asarray(grid.messages_per_s, dtype=np.float64), cover, DAY_S // grid.step_s)
        self._method.fit(self._without(grid, cover), horizon, on_progress)

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Candidate`."""
        if self._horizon is None:
            raise NoForecastError("the events were not learnt yet; call fit first")
        steps = grid.messages_per_s.shape[1]
        cover = self._cover(grid, steps + self._horizon.steps)
        lift = self._lift(cover)  # (K, T + H)
        said = self._method.quantiles(self._without(grid, cover[:, :steps]), origins)
        ahead = np.asarray(origins)[:, None] + np.arange(self._horizon.steps)  # (N, H)
        raised: NDArray[np.float32] = said * lift[:, ahead].transpose(1, 0, 2)[..., None].astype(np.float32)
        return raised

    def _cover(self, grid: RateHistory, steps: int) -> NDArray[np.float32]:
        """Return (K, steps, E)."""
        return covariates(grid.calendar, self._kinds, grid.order_params, grid.start_s, grid.step_s, steps)

    def _lift(self, cover: NDArray[np.float32]) -> NDArray[np.float64]:
        lift: NDArray[np.float64] = (1 + (self.factors[:, None] - 1) * cover).prod(axis=2)
        return np.maximum(lift, 1e-6)

    def _without(self, grid: RateHistory, cover: NDArray[np.float32]) -> RateHistory:
        plain = truncated(grid, cover.shape[1])
        return replace(plain, messages_per_s=(plain.messages_per_s / self._lift(cover)).astype(np.float32))


def _factors(rates: NDArray[np.float64], cover: NDArray[np.float32], day: int) -> NDArray[np.float64]:
    """Return (K, E) the factor of each kind."""
    usual = _usual(np.where(cover.sum(axis=2) > 0, np.nan, rates), day)  # (K, T)
    prior = PRIOR_STEPS * usual.mean(axis=1)  # (K,)
    factors = np.ones((rates.shape[0], cover.shape[2]))
    for kind in range(cover.shape[2]):
        within = cover[:, :, kind] >= MOSTLY
        came, expected = (rates * within).sum(axis=1) + prior, (usual * within).sum(axis=1) + prior
        factors[:, kind] = np.divide(came, expected, out=np.ones_like(came), where=expected > 0)
    return factors


def _usual(rates: NDArray[np.float64], day: int) -> NDArray[np.float64]:
    """Return (K, T) the median at each time of day of steps that are not NaN; where all are, the row's mean."""
    filled = np.empty_like(rates)
    known = np.isfinite(rates)
    counts = known.sum(axis=1)
    mean = np.divide(np.where(known, rates, 0.0).sum(axis=1), counts, out=np.zeros(len(rates)), where=counts > 0)
    for at in range(min(day, rates.shape[1])):
        column = rates[:, at::day]
        some = np.isfinite(column).any(axis=1)
        typical = mean.copy()
        typical[some] = np.nanmedian(column[some], axis=1)
        filled[:, at::day] = typical[:, None]
    return filled
