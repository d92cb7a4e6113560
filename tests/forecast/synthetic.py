"""Histories and stand-ins for the tests of forecasters: synthetic, seeded, small."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np

from models.base import LEVELS
from models.params import NetworkParams
from plb_ray.domain.rates import Forecast, Horizon, RateHistory, short_horizon
from plb_ray.errors import NoForecastError

STEP_S = 1800
DAY = 48
SHORT = short_horizon(STEP_S)
START_S = 1_700_006_400  # a midnight, so that days of the history are days of the calendar
TINY = NetworkParams(lookback=12, margin=2, hidden=48, steps=250, batch=128, budget_s=100.0)


def history_of(rates, step_s=STEP_S) -> RateHistory:
    """Wrap (K, T) rates; order params are called "op-0", "op-1", ..."""
    rates = np.asarray(rates)
    return RateHistory(tuple(f"op-{row}" for row in range(len(rates))), START_S, step_s, rates)


def seasonal_history(order_params=12, days=15, seed=0) -> RateHistory:
    """Each order param has an hour-long rush at its own times of day, a size of its own, and Poisson noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(days * DAY)
    phase, size = rng.integers(0, DAY, order_params)[:, None], rng.uniform(1, 20, order_params)[:, None]
    rush = ((time - phase) % (DAY // 3) < 3).astype(float)
    return history_of(rng.poisson(20 * size * (0.2 + 2 * rush)) / 20)


def before(history: RateHistory, step: int) -> RateHistory:
    """Return what was known at a step."""
    return replace(history, messages_per_s=history.messages_per_s[:, :step])


def last_rate_loss(history: RateHistory, cuts, steps: int) -> float:
    """Weighted quantile loss of the last rate as every quantile."""
    rates = history.messages_per_s
    error = sum(
        float(np.maximum(q * e, (q - 1) * e).sum())
        for cut in cuts
        for e in [rates[:, cut : cut + steps] - rates[:, cut - 1 : cut]]
        for q in LEVELS
    )
    return 2 * error / len(LEVELS) / float(sum(rates[:, cut : cut + steps].sum() for cut in cuts))


class FlatForecaster:
    """A forecaster without torch: learns each order param's mean; `spoil` names the one whose row becomes NaN."""

    lookback_s = 10 * 86400
    training_s = 10 * 86400

    def __init__(self, seed: int = 0, factor: float = 1.0, spoil: str = "") -> None:
        self.seed, self.factor, self.spoil = seed, factor, spoil
        self.horizon: Horizon | None = None

    def fit(self, history, horizon, on_progress=None, parent=None) -> None:
        if history.messages_per_s.shape[1] < 4:
            raise NoForecastError("too short")
        for done in (0.5, 1.0):
            if on_progress is not None:
                on_progress(done)
        self.horizon, self.parent = horizon, parent

    def predict(self, history) -> Forecast:
        if self.horizon is None:
            raise NoForecastError("not trained")
        grid = history.coarser(self.horizon.step_s)
        mean = grid.messages_per_s.mean(axis=1)[:, None, None] * self.factor
        values = np.repeat(np.repeat(mean, self.horizon.steps, axis=1), len(LEVELS), axis=2)
        values[[name == self.spoil for name in grid.order_params]] = np.nan
        return Forecast(grid.order_params, self.horizon, grid.end_s, LEVELS, values, ("flat",) * len(values))

    def save(self, folder) -> None:
        folder.mkdir(parents=True)
        (folder / "flat.json").write_text(json.dumps(asdict(self.horizon)))

    def load(self, folder) -> None:
        try:
            self.horizon = Horizon(**json.loads((folder / "flat.json").read_text()))
        except (OSError, ValueError) as error:
            raise NoForecastError(str(error)) from error
