"""The Ray actor that trains and serves the networks of its groups. Knows no kind of forecaster: it is handed a factory.

Three concurrency groups keep the work apart: "train" has one thread, of low priority; "serve" answers meanwhile from the
networks that are ready; "status" is never behind either. A new network takes the place of the older one when it is trained
and its artifact is written. An actor that Ray starts again loads the artifacts of its groups before it answers anything.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from plb_ray.cluster.grouping import actor_of
from plb_ray.cluster.runtime import check_provenance
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from plb_ray.control.ports import Forecaster
    from plb_ray.domain.rates import Forecast, Horizon, RateHistory

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupProgress:
    """How far one group's network for one horizon is: `ready` to serve, `fraction` of the latest training, its failure."""

    ready: bool
    fraction: float
    failure: str = ""


class ForecasterActor:
    """See the module.

    Args:
        make_forecaster: seed -> untrained forecaster.
        artifacts: holds one folder per group, with one per horizon in it.
        index: of this actor, of `actors`; it hosts, and loads, the groups that `actor_of` gives it.
        actors: how many there are.
        niceness: priority of the training thread, 0 (normal) to 19.
    """

    def __init__(
        self, make_forecaster: Callable[[int], Forecaster], artifacts: Path, index: int, actors: int, niceness: int
    ) -> None:
        check_provenance()
        self._make = make_forecaster
        self._folder = artifacts
        self._niceness = niceness
        self._serving: dict[tuple[str, str], Forecaster] = {}
        self._progress: dict[tuple[str, str], GroupProgress] = {}
        for folder in sorted(artifacts.glob("*/*")):
            if actor_of(folder.parent.name, actors) == index:
                self._load(folder)

    @ray.method(concurrency_group="status")
    def hello(self) -> int:
        """Return the process id, once the artifacts are loaded."""
        return os.getpid()

    @ray.method(concurrency_group="status")
    def progress(self) -> dict[tuple[str, str], GroupProgress]:
        """Return the progress by (group, horizon name)."""
        return dict(self._progress)

    @ray.method(concurrency_group="serve")
    def forecast(self, histories: Mapping[str, RateHistory], horizon: Horizon) -> list[Forecast]:
        """Return one forecast per group of `histories` that has a network for exactly this horizon."""
        made = [self._forecast(group, history, horizon) for group, history in histories.items()]
        return [forecast for forecast in made if forecast is not None]

    @ray.method(concurrency_group="train")
    def train(self, group: str, seed: int, history: RateHistory, horizon: Horizon) -> None:
        """Train a group's network, write its artifact, then serve it. A failure is kept in `progress`."""
        _be_nice(self._niceness)
        key = (group, horizon.name)
        self._tell(key, 0.0)
        forecaster = self._make(seed)
        try:
            forecaster.fit(history, horizon, lambda fraction: self._tell(key, fraction))
            forecaster.save(self._folder / group / horizon.name)
        except Exception as error:  # whatever went wrong, the other groups must be trained and the older network serves
            if not isinstance(error, NoForecastError):
                LOG.exception("training of %s for the %s horizon failed", group, horizon.name)
            self._tell(key, 1.0, str(error) or repr(error))
            return
        self._serving[key] = forecaster
        self._tell(key, 1.0)

    def _forecast(self, group: str, history: RateHistory, horizon: Horizon) -> Forecast | None:
        forecaster = self._serving.get((group, horizon.name))
        if forecaster is None:
            return None
        try:
            forecast = forecaster.predict(history)
        except Exception:  # the caller's baseline stands in
            LOG.exception("the network of %s for the %s horizon failed", group, horizon.name)
            return None
        return forecast if forecast.horizon == horizon else None

    def _load(self, folder: Path) -> None:
        forecaster = self._make(0)
        try:
            forecaster.load(folder)
        except NoForecastError as error:
            LOG.warning("%s", error)
            return
        key = (folder.parent.name, folder.name)
        self._serving[key] = forecaster
        self._tell(key, 1.0)

    def _tell(self, key: tuple[str, str], fraction: float, failure: str = "") -> None:
        self._progress[key] = GroupProgress(key in self._serving, fraction, failure)


def _be_nice(niceness: int) -> None:
    """Lower the priority of this thread only (so it is on Linux); never raise it, which takes privileges."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))
