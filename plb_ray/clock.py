"""The one module that reads the clock. Everything else is handed a `Clock` (or the seconds it needs).

Trace time may run faster than wall time: `ScaledClock` maps one onto the other, so that the control loop runs
unchanged on a replay in compressed time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

ANCHOR_POLL_S = 0.02


class Clock(Protocol):
    """A clock to read and to wait on. `now_s` is seconds since the Unix epoch, UTC."""

    def now_s(self) -> float:
        """Return the current time in seconds since the Unix epoch."""
        ...

    async def sleep_until(self, at_s: float) -> None:
        """Return when `now_s() >= at_s`; at once if that is already so."""
        ...


def wall_time_s() -> float:
    """Return wall-clock seconds since the Unix epoch. May jump; for timestamps, never for measuring durations."""
    return time.time()


def monotonic_s() -> float:
    """Return seconds of a clock that never goes backwards; only differences mean something."""
    return time.monotonic()


def process_cpu_s() -> float:
    """Return the CPU seconds of this process, all its threads, to the microsecond; the kernel's ticks are of 10 ms."""
    return time.process_time()


class WallClock:
    """Real time."""

    def now_s(self) -> float:
        """See `Clock`."""
        return wall_time_s()

    async def sleep_until(self, at_s: float) -> None:
        """See `Clock`."""
        while (left_s := at_s - self.now_s()) > 0:
            await asyncio.sleep(left_s)


class ScaledClock:
    """Trace time that runs `speed` times as fast as wall time and starts when somebody writes the anchor file.

    Until then it stands at `start_s`. The anchor, a wall time, is in a file so that a process that is killed and comes back
    reads the same time as before.
    """

    def __init__(self, start_s: float, speed: float, anchor_file: Path) -> None:
        self.start_s = start_s
        self.speed = speed
        self.anchor_file = anchor_file
        self._anchor_wall_s: float | None = None

    def start(self, at_wall_s: float) -> None:
        """Let trace time `start_s` be at this wall time. Once started, a clock cannot be started again."""
        self.anchor_file.write_text(repr(at_wall_s), encoding="ascii")

    def now_s(self) -> float:
        """See `Clock`. Never before `start_s`."""
        anchor_wall_s = self._anchor()
        if anchor_wall_s is None:
            return self.start_s
        return self.start_s + max(0.0, wall_time_s() - anchor_wall_s) * self.speed

    async def sleep_until(self, at_s: float) -> None:
        """See `Clock`."""
        while (left_s := (at_s - self.now_s()) / self.speed) > 0:
            await asyncio.sleep(left_s if self._anchor_wall_s is not None else ANCHOR_POLL_S)

    def _anchor(self) -> float | None:
        if self._anchor_wall_s is None and self.anchor_file.exists():
            text = self.anchor_file.read_text(encoding="ascii")
            self._anchor_wall_s = float(text) if text else None
        return self._anchor_wall_s
