"""The crew of a retraining on Ray: each part is a task of one core and low priority, on whichever node is free.

A task is never begun again by Ray itself: who dies is told, and `retrain_run` decides. Tasks are spread over the nodes, so
that a further try usually comes to another one.
"""

from __future__ import annotations

import logging
import math
import os
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from plb_ray.clock import monotonic_s
from plb_ray.cluster.retrain_files import training_lock
from plb_ray.cluster.retrain_run import Ended, Key, Progress
from plb_ray.cluster.retraining import Part, PartState
from plb_ray.cluster.runtime import check_provenance
from plb_ray.errors import NoForecastError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from plb_ray.control.ports import Forecaster
    from plb_ray.domain.rates import Horizon, RateHistory

LOG = logging.getLogger(__name__)
NICENESS = 19
TELL_EVERY_S = 0.5
TELL_STEP = 0.05
PROGRESS_TIMEOUT_S = 2.0


class RayCrew:
    """Implements `plb_ray.cluster.retrain_run.Crew`. Ray must have been started, and all nodes must see `networks`.

    Args:
        make_forecaster: seed -> untrained forecaster; importable on Ray's workers.
        networks: folder with one folder per group, and in it one per horizon.
        histories: group -> what to learn from; a group that is missing has none.
        horizons: name -> horizon.
        seeds: group -> seed of its training.
    """

    def __init__(
        self,
        make_forecaster: Callable[[int], Forecaster],
        networks: Path,
        histories: Mapping[str, RateHistory],
        horizons: Mapping[str, Horizon],
        seeds: Mapping[str, int],
    ) -> None:
        self._make = make_forecaster
        self._networks = networks
        self._histories = histories
        self._horizons = horizons
        self._seeds = seeds
        self._board: Any = ray.remote(num_cpus=0)(_Board).remote()
        self._task: Any = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_train)
        self._asked: dict[Any, Key] = {}
        self._sent: tuple[str, Any] = ("", None)
        self._known: dict[Key, Progress] = {}
        self._hopeless: list[Ended] = []

    @property
    def size(self) -> int:
        """See `Crew`: the cores that the cluster has now."""
        return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]  # as Ray declares it

    def start(self, part: Part) -> None:
        """See `Crew`."""
        if part.group not in self._histories:
            note = "none of its order params has arrivals in that history"
            self._hopeless.append(Ended(part.key, PartState.FAILED, note))
            return
        history = self._shared(part.group)
        horizon, seed = self._horizons[part.horizon], self._seeds[part.group]
        self._asked[self._task.remote(self._make, self._networks, part, seed, history, horizon, self._board)] = part.key

    def wait(self, timeout_s: float) -> list[Ended]:
        """See `Crew`."""
        ended, self._hopeless = self._hopeless, []
        if not self._asked:
            return ended
        done, _ = ray.wait(list(self._asked), num_returns=1, timeout=0 if ended else timeout_s)
        return ended + [self._ended(answer) for answer in done]

    def progress(self) -> Mapping[Key, Progress]:
        """See `Crew`. A board that died with its node tells nothing new; the work goes on."""
        try:
            self._known.update(ray.get(self._board.read.remote(), timeout=PROGRESS_TIMEOUT_S))
        except RayError as error:
            LOG.debug("the board does not answer: %s", error)
            if isinstance(error, RayActorError):
                self._board = ray.remote(num_cpus=0)(_Board).remote()
        return self._known

    def _shared(self, group: str) -> Any:
        """Put a group's history into the object store; only that of the latest group is held there, beside those in use."""
        if self._sent[0] != group:
            history = self._histories[group]
            self._sent = (group, ray.put(history))
        return self._sent[1]

    def _ended(self, answer: Any) -> Ended:
        key = self._asked.pop(answer)
        try:
            ended: Ended = ray.get(answer)
        except RayTaskError as error:  # a mistake of ours, which another try would make again
            return Ended(key, PartState.FAILED, _last_line(error))
        except RayError as error:
            return Ended(key, None, _last_line(error))
        return ended


def _train(
    make_forecaster: Callable[[int], Forecaster],
    networks: Path,
    part: Part,
    seed: int,
    history: RateHistory,
    horizon: Horizon,
    board: Any,
) -> Ended:
    """Train one network and write its artifact, in a process that yields to whoever serves."""
    yield_to_others()
    check_provenance()
    began_s = monotonic_s()
    teller = _Teller(board, part)
    with training_lock(networks, part.group, part.horizon) as free:
        if not free:
            return Ended(part.key, PartState.SKIPPED, "somebody else is training it: the balancer, or another retraining")
        forecaster = make_forecaster(seed)
        parent = networks / part.parent / part.horizon if part.parent else None
        try:
            forecaster.fit(history, horizon, teller, parent)
            forecaster.save(networks / part.group / part.horizon)
        except NoForecastError as error:
            return Ended(part.key, PartState.FAILED, str(error))
    return Ended(part.key, PartState.DONE, _who_serves(forecaster), monotonic_s() - began_s)


def _who_serves(forecaster: Forecaster) -> str:
    """Return which version serves now, if the forecaster is one that keeps versions: not always the one just trained."""
    if not hasattr(forecaster, "version"):
        return ""
    return f"{forecaster.version} serves" if forecaster.version else "no version beats the baseline, which serves"


def yield_to_others(niceness: int = NICENESS) -> None:
    """Lower the priority of this process as far as it goes; never raise it, which takes privileges."""
    os.setpriority(os.PRIO_PROCESS, 0, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))


class _Teller:
    """Tells the board how far a part is, now and then, and of each larger step."""

    def __init__(self, board: Any, part: Part) -> None:
        self._board = board
        self._part = part
        node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]  # as Ray declares it
        self._where = f"{node}:{os.getpid()}"
        self._told_s, self._told = -math.inf, -math.inf
        self(0.0)

    def __call__(self, fraction: float) -> None:
        now_s = monotonic_s()
        if now_s - self._told_s >= TELL_EVERY_S or fraction - self._told >= TELL_STEP:
            self._told_s, self._told = now_s, fraction
            self._board.tell.remote(self._part.key, Progress(fraction, self._where, self._part.attempts))


class _Board:
    """The actor on which workers write how far they are. It lives as long as the job."""

    def __init__(self) -> None:
        self._progress: dict[Key, Progress] = {}

    def tell(self, key: Key, progress: Progress) -> None:
        """Note how far a part is."""
        self._progress[key] = progress

    def read(self) -> dict[Key, Progress]:
        """Return what was told, by part."""
        return self._progress


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or repr(error)).splitlines()[-1].strip()
