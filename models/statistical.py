"""The statistical standards as candidates: what plb-ray has to beat, and what a backtest shows beside it.

They come from statsforecast, one model for each order param, used as people use them: the season is one day, the last
28 days are learnt once by `fit`, and at each origin the fitted model is moved forward over what has been seen by then,
without fitting again. Their symmetric intervals give the quantiles: the ends of the 80 % interval are those at 0.1 and 0.9,
and so on; the median is their point forecast.

    naive            the last rate; normal errors that grow with the square root of the steps ahead
    seasonal_naive   the rate of the same time yesterday
    auto_ets         exponential smoothing chosen by AICc. statsforecast drops the season if it is longer than 24 steps,
                     which is the case for steps below an hour
    auto_theta       the best of four theta methods, deseasonalised if a test finds a season; statsforecast then counts the
                     season among the errors, so that its intervals are too wide
    mstl             season by STL, in the jumps of R's stl, the rest by exponential smoothing without season
    croston_sba      intermittent demand; intervals from its own errors at ten past origins (conformal)

An order param that makes its model fail, or whose quantiles are not finite, gets the naive forecast for that origin and is
counted. One that is silent throughout is foreseen as silent.

References:
    Hyndman, Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed.; Hyndman, Khandakar (2008) for ETS; Fiorucci et
    al. (2016) for theta; Bandara, Hyndman, Bergmeir (2021) for MSTL; Syntetos, Boylan (2005) for SBA.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from models.base import DAY_S, LEVELS, RATE_MAX_PER_S
from plb_ray.errors import BadInputError, NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from plb_ray.domain.rates import Horizon, RateHistory

RIVALS = ("naive", "seasonal_naive", "auto_ets", "auto_theta", "mstl", "croston_sba")
TRAINING_S = 28 * DAY_S
CONFORMAL_ORIGINS = 10

INTERVALS = sorted({round(abs(2 * level - 1) * 100) for level in LEVELS} - {0})
"""Coverages in percent of the intervals whose ends are the LEVELS."""


class StatisticalForecaster:
    """Implements `models.candidate.Candidate`. In one process; not for many order params: some fit a series in seconds.

    Args:
        kind: one of RIVALS.

    Attributes:
        fallbacks: how many forecasts (one order param at one origin each) were the naive one's, since `fit`.

    Raises:
        BadInputError: there is no such kind.
    """

    lookback_s = 2 * TRAINING_S
    training_s = TRAINING_S

    def __init__(self, kind: str) -> None:
        if kind not in RIVALS:
            raise BadInputError(f"there is no statistical forecaster {kind!r}; known are {', '.join(RIVALS)}")
        self.name = kind
        self.fallbacks = 0
        self._horizon: Horizon | None = None
        self._start_s = 0
        self._fitted: dict[str, Any] = {}

    def fit(self, grid: RateHistory, horizon: Horizon, on_progress: Callable[[float], None]) -> None:
        """See `Candidate`. One order param after the other; those that fail are left to the naive forecast."""
        grid = grid.last(max(1, self.training_s // grid.step_s))
        if grid.messages_per_s.shape[1] == 0:
            raise NoForecastError(f"{self.name} needs a history of at least one step")
        self._horizon, self._start_s, self.fallbacks, self._fitted = horizon, grid.start_s, 0, {}
        rates = np.asarray(grid.messages_per_s, dtype=np.float64)
        for row, name in enumerate(grid.order_params):
            self._fitted[name] = self._fit_one(rates[row], grid.step_s, horizon)
            on_progress((row + 1) / len(rates))

    def quantiles(self, grid: RateHistory, origins: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `Candidate`. An order param that `fit` has not met is fitted on what lies before the first origin."""
        if self._horizon is None:
            raise NoForecastError(f"{self.name} was not trained yet")
        values = np.empty((len(origins), len(grid.order_params), self._horizon.steps, len(LEVELS)))
        for row, name in enumerate(grid.order_params):
            rates = np.asarray(grid.messages_per_s[row], dtype=np.float64)
            model, start = self._model_of(name, rates, int(np.min(origins)), grid)
            for i, origin in enumerate(origins):
                first = max(start, int(origin) - self.lookback_s // grid.step_s, 0)
                values[i, row] = self._one(model, rates[min(first, int(origin) - 1) : origin], self._horizon)
        return np.sort(np.clip(values, 0.0, RATE_MAX_PER_S), axis=3).astype(np.float32)

    def _model_of(self, name: str, rates: NDArray[np.float64], origin: int, grid: RateHistory) -> tuple[Any, int]:
        """Return the fitted model of an order param (None = it failed) and the step where its first states belong."""
        assert self._horizon is not None
        if name in self._fitted:
            return self._fitted[name], (self._start_s - grid.start_s) // grid.step_s
        start = max(0, origin - self.training_s // grid.step_s)
        return self._fit_one(rates[start:origin], grid.step_s, self._horizon), start

    def _fit_one(self, rates: NDArray[np.float64], step_s: int, horizon: Horizon) -> Any:
        """Return a model fitted on (T,) rates, or None if that fails."""
        with _quiet():
            model = _build(self.name, max(1, DAY_S // step_s), horizon)
            try:
                return model.fit(rates)
            except Exception:  # noqa: BLE001 (statsforecast raises bare Exceptions, and whatever scipy and numpy raise)
                return None

    def _one(self, model: Any, past: NDArray[np.float64], horizon: Horizon) -> NDArray[np.float64]:
        """Return the quantiles (H, Q) after `past` (T,)."""
        if not past.any():
            return np.zeros((horizon.steps, len(LEVELS)))
        with _quiet():
            said = _moved_forward(model, past, horizon.steps)
            if said is None:
                self.fallbacks += 1
                said = _moved_forward(_build("naive", 1, horizon), past, horizon.steps)
        assert said is not None, "the naive forecast of finite rates is finite"
        return said


def _build(kind: str, season: int, horizon: Horizon) -> Any:
    from statsforecast import models as zoo  # noqa: PLC0415 (importing it costs seconds)
    from statsforecast.utils import ConformalIntervals  # noqa: PLC0415 (the same)

    builders: dict[str, Callable[[], Any]] = {
        "naive": zoo.Naive,
        "seasonal_naive": lambda: zoo.SeasonalNaive(season_length=season),
        "auto_ets": lambda: zoo.AutoETS(season_length=season),
        "auto_theta": lambda: zoo.AutoTheta(season_length=season),
        "mstl": lambda: zoo.MSTL(season_length=season, stl_kwargs=_jumps(season)),
        "croston_sba": lambda: zoo.CrostonSBA(prediction_intervals=ConformalIntervals(CONFORMAL_ORIGINS, horizon.steps)),
    }
    return builders[kind]()


def _jumps(season: int) -> dict[str, int]:
    """Return how many steps STL may interpolate over: a tenth of each window, as R does; ten times as fast as every step."""
    return {"seasonal_jump": 2, "trend_jump": max(1, round(0.17 * season)), "low_pass_jump": max(1, round(0.1 * season))}


def _moved_forward(model: Any, past: NDArray[np.float64], steps: int) -> NDArray[np.float64] | None:
    """Return a fitted model's quantiles (H, Q) after `past` (T,); None if it fails or they are not finite.

    Models without states to move are computed from `past` at once.
    """
    if model is None:
        return None
    try:
        said = getattr(model, "forward", model.forecast)(y=past, h=steps, level=INTERVALS)
    except Exception:  # noqa: BLE001 (statsforecast raises bare Exceptions, and whatever scipy and numpy raise)
        return None
    values = np.stack([said[_key(level)] for level in LEVELS], axis=-1).astype(np.float64)
    return values if np.isfinite(values).all() else None


def _key(level: float) -> str:
    """Return under which name statsforecast keeps a quantile: lo-80 is the lower end of the 80 % interval, level 0.1."""
    interval = round(abs(2 * level - 1) * 100)
    if interval == 0:
        return "mean"
    return f"{'hi' if level > 0.5 else 'lo'}-{interval}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what statsforecast and numpy say about series they find hard; what comes of it is checked."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
