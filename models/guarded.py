"""What makes a network safe to plan on: it must beat the baseline, and the baseline stands in for each row it spoils."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.base import DAY_S, on_grid, truncated, weighted_quantile_loss
from models.baseline import BASELINE_LOOKBACK_S, seasonal_naive
from plb_ray.domain.rates import Forecast, Horizon
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.base import Forecaster
    from plb_ray.domain.rates import RateHistory

CURRENT = "current"
VERDICT = "verdict.json"
TAIL_S = 2 * DAY_S
ORIGINS = 24
"""Cutoffs at which the held-out tail is forecast."""


@dataclass(frozen=True)
class Verdict:
    """Weighted quantile loss of network and baseline on the held-out tail; the network serves if it is not worse."""

    network_loss: float
    baseline_loss: float

    @property
    def network_serves(self) -> bool:
        """A non-finite loss never serves."""
        return self.network_loss <= self.baseline_loss


class GuardedForecaster:
    """Wraps a forecaster. Implements `plb_ray.control.ports.Forecaster`.

    Args:
        network: what is trained and judged; not shared with anybody.
    """

    def __init__(self, network: Forecaster) -> None:
        self._network = network
        self._horizon: Horizon | None = None
        self.verdict: Verdict | None = None

    @property
    def lookback_s(self) -> int:
        """See `Forecaster`."""
        return max(self._network.lookback_s, BASELINE_LOOKBACK_S)

    @property
    def training_s(self) -> int:
        """See `Forecaster`."""
        return max(self._network.training_s, BASELINE_LOOKBACK_S)

    def fit(self, history: RateHistory, horizon: Horizon, on_progress: Callable[[float], None] | None = None) -> None:
        """See `Forecaster`. Trains on all but the tail of the history and judges on the tail."""
        history = history.last(self.training_s // history.step_s)
        cut = history.messages_per_s.shape[1] - tail_steps(history, horizon)
        self._network.fit(truncated(history, cut), horizon, on_progress)
        self.verdict = Verdict(
            rolling_loss(self._network.predict, history, horizon, cut),
            rolling_loss(lambda past: seasonal_naive(past, horizon), history, horizon, cut),
        )
        self._horizon = horizon

    def predict(self, history: RateHistory) -> Forecast:
        """See `Forecaster`."""
        if self._horizon is None or self.verdict is None:
            raise NoForecastError("the network was not trained yet")
        if not self.verdict.network_serves:
            return seasonal_naive(history, self._horizon)
        return _with_spoiled_rows_replaced(self._network.predict(history), history)

    def save(self, folder: Path) -> None:
        """See `Forecaster`. Each version has a folder of its own; `current` names the one to load, replaced atomically."""
        if self._horizon is None or self.verdict is None:
            raise NoForecastError("the network was not trained yet")
        older = _versions(folder)
        name = f"v{1 + max((int(path.name[1:]) for path in older), default=0)}"
        self._network.save(folder / name / "network")
        content = {"horizon": asdict(self._horizon), "verdict": asdict(self.verdict)}
        (folder / name / VERDICT).write_text(json.dumps(content, indent=2), encoding="utf-8")
        (folder / f"{CURRENT}.new").write_text(name, encoding="utf-8")
        (folder / f"{CURRENT}.new").replace(folder / CURRENT)
        for path in older:
            shutil.rmtree(path, ignore_errors=True)

    def load(self, folder: Path) -> None:
        """See `Forecaster`."""
        try:
            version = folder / (folder / CURRENT).read_text(encoding="utf-8")
            content = json.loads((version / VERDICT).read_text(encoding="utf-8"))
            horizon, verdict = Horizon(**content["horizon"]), Verdict(**content["verdict"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
        self._network.load(version / "network")
        self._horizon, self.verdict = horizon, verdict


def tail_steps(history: RateHistory, horizon: Horizon) -> int:
    """Return how many steps of the history are held out: a tenth, at least one horizon, at most two days or horizons."""
    ahead = horizon.steps * horizon.step_s // history.step_s
    longest = max(2 * ahead, TAIL_S // history.step_s)
    return max(ahead, min(history.messages_per_s.shape[1] // 10, longest))


def rolling_loss(predict: Callable[[RateHistory], Forecast], history: RateHistory, horizon: Horizon, first: int) -> float:
    """Return the weighted quantile loss of forecasts made at `ORIGINS` cutoffs spread over the steps from `first` on."""
    grid = on_grid(history, horizon)
    ahead = horizon.steps * horizon.step_s // history.step_s
    last = history.messages_per_s.shape[1] - ahead
    made = [predict(truncated(history, cut)) for cut in np.unique(np.linspace(first, max(first, last), ORIGINS).astype(int))]
    starts = [(forecast.cutoff_s - grid.start_s) // grid.step_s for forecast in made]
    actual = [grid.messages_per_s[:, start : start + horizon.steps] for start in starts]
    return weighted_quantile_loss(np.stack(actual), np.stack([forecast.messages_per_s for forecast in made]))


def _with_spoiled_rows_replaced(forecast: Forecast, history: RateHistory) -> Forecast:
    """Return the forecast with the baseline's row wherever a value is not finite."""
    spoiled = ~np.isfinite(forecast.messages_per_s).all(axis=(1, 2))  # (K,)
    if not spoiled.any():
        return forecast
    names = tuple(name for name, bad in zip(forecast.order_params, spoiled, strict=True) if bad)
    stand_in = seasonal_naive(history.rows(names), forecast.horizon)
    values = forecast.messages_per_s.copy()
    values[spoiled] = stand_in.messages_per_s
    sources = np.where(spoiled, stand_in.sources[0], forecast.sources)
    return replace(forecast, messages_per_s=values, sources=tuple(sources.tolist()))


def _versions(folder: Path) -> list[Path]:
    return [path for path in folder.glob("v*") if path.name[1:].isdigit()]
