"""Entries, histories and forecasters for the tests of the registry: no torch, milliseconds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from models.base import LEVELS
from models.champion import ChampionForecaster
from models.drift import DriftParams
from models.registry import VersionFolder
from models.registry_entry import DataSpan, Entry
from models.trials import TrialParams
from models.verdict import ChampionParams
from plb_ray.errors import NoForecastError
from tests.forecast.synthetic import DAY, SHORT, START_S, STEP_S, FlatForecaster, history_of

NOW_S = 1_764_000_000
PARAMS = ChampionParams(keep=3, trial=TrialParams(origins_max=12), drift=DriftParams())


def entry(wql: float = 0.2, horizon=SHORT) -> Entry:
    data = DataSpan(0, 90, 100, 10, 3, "abc")
    metrics = {"wql": wql, "wql_baseline": 0.3, "coverage_80": 0.79, "coverage_95": 0.94}
    return Entry(horizon, LEVELS, "flat", metrics, (0.1, 0.2), data, 7, 1.5, "key", "0.1.0")


def folder_at(path) -> VersionFolder:
    return VersionFolder(path, lambda: NOW_S)


def write_model(folder) -> None:
    folder.mkdir()
    (folder / "weights").write_text("w")


def filled(path, count: int) -> VersionFolder:
    """Versions v0001 .. of which each was champion once."""
    folder = folder_at(path)
    for _ in range(count):
        folder.promote(folder.add(write_model, entry()), "better")
    return folder


def mean_at(steps):
    """The mean rates of `noisy`: a rhythm of five steps, of which the baseline knows nothing."""
    return 10.0 + 6.0 * (steps % 5 == 0)


def noisy(rows: int = 3, days: int = 12, seed: int = 5):
    """Rates with a rhythm that the baseline does not know, and noise of standard deviation 1."""
    return history_of(
        (mean_at(np.arange(days * DAY)) + np.random.default_rng(seed).normal(0, 1, (rows, days * DAY))).clip(0)
    )


class Spread(FlatForecaster):
    """The right quantiles of `noisy`, times a factor kept in its artifact: how far it is from 1 says how bad it is."""

    def predict(self, history):
        forecast = super().predict(history)
        ahead = (forecast.cutoff_s - START_S) // STEP_S + np.arange(forecast.horizon.steps)
        values = (mean_at(ahead)[:, None] + NORMAL) * self.factor * np.ones_like(forecast.messages_per_s)
        values[[name == self.spoil for name in forecast.order_params]] = np.nan
        return replace(forecast, messages_per_s=values)

    def save(self, folder):
        super().save(folder)
        (folder / "factor.json").write_text(json.dumps(self.factor))

    def load(self, folder):
        super().load(folder)
        try:
            self.factor = json.loads((folder / "factor.json").read_text())
        except (OSError, ValueError) as error:
            raise NoForecastError(str(error)) from error


NORMAL = np.quantile(np.random.default_rng(0).normal(size=20_000), LEVELS)  # (Q,)


def champion(factor: float = 1.0, params: ChampionParams = PARAMS, **more) -> ChampionForecaster:
    return ChampionForecaster(lambda: Spread(factor=factor, **more), "spread", 7, params=params, now_s=lambda: NOW_S)


def trained(path, factor: float, history=None, **more) -> ChampionForecaster:
    """Fit and save a version of this factor."""
    forecaster = champion(factor, **more)
    forecaster.fit(noisy() if history is None else history, SHORT)
    forecaster.save(path)
    return forecaster
