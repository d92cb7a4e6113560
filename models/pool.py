"""A forecaster pool in this process: one network per horizon for all order params, trained in one background thread.

For one-process wiring and for tests; `plb_ray.cluster.forecasters` is the one that spreads over Ray actors.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from models.base import clean_rates
from plb_ray.clock import monotonic_s
from plb_ray.cluster.late_artifacts import LateArtifacts
from plb_ray.control.ports import TrainingStatus
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.base import Forecaster
    from plb_ray.domain.rates import Forecast, Horizon, RateHistory

LOG = logging.getLogger(__name__)


class LocalForecasterPool:
    """Implements `plb_ray.control.ports.ForecasterPool`.

    Args:
        make_forecaster: seed -> untrained forecaster.
        baseline: answers until a network is ready, and whenever it fails.
        artifacts: folder to keep trained networks in and to load them from, at start and when they come later; None keeps
            nothing.
        seed: of all training.
        now_s: a clock whose differences are seconds.
    """

    def __init__(
        self,
        make_forecaster: Callable[[int], Forecaster],
        baseline: Callable[[RateHistory, Horizon], Forecast],
        artifacts: Path | None = None,
        seed: int = 1,
        now_s: Callable[[], float] = monotonic_s,
    ) -> None:
        self._make = make_forecaster
        self._baseline = baseline
        self._artifacts = artifacts
        self._seed = seed
        self._serving: dict[str, Forecaster] = {}
        self._status: dict[str, TrainingStatus] = {}
        self._jobs: dict[str, Future[None]] = {}
        self._closing = False
        self._late = LateArtifacts(now_s)
        self._trainer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="train")
        for folder in sorted(artifacts.iterdir()) if artifacts is not None and artifacts.is_dir() else ():
            self._load(folder)

    async def forecast(self, history: RateHistory, horizon: Horizon) -> Forecast:
        """See `ForecasterPool`."""
        return await asyncio.to_thread(self._forecast, history, horizon)

    def start_training(self, history: RateHistory, horizons: tuple[Horizon, ...]) -> None:
        """See `ForecasterPool`. A horizon that is still waiting for an earlier training is not trained twice."""
        steps = self._make(self._seed).training_s // history.step_s
        recent = history.last(steps)
        copy = replace(recent, messages_per_s=clean_rates(recent.messages_per_s))
        for horizon in horizons:
            before = self._jobs.get(horizon.name)
            if before is None or before.done():
                self._tell(horizon, 0.0, "waiting")
                self._jobs[horizon.name] = self._trainer.submit(self._train, copy, horizon)

    async def training(self) -> tuple[TrainingStatus, ...]:
        """See `ForecasterPool`."""
        return tuple(self._status.values())

    async def close(self) -> None:
        """See `ForecasterPool`. A training under way ends at its next step."""
        self._closing = True
        await asyncio.to_thread(self._trainer.shutdown, cancel_futures=True)

    def _forecast(self, history: RateHistory, horizon: Horizon) -> Forecast:
        network = self._serving.get(horizon.name) or self._found_late(horizon)
        if network is not None and history.messages_per_s.shape[1]:
            try:
                forecast = network.predict(history)
            except Exception:
                LOG.exception("the %s network failed; the baseline answers", horizon.name)
            else:
                if forecast.horizon == horizon:
                    return forecast
        return self._baseline(history, horizon)

    def _train(self, history: RateHistory, horizon: Horizon) -> None:
        forecaster = self._make(self._seed)
        try:
            forecaster.fit(history, horizon, lambda fraction: self._on_progress(horizon, fraction))
            if self._artifacts is not None:
                forecaster.save(self._artifacts / horizon.name)
        except _ClosingError:
            return
        except Exception as error:  # a training that fails must not end the thread; the status tells people
            if not isinstance(error, NoForecastError):
                LOG.exception("training the %s network failed", horizon.name)
            self._tell(horizon, 1.0, f"failed: {error}", failed=1)
            return
        self._serving[horizon.name] = forecaster
        self._tell(horizon, 1.0, "ready")

    def _on_progress(self, horizon: Horizon, fraction: float) -> None:
        if self._closing:
            raise _ClosingError
        self._tell(horizon, fraction, "training")

    def _tell(self, horizon: Horizon, fraction: float, message: str, failed: int = 0) -> None:
        done = int(horizon.name in self._serving)
        self._status[horizon.name] = TrainingStatus(horizon.name, done, 1, fraction, failed, message)

    def _found_late(self, horizon: Horizon) -> Forecaster | None:
        """Return the network that another process has trained since this pool was made, if one has."""
        if self._artifacts is not None and self._late.worth_loading(self._artifacts / horizon.name):
            self._load(self._artifacts / horizon.name)
        return self._serving.get(horizon.name)

    def _load(self, folder: Path) -> None:
        forecaster = self._make(self._seed)
        try:
            forecaster.load(folder)
        except NoForecastError as error:
            LOG.warning("%s", error)
            return
        self._serving[folder.name] = forecaster
        self._status[folder.name] = TrainingStatus(folder.name, 1, 1, 1.0, 0, "loaded")


class _ClosingError(Exception):
    """Unwinds a training when the pool is closed."""
