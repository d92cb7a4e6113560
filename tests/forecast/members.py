"""Members of an ensemble for tests: one that always says the same, one that knows the future."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from models.base import LEVELS
from plb_ray.errors import NoForecastError

SPREAD = norm.ppf(LEVELS)


def ignore(_):
    pass


class Fixed:
    """Says a normal distribution that never changes."""

    lookback_s = training_s = 30 * 86400
    made_for = ""

    def __init__(self, name: str, mean: float, deviation: float = 0.0) -> None:
        self.name, self.mean, self.deviation = name, mean, deviation
        self.steps_seen = 0
        self.specialised_for = ()
        self.steps = None

    def fit(self, grid, horizon, on_progress) -> None:
        self.steps_seen = grid.messages_per_s.shape[1]
        self.steps = horizon.steps
        on_progress(1.0)

    def learn_on(self, grid, on_progress) -> None:
        self.steps_seen = grid.messages_per_s.shape[1]
        on_progress(1.0)

    def specialise(self, grid, on_progress) -> None:
        self.specialised_for = grid.order_params
        on_progress(1.0)

    def quantiles(self, grid, origins):
        if self.steps is None:
            raise NoForecastError("not trained")
        said = np.maximum(0, self.mean + self.deviation * SPREAD)
        return np.broadcast_to(said, (len(origins), len(grid.order_params), self.steps, len(LEVELS))).astype(np.float32)

    def save(self, folder) -> None:
        folder.mkdir(parents=True)

    def load(self, folder, horizon) -> None:
        if not folder.is_dir():
            raise NoForecastError("not there")
        self.steps = horizon.steps


class Oracle(Fixed):
    """Says what will come, at every level, plus `deviation` of its normal distribution; cheats, so for tests only."""

    def __init__(self, deviation=0.0, needs=0, spoil="", spoil_after=0):
        super().__init__("oracle", 0.0, deviation)
        self.needs, self.spoil, self.spoil_after = needs, spoil, spoil_after

    def fit(self, grid, horizon, on_progress):
        if grid.messages_per_s.shape[1] < self.needs:
            raise NoForecastError("too short")
        super().fit(grid, horizon, on_progress)

    def quantiles(self, grid, origins, steps=None):
        ahead = origins[:, None] + np.arange(steps or self.steps)
        rates = np.pad(grid.messages_per_s, ((0, 0), (0, 64)), mode="edge")
        to_come = rates[:, ahead].swapaxes(0, 1)[..., None]  # (N, K, H, 1)
        said = np.maximum(0, to_come + self.deviation * SPREAD).astype(np.float32)
        if self.spoil in grid.order_params:
            said[origins >= self.spoil_after, grid.index[self.spoil]] = np.nan
        return said
