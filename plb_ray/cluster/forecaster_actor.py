"""The Ray actor that trains and serves the networks of its groups. Knows no kind of forecaster: it is handed a factory.

Three concurrency groups keep the work apart: "train" has one thread, of low priority; "serve" answers meanwhile from the
networks that are ready; "status" is never behind either. A new network takes the place of the older one when it is trained
and its artifact is written. An actor that Ray starts again loads the artifacts of its groups before it answers anything.

Retraining jobs write artifacts, too. A group that has no network yet is looked for again now and then; how one that serves
gives way to a newer one is the forecaster's own affair. What a job is training is not trained here at the same time.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from plb_ray.clock import monotonic_s
from plb_ray.cluster.grouping import DEDICATED, SHARED, actor_of
from plb_ray.cluster.late_artifacts import LateArtifacts
from plb_ray.cluster.retrain_files import training_lock
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
    """How far one group's network for one horizon is.

    Attributes:
        ready: to serve.
        fraction: of the latest training.
        failure: of the latest training; empty if there is none.
        elsewhere: the latest training was left to somebody else, who was at it already.
    """

    ready: bool
    fraction: float
    failure: str = ""
    elsewhere: bool = False


class ForecasterActor:
    """See the module.

    Args:
        make_forecaster: seed -> untrained forecaster.
        artifacts: holds one folder per group, with one per horizon in it.
        index: of this actor, of `actors`; it hosts, and loads, the groups that `actor_of` gives it.
        actors: how many there are.
        niceness: priority of the training thread, 0 (normal) to 19.
        now_s: a clock whose differences are seconds.
    """

    def __init__(
        self,
        make_forecaster: Callable[[int], Forecaster],
        artifacts: Path,
        index: int,
        actors: int,
        niceness: int,
        now_s: Callable[[], float] = monotonic_s,
    ) -> None:
        check_provenance()
        self._make = make_forecaster
        self._folder = artifacts
        self._niceness = niceness
        self._serving: dict[tuple[str, str], Forecaster] = {}
        self._progress: dict[tuple[str, str], GroupProgress] = {}
        self._late = LateArtifacts(now_s)
        for folder in sorted([*artifacts.glob(f"{SHARED}*/*"), *artifacts.glob(f"{DEDICATED}*/*")]):
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
    def train(self, group: str, seed: int, history: RateHistory, horizon: Horizon, parent: str = "") -> None:
        """Train a group's network, write its artifact, then serve it. A failure is kept in `progress`.

        It goes on from the network of the group `parent`, if one is named. What a retraining job is at is left to that one.
        """
        _be_nice(self._niceness)
        key = (group, horizon.name)
        self._tell(key, 0.0)
        try:
            with training_lock(self._folder, *key) as free:
                if free:
                    self._serving[key] = self._trained(key, seed, history, horizon, parent)
        except Exception as error:  # whatever went wrong, the other groups must be trained and the older network serves
            if not isinstance(error, NoForecastError):
                LOG.exception("training of %s for the %s horizon failed", *key)
            self._tell(key, 1.0, str(error) or repr(error))
            return
        self._progress[key] = GroupProgress(key in self._serving, 1.0, elsewhere=not free)

    def _trained(self, key: tuple[str, str], seed: int, history: RateHistory, horizon: Horizon, parent: str) -> Forecaster:
        forecaster = self._make(seed)
        start = self._folder / parent / horizon.name if parent else None
        forecaster.fit(history, horizon, lambda fraction: self._tell(key, fraction), start)
        forecaster.save(self._folder.joinpath(*key))
        return forecaster

    def _forecast(self, group: str, history: RateHistory, horizon: Horizon) -> Forecast | None:
        forecaster = self._serving.get((group, horizon.name)) or self._found_late(group, horizon.name)
        if forecaster is None:
            return None
        try:
            forecast = forecaster.predict(history)
        except Exception:  # the caller's baseline stands in
            LOG.exception("the network of %s for the %s horizon failed", group, horizon.name)
            return None
        return forecast if forecast.horizon == horizon else None

    def _found_late(self, group: str, horizon_name: str) -> Forecaster | None:
        """Return the network that a retraining job has trained since this actor was started, if it has."""
        folder = self._folder / group / horizon_name
        if self._late.worth_loading(folder):
            self._load(folder)
        return self._serving.get((group, horizon_name))

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
