"""An asyncio event loop in virtual time: nothing waits, nothing runs beside it, and the order of events is always the same.

Time passes only when nothing is ready: then it jumps to the next timer. Callbacks run in the order in which they were
scheduled. There are no threads, no sockets and no signals; what needs them is not implemented and raises.

The generic parts of asyncio that product code uses (tasks, futures, `timeout`, `gather`, `Event`, async generators) work
unchanged. Two things differ, for speed: callbacks do not run in a context (`contextvars`) of their own, and a task whose
exception nobody looks at is found in `unhandled`.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import events
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

T = TypeVar("T")


class StuckError(Exception):
    """Nothing is ready, no timer runs, and what was waited for is not done: it never will be."""


class Call:
    """A scheduled callback; stands for `asyncio.Handle` and `asyncio.TimerHandle`."""

    __slots__ = ("args", "at_s", "callback")

    def __init__(self, callback: Callable[..., object] | None, args: tuple[Any, ...], at_s: float = 0.0) -> None:
        self.callback = callback
        self.args = args
        self.at_s = at_s

    def cancel(self) -> None:
        """Never run it."""
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.callback is None

    def when(self) -> float:
        """Return its time, of a timer."""
        return self.at_s


class VirtualLoop(asyncio.AbstractEventLoop):
    """See the module. `steps` counts callbacks: with `time()` at the end it tells two runs apart."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self.steps = 0
        self.unhandled: list[str] = []
        self._now_s = start_s
        self._ready: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._timer_no = 0

    def time(self) -> float:
        """Return virtual monotonic seconds."""
        return self._now_s

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        """See `asyncio`."""
        del context
        call = Call(callback, args)
        self._ready.append(call)
        return call

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        """See `asyncio`."""
        del context
        call = Call(callback, args, when)
        self._timer_no += 1
        heapq.heappush(self._timers, (when, self._timer_no, call))
        return call

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        """See `asyncio`."""
        del context
        return self.call_at(self._now_s + delay, callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        """See `asyncio`."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        """See `asyncio`."""
        del context
        return asyncio.Task(coro, loop=self, name=name)

    def get_debug(self) -> bool:
        """Debug mode would slow everything down."""
        return False

    def is_running(self) -> bool:
        """Only asked while it is."""
        return True

    def is_closed(self) -> bool:
        """It holds nothing that could be closed."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody handled."""
        who = context.get("task") or context.get("future")
        self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r} in {who!r}")

    def run_until_complete(self, future: Generator[Any, None, T] | Coroutine[Any, Any, T]) -> T:  # type: ignore[override]
        """Run until a coroutine has ended, and return its result.

        Raises:
            StuckError: it can never end.
        """
        task: asyncio.Task[T] = asyncio.Task(future, loop=self)  # type: ignore[arg-type]
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=lambda _: None, finalizer=self._finalize)
        events._set_running_loop(self)  # noqa: SLF001 - what every event loop does
        try:
            self._run(task)
        finally:
            events._set_running_loop(None)  # noqa: SLF001
            sys.set_asyncgen_hooks(*hooks)
        return task.result()

    def _run(self, task: asyncio.Task[Any]) -> None:
        """Run what is ready, then let time pass to the next timer."""
        ready, timers = self._ready, self._timers
        next_ready, next_timer = ready.popleft, heapq.heappop
        steps = 0
        while not task.done():
            if ready:
                call = next_ready()
            elif timers:
                call = next_timer(timers)[2]
                if call.callback is not None and call.at_s > self._now_s:
                    self._now_s = call.at_s
            else:
                raise StuckError(f"at {self._now_s:.3f} s nothing is left that could happen")
            if call.callback is not None:
                steps += 1
                call.callback(*call.args)
        self.steps += steps

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an async generator that was left in its middle."""
        self.create_task(generator.aclose())
