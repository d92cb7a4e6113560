"""The control loop as one Ray actor that survives being killed.

The actor's process holds everything that must have one owner: the journal, the coordinator, the QueueControl server and the
loop. All of it runs on one event loop in a thread of its own, so that Ray's calls never wait behind a tick. When the process
dies, Ray starts the actor again; the constructor builds everything anew, which recovers the mapping and the migrations in
flight from the journal and the shards. The journal's lock refuses a second owner while the first one lives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from plb_ray.cluster.runtime import NAMESPACE
from plb_ray.context import going_along
from plb_ray.errors import ControlUnavailableError, PlbError
from plb_ray.tracing import SERVER, span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Future

    from plb_ray.control.views import Balancer

T = TypeVar("T")
ACTOR_NAME = "plb-control"
START_TIMEOUT_S = 300.0  # the first start of an installation without `optimizer.warm` compiles for 70 s of a core
CLOSE_TIMEOUT_S = 10.0
RETRY_BUILD_S = 1.0
LOG = logging.getLogger(__name__)


class BalancerRuntime(Protocol):
    """A control loop with all its parts, built by `service.wiring`."""

    balancer: Balancer

    async def run(self) -> None:
        """Tick until cancelled."""
        ...

    async def close(self) -> None:
        """Release what the parts hold."""
        ...


class LoopThread:
    """One asyncio event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)


class ControlHost:
    """What the actor does, without Ray: builds the runtime on its thread, runs it, and passes questions to it."""

    def __init__(self, build: Callable[[], Awaitable[BalancerRuntime]]) -> None:
        self._thread = LoopThread("plb-control")
        self._runtime = self._thread.submit(_awaited(build)).result(timeout=START_TIMEOUT_S)
        self._running = self._thread.submit(self._runtime.run())
        self._running.add_done_callback(_end_process_if_failed)

    async def ask(self, method: str, *args: Any, along: dict[str, str] | None = None) -> Any:
        """Call one method of the `Balancer` port; `along` is what the work of whoever asks carries with it.

        Raises:
            Whatever the method raises; and, if the loop itself has died, what it died of.
        """
        if self._running.done():
            self._running.result()
        call = getattr(self._runtime.balancer, method)
        return await asyncio.wrap_future(self._thread.submit(_going_along(along, method, call(*args))))

    async def close(self) -> None:
        """Stop ticking and release the parts."""
        self._running.cancel()
        await asyncio.wrap_future(self._thread.submit(self._runtime.close()))


def _end_process_if_failed(running: Future[None]) -> None:
    """A loop that has died must not leave a living actor behind: Ray starts a new one when the process ends."""
    if not running.cancelled() and (error := running.exception()) is not None:
        LOG.critical("the control loop died: %r", error)
        os._exit(1)


def _host_at_last(build: Callable[[], Awaitable[BalancerRuntime]]) -> ControlHost:
    """Build after a restart, however long a port or a shard takes to come back: nobody is there to start it by hand."""
    while True:
        try:
            return ControlHost(build)
        except (PlbError, TimeoutError) as error:
            LOG.warning("the control loop cannot start yet: %s", error)
            threading.Event().wait(RETRY_BUILD_S)


async def _going_along(along: dict[str, str] | None, method: str, answer: Awaitable[T]) -> T:
    """Answer as a part of the work of whoever asks."""
    traced = along is not None and "traceparent" in along
    with going_along(along), span(f"control {method}", SERVER) if traced else nullcontext():
        return await answer


async def _awaited(build: Callable[[], Awaitable[BalancerRuntime]]) -> BalancerRuntime:
    return await build()


class _ControlActor:
    """The Ray actor: `ask` it any method of `Balancer`. It comes back by itself when its process dies."""

    def __init__(self, build: Callable[[], Awaitable[BalancerRuntime]]) -> None:
        self._host: ControlHost | None = None
        self._failure: PlbError | None = None
        if ray.get_runtime_context().was_current_actor_reconstructed:
            self._host = _host_at_last(build)
            return
        try:
            self._host = ControlHost(build)
        except PlbError as error:  # kept, so that the caller gets it as it is and not as "the actor died"
            self._failure = error

    async def ask(self, method: str, *args: Any, along: dict[str, str] | None = None) -> Any:
        """See `ControlHost.ask`. Raises what the start failed with, if it did."""
        return await self._started().ask(method, *args, along=along)

    async def pid(self) -> int:
        """Return the process id, for those who want to kill it. Raises what the start failed with, if it did."""
        self._started()
        return os.getpid()

    async def close(self) -> None:
        """See `ControlHost.close`."""
        if self._host is not None:
            await self._host.close()

    def _started(self) -> ControlHost:
        if self._host is None:
            assert self._failure is not None
            raise self._failure
        return self._host


async def stop_control_actor(handle: Any) -> None:
    """Let the actor release what it holds, then end it."""
    try:
        await asyncio.wait_for(handle.close.remote(), CLOSE_TIMEOUT_S)
    except (RayError, PlbError, TimeoutError) as error:
        LOG.warning("the control actor did not close cleanly: %s", error)
    ray.kill(handle)


def start_control_actor(build: Callable[[], Awaitable[BalancerRuntime]], timeout_s: float = START_TIMEOUT_S) -> Any:
    """Start the control actor and return its handle once the mapping is recovered.

    Args:
        build: importable on Ray's workers (sent by reference); called again after each restart.
        timeout_s: how long the start may take.

    Raises:
        PlbError: what the start failed with.
        ControlUnavailableError: it took too long.
        ray.exceptions.RayError: the actor could not be created.
    """
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=64)(_ControlActor)
    handle = actor.options(name=ACTOR_NAME, namespace=NAMESPACE).remote(build)
    try:
        ray.get(handle.pid.remote(), timeout=timeout_s)
    except GetTimeoutError:
        ray.kill(handle)
        why = f"the control loop did not start within {timeout_s:g} s; is the machine busy or short of memory? Try again"
        raise ControlUnavailableError(why) from None
    except RayTaskError as error:
        ray.kill(handle)
        if isinstance(error.cause, PlbError):
            raise error.cause from None
        raise
    return handle
