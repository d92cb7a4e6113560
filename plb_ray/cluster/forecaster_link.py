"""The caller's end of one forecaster actor: what to do while it starts, is busy, is late, dies and comes back.

An actor is asked only when it has said hello and has answered the previous question of the same horizon; so a tick waits
for a slow actor once, not every time, and questions never pile up. Whatever goes wrong, the answer is empty, not an error.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import ActorDiedError, RayError

from plb_ray.cluster.forecaster_actor import ForecasterActor, GroupProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from plb_ray.control.ports import Forecaster
    from plb_ray.domain.rates import Forecast, Horizon, RateHistory

LOG = logging.getLogger(__name__)
TRAIN_RETRIES = 3
"""How often a training is begun again when its actor dies in it; one that kills its actor must end."""

CONCURRENCY = {"serve": 2, "train": 1, "status": 1}
WAITING = GroupProgress(ready=False, fraction=0.0)


@dataclass(frozen=True)
class _Job:
    """A training under way: what was asked, its answer to come, and the hello of the actor it was asked of."""

    arguments: tuple[Any, ...]
    answer: Future[None]
    hello: Future[int]
    attempt: int


class ForecasterLink:
    """Creates the actor and talks to it. Used from one event loop.

    Args:
        make_forecaster: see `RayForecasterPool`.
        artifacts: see `RayForecasterPool`.
        index: of this actor, of `actors`.
        actors: how many there are.
        niceness: priority of its training.
        num_cpus: what it reserves of Ray's CPUs.
    """

    def __init__(
        self,
        make_forecaster: Callable[[int], Forecaster],
        artifacts: Path,
        index: int,
        actors: int,
        niceness: int,
        num_cpus: float,
    ) -> None:
        remote = ray.remote(num_cpus=num_cpus, max_restarts=-1, concurrency_groups=CONCURRENCY)(ForecasterActor)
        self.handle: Any = remote.remote(make_forecaster, artifacts, index, actors, niceness)
        self._hello: Future[int] = self.handle.hello.remote().future()
        self._asked: dict[str, Future[Any]] = {}
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._progress: dict[tuple[str, str], GroupProgress] = {}
        self._dead = ""
        """Why the actor is dead for good; empty while it lives or is being restarted."""

    async def forecast(self, histories: Mapping[str, RateHistory], horizon: Horizon, timeout_s: float) -> list[Forecast]:
        """Return one forecast per group that has a network; none if the actor is starting, busy, late or dead."""
        if not histories or not self._is_up() or self._is_busy(horizon.name):
            return []
        return await self._ask(horizon.name, lambda: self.handle.forecast.remote(histories, horizon), timeout_s) or []

    def train(self, group: str, seed: int, history: ray.ObjectRef[RateHistory], horizon: Horizon, parent: str = "") -> None:
        """Have a group's network trained, unless its last training has not ended yet."""
        key = (group, horizon.name)
        if key in self._jobs:
            return
        self._progress.setdefault(key, WAITING)
        self._jobs[key] = self._submit((group, seed, history, horizon, parent), attempt=1)

    async def progress(self, timeout_s: float) -> dict[tuple[str, str], GroupProgress]:
        """Return the progress by (group, horizon name), as last seen if the actor does not answer.

        Nothing is ready, and why is said, once the actor cannot be started.
        """
        if self._is_up() and not self._is_busy("progress"):
            self._progress.update(await self._ask("progress", self.handle.progress.remote, timeout_s) or {})
        if self._dead:
            return {key: GroupProgress(ready=False, fraction=1.0, failure=self._dead) for key in self._progress}
        return dict(self._progress)

    def kill(self) -> None:
        """End the actor for good."""
        ray.kill(self.handle, no_restart=True)

    def _is_up(self) -> bool:
        """Return whether the actor has said hello since it last failed. Once it has, trainings that died with it go on."""
        if not self._hello.done():
            return False
        error = self._hello.exception()
        if isinstance(error, ActorDiedError):
            self._dead = _last_line(error)
        elif error is not None:
            self._greet()
        return error is None and self._look_after_trainings()

    def _look_after_trainings(self) -> bool:
        """Forget trainings that have ended and begin those again that an actor took to its grave.

        Not before the new actor's hello: what is sent to an actor that is being restarted is lost, too. Returns False when
        a lost training is the first sign of a death.
        """
        for key, job in [(key, job) for key, job in self._jobs.items() if job.answer.done()]:
            error = job.answer.exception()
            if error is None:
                del self._jobs[key]
            elif job.hello is self._hello:
                self._failed(error)
                return False
            elif job.attempt > TRAIN_RETRIES:
                del self._jobs[key]
                self._progress[key] = GroupProgress(ready=False, fraction=1.0, failure=f"its actor died {job.attempt} times")
            else:
                self._jobs[key] = self._submit(job.arguments, job.attempt + 1)
        return True

    def _submit(self, arguments: tuple[Any, ...], attempt: int) -> _Job:
        return _Job(arguments, self.handle.train.remote(*arguments).future(), self._hello, attempt)

    def _is_busy(self, question: str) -> bool:
        """Return whether the previous answer is still to come, or came too late and was a failure."""
        before = self._asked.get(question)
        if before is None or not before.done():
            return before is not None
        del self._asked[question]
        error = before.exception()
        if error is not None:
            self._failed(error)
        return error is not None

    async def _ask(self, question: str, call: Callable[[], Any], timeout_s: float) -> Any:
        """Return the answer; None if the actor is late or dead."""
        try:
            answer: Future[Any] = call().future()
        except RayError as error:
            return self._failed(error)
        self._asked[question] = answer
        waiter = asyncio.wrap_future(answer)
        waiter.add_done_callback(_retrieve)
        done, _ = await asyncio.wait({waiter}, timeout=timeout_s)
        if not done:
            LOG.info("a forecaster actor did not answer within %.1f s", timeout_s)
            return None
        return None if self._is_busy(question) else waiter.result()

    def _failed(self, error: BaseException) -> None:
        LOG.warning("a forecaster actor failed (%s); the baseline answers until it is back", type(error).__name__)
        self._greet()

    def _greet(self) -> None:
        self._hello = self.handle.hello.remote().future()


def _retrieve(waiter: asyncio.Future[Any]) -> None:
    """Look at a late failure, so that asyncio does not complain that nobody did."""
    if not waiter.cancelled():
        waiter.exception()


def _last_line(error: BaseException) -> str:
    """Return the last line of an error's text: of an actor's, the exception that killed it."""
    return (str(error).strip() or repr(error)).splitlines()[-1].strip()
