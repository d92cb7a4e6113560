"""Synthetic traffic whose distribution is known, forecasts of it with a known fault, and a keeper that listens."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from plb_ray.domain.rates import Forecast, RateHistory, medium_horizon, short_horizon

LEVELS = (0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)
STEP_S = 3600
DAY_S = 86_400
T0 = 20_000 * DAY_S
HORIZONS = (short_horizon(STEP_S), medium_horizon(STEP_S))
SIGMA = 0.3
NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


class Keeper:
    """Notes who was demoted; fails while `failing` is set."""

    def __init__(self):
        self.demoted = []
        self.failing = None

    def demote(self, horizon, reason, at_s):
        if self.failing is not None:
            raise self.failing
        self.demoted.append((horizon, reason, at_s))

    @property
    def horizons(self):
        return sorted(horizon for horizon, _, _ in self.demoted)


@dataclass
class Course:
    """Rates of K order params in hours since T0: a day curve times lognormal noise, with `idle` of the hours at 0."""

    order_params: int = 12
    hours: int = 24 * 12
    idle: float = 0.0
    seed: int = 1

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        curve = 2 + np.sin(np.arange(self.hours + 48) * 2 * np.pi / 24)
        self.median = rng.uniform(1, 10, (self.order_params, 1)) * curve  # (K, T)
        noise = np.exp(SIGMA * rng.standard_normal(self.median.shape))
        self.rates = self.median * noise * (rng.random(self.median.shape) >= self.idle)
        self.names = tuple(f"op-{row}" for row in range(self.order_params))

    def history(self, hours, first=0):
        return RateHistory(self.names, T0 + first * STEP_S, STEP_S, self.rates[:, first:hours].astype(np.float32))

    def forecast(self, hours, horizon, width=1.0, factor=1.0, source="ensemble"):
        """The true quantiles after so many hours, but `width` times as wide and `factor` times as high."""
        shift = np.array([self._normal(level) for level in LEVELS])
        spread = np.where(np.isfinite(shift), np.exp(SIGMA * width * np.where(np.isfinite(shift), shift, 0.0)), 0.0)
        median = self.median[:, hours : hours + horizon.steps, None]
        values = (factor * median * spread).astype(np.float32)  # (K, H, Q)
        return Forecast(self.names, horizon, T0 + hours * STEP_S, LEVELS, values, (source,) * self.order_params)

    def _normal(self, level):
        above = (level - self.idle) / (1 - self.idle)
        return NormalDist().inv_cdf(above) if above > 0 else -np.inf


async def follow(feedback, course, hours, first=24, **fault):
    """Let hours `first` + 1 to `hours` of a course pass, an hour a tick, with both forecasts at each; return the last."""
    for hour in range(first, hours + 1):
        await feedback.settle(course.history(hour))
        for horizon in HORIZONS:
            feedback.note(course.forecast(hour, horizon, **fault))
    return hours


def found(feedback, horizon="short", forecaster="champion"):
    return next(each for each in feedback.quality() if (each.horizon, each.forecaster) == (horizon, forecaster))
