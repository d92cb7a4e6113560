"""How fast backlogs are copied to and from this shard: as fast as its own appends allow.

Additive increase, multiplicative decrease (AIMD; Chiu and Jain, "Analysis of the increase and decrease algorithms for
congestion avoidance", 1989) of a rate in bytes per second, once per `interval_s` in which something was copied:

    p99 of the interval's appends <= target:  rate := min(rate + step, most)
    otherwise:                                rate := max(rate / 2, least)

Whatever the rate, nothing is copied while the shard says that it cannot take more just now (`full`).

An interval without appends has nobody to protect and counts as a good one. All copies of the shard share one rate: each
chunk waits until those before it are paid for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import ceil, inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FULL_S = 0.002  # between two looks at `full`
SAMPLES = 1000  # of one interval; more tell no more


@dataclass(frozen=True)
class PaceSettings:
    """Parameters of the rate.

    Attributes:
        cap_bytes_per_s: never faster than this, for people who want to be sure; 0: no cap.
        target_ms: the appends' p99 up to which copying does no harm.
        start_bytes_per_s: at first; about what one core copies, so that an idle shard is not held back.
        step_bytes_per_s: added per good interval.
        least_bytes_per_s: never slower than this, else a busy shard would never get rid of what makes it busy. It costs
            about a tenth of a core.
        most_bytes_per_s: the rate stops growing here, so that it comes down within a few intervals.
        interval_s: between two changes; some appends should fall into it.
    """

    cap_bytes_per_s: float = 0.0
    target_ms: float = 20.0
    start_bytes_per_s: float = 64e6
    step_bytes_per_s: float = 4e6
    least_bytes_per_s: float = 8e6
    most_bytes_per_s: float = 128e6
    interval_s: float = 0.1

    def __post_init__(self) -> None:
        assert 0 < self.least_bytes_per_s <= self.start_bytes_per_s <= self.most_bytes_per_s
        assert self.cap_bytes_per_s >= 0
        assert self.step_bytes_per_s > 0
        assert self.interval_s > 0


class Pace:
    """The rate of one shard. Single-threaded; times are monotonic seconds."""

    def __init__(self, settings: PaceSettings, now_s: Callable[[], float], full: Callable[[], bool] = lambda: False) -> None:
        self._settings = settings
        self._full = full
        self._now_s = now_s
        self._cap = settings.cap_bytes_per_s or inf
        self._rate = settings.start_bytes_per_s
        self._latencies_s: list[float] = []
        self._judged_s = now_s()
        self._paid_s = now_s()  # until when what was sent so far takes at the rates it was sent at

    @property
    def bytes_per_s(self) -> float:
        """The rate that holds now."""
        return min(self._rate, self._cap)

    def appended(self, duration_s: float) -> None:
        """Count an append that has just been answered."""
        if len(self._latencies_s) < SAMPLES:
            self._latencies_s.append(duration_s)

    def delay_s(self, size_bytes: int) -> float:
        """Return how long a chunk has to wait before it may go. It is counted as sent."""
        now_s = self._now_s()
        self._judge(now_s)
        start_s = max(now_s, self._paid_s)
        self._paid_s = start_s + size_bytes / self.bytes_per_s
        return start_s - now_s

    async def spend(self, size_bytes: int) -> None:
        """Wait until a chunk may go."""
        delay_s = self.delay_s(size_bytes)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        while self._full():  # noqa: ASYNC110 - another thread decides, and often: an event would cost more
            await asyncio.sleep(FULL_S)

    def _judge(self, now_s: float) -> None:
        """Change the rate if an interval has passed; one that began before the last pause in copying counts once."""
        if now_s - self._judged_s < self._settings.interval_s:
            return
        settings = self._settings
        if self._p99_s() * 1000 > settings.target_ms:
            self._rate = max(self._rate / 2, settings.least_bytes_per_s)
        else:
            self._rate = min(self._rate + settings.step_bytes_per_s, settings.most_bytes_per_s)
        self._latencies_s.clear()
        self._judged_s = now_s

    def _p99_s(self) -> float:
        ordered = sorted(self._latencies_s)
        return ordered[ceil(0.99 * len(ordered)) - 1] if ordered else 0.0
