"""The caller's end of one forecaster actor: what to do while it starts, is busy, is late, dies and comes back.

An actor is asked only when it has said hello and has answered the previous question of the same horizon; so a tick waits
for a slow actor once, not every time, and questions never pile up. Whatever goes wrong, the answer is empty, not an error.
"""

from __future__ import annotations

import asyncio
import logging
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
CONCURRENCY = {"serve": 2, "train": 1, "status": 1}
WAITING = GroupProgress(ready=False, fraction=0.0)


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
        self._training: dict[tuple[str, str], Future[None]] = {}
        self._progress: dict[tuple[str, str], GroupProgress] = {}
        self._dead = ""
        """Why the actor is dead for good; empty while it lives or is being restarted."""

    async def forecast(self, histories: Mapping[str, RateHistory], horizon: Horizon, timeout_s: float) -> list[Forecast]:
        """Return one forecast per group that has a network; none if the actor is starting, busy, late or dead."""
        if not histories or not self._is_up() or self._is_busy(horizon.name):
            return []
        return await self._ask(horizon.name, lambda: self.handle.forecast.remote(histories, horizon), timeout_s) or []

    def train(self, group: str, seed: int, history: ray.ObjectRef[RateHistory], horizon: Horizon) -> None:
        """Have a group's network trained, unless its last training has not ended yet."""
        key = (group, horizon.name)
        before = self._training.get(key)
        if before is not None and not before.done():
            return
        self._progress.setdefault(key, WAITING)
        self._training[key] = self.handle.train.remote(group, seed, history, horizon).future()

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
        """Return whether the actor has said hello since it last failed."""
        if not self._hello.done():
            return False
        error = self._hello.exception()
        if isinstance(error, ActorDiedError):
            self._dead = _last_line(error)
        elif error is not None:
            self._greet()
        return error is None

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
