"""Makes the port `Forecaster` of a candidate: histories on any grid in, sound forecasts out, one artifact folder."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from models.base import LEVELS, make_forecast, on_grid
from plb_ray.domain.rates import Horizon
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.candidate import Member
    from plb_ray.domain.rates import Forecast, RateHistory

LOG = logging.getLogger(__name__)
FORMAT = 1
MANIFEST = "forecaster.json"


class CandidateForecaster:
    """Implements `plb_ray.control.ports.Forecaster`.

    Args:
        candidate: what is trained and asked; not shared with anybody.
    """

    def __init__(self, candidate: Member) -> None:
        self._candidate = candidate
        self._horizon: Horizon | None = None

    @property
    def lookback_s(self) -> int:
        """See `Forecaster`."""
        return self._candidate.lookback_s

    @property
    def training_s(self) -> int:
        """See `Forecaster`."""
        return self._candidate.training_s

    def fit(
        self,
        history: RateHistory,
        horizon: Horizon,
        on_progress: Callable[[float], None] | None = None,
        parent: Path | None = None,
    ) -> None:
        """See `Forecaster`."""
        tell = on_progress or _ignore
        grid = on_grid(history.last(max(1, self.training_s // history.step_s)), horizon)
        if parent is None or not self._loaded(parent, horizon):
            self._candidate.fit(grid, horizon, tell)
        else:
            self._candidate.specialise(grid, tell)
        self._horizon = horizon

    def _loaded(self, parent: Path, horizon: Horizon) -> bool:
        """Load an artifact; return whether it could be, and was made for this horizon."""
        try:
            self.load(parent)
        except NoForecastError as error:
            LOG.info("%s; training begins from nothing", error)
            return False
        return self._horizon == horizon

    def predict(self, history: RateHistory) -> Forecast:
        """See `Forecaster`."""
        if self._horizon is None:
            raise NoForecastError("the forecaster was not trained yet")
        grid = on_grid(history.last(self.lookback_s // history.step_s), self._horizon)
        grid = replace(grid, messages_per_s=np.ascontiguousarray(grid.messages_per_s))  # members `take` from it often
        values = self._candidate.quantiles(grid, np.array([grid.messages_per_s.shape[1]]))[0]  # (K, H, Q)
        return make_forecast(grid, self._horizon, values, self._candidate.name)

    def save(self, folder: Path) -> None:
        """See `Forecaster`. Into an empty folder; `models.champion` makes replacing one atomic."""
        if self._horizon is None:
            raise NoForecastError("the forecaster was not trained yet")
        self._candidate.save(folder)
        content = {"format": FORMAT, "horizon": asdict(self._horizon), "levels": LEVELS}
        (folder / MANIFEST).write_text(json.dumps(content, indent=2), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """See `Forecaster`."""
        try:
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            horizon = Horizon(**content["horizon"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoForecastError(f"there is no readable artifact in {folder} ({error})") from error
        if content.get("format") != FORMAT or content.get("levels") != list(LEVELS):
            raise NoForecastError(f"the artifact in {folder} was made for other settings; train again")
        self._candidate.load(folder, horizon)
        self._horizon = horizon


def _ignore(_: float) -> None:
    """Take no notice of progress."""
