"""Load metrics of the shard: sliding windows over what was served and how long appends took, and the process's own use.

All rates are over fixed windows of the shard's own, so that any number of readers may ask as often as they like and get
the same answer.
"""

from __future__ import annotations

from collections import deque
from math import ceil

import psutil

from plb_ray.clock import process_cpu_s
from plb_ray.domain.load import ResourceVector

WINDOW_S = 1.0
LATENCY_WINDOW_S = 5.0
LATENCY_SAMPLES = 2048
DEFAULT_IO_BYTES_PER_S = 200e6  # a common SSD's sustained rate; no system tells


class SlidingSum:
    """Sum of the amounts of the last `window_s`."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._entries: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, amount: float, now_s: float) -> None:
        """Count an amount at `now_s`."""
        self._entries.append((now_s, amount))
        self._sum += amount
        self._forget(now_s)

    def per_s(self, now_s: float) -> float:
        """Return the mean rate over the window."""
        self._forget(now_s)
        return self._sum / self._window_s

    def _forget(self, now_s: float) -> None:
        while self._entries and self._entries[0][0] <= now_s - self._window_s:
            self._sum -= self._entries.popleft()[1]


class LatencyWindow:
    """The newest durations, at most `LATENCY_SAMPLES` of the last `LATENCY_WINDOW_S`."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=LATENCY_SAMPLES)

    def add(self, duration_s: float, now_s: float) -> None:
        """Count one duration."""
        self._samples.append((now_s, duration_s))

    def p99_ms(self, now_s: float) -> float:
        """Return the 99th percentile (nearest rank) in milliseconds; 0 without samples."""
        recent = sorted(duration for at_s, duration in self._samples if at_s > now_s - LATENCY_WINDOW_S)
        return recent[ceil(0.99 * len(recent)) - 1] * 1000 if recent else 0.0


class ProcessUse:
    """CPU, memory and I/O of this process as the operating system counts them: totals, and rates between `sample` calls."""

    def __init__(self, now_s: float) -> None:
        self._process = psutil.Process()
        self._at_s = now_s
        self._cpu_s = process_cpu_s()
        self._io_bytes = self.io_bytes(0)
        self.cpu_cores = 0.0
        self.io_bytes_per_s = 0.0

    def sample(self, now_s: float, written_bytes: int) -> None:
        """Renew the rates; `written_bytes` as for `io_bytes`."""
        span_s = now_s - self._at_s
        if span_s <= 0:
            return
        cpu_s, io_bytes = process_cpu_s(), self.io_bytes(written_bytes)
        self.cpu_cores = max(0.0, cpu_s - self._cpu_s) / span_s
        self.io_bytes_per_s = max(0.0, io_bytes - self._io_bytes) / span_s
        self._at_s, self._cpu_s, self._io_bytes = now_s, cpu_s, io_bytes

    def memory_bytes(self) -> float:
        """Return the resident set."""
        return float(self._process.memory_info().rss)

    def io_bytes(self, written_bytes: int) -> float:
        """Return the bytes of I/O up to now; `written_bytes`, our own count, is used where the system has none."""
        try:
            counters = self._process.io_counters()
        except (AttributeError, psutil.Error):  # not on every system, not in every container
            return float(written_bytes)
        return float(counters.read_bytes + counters.write_bytes)


def capacity_of(memory_bytes: float, io_bytes_per_s: float) -> ResourceVector:
    """Return what a shard can give; zeros mean "not set": what the machine has, of its cores one.

    With a service rate that core stands for the rate. Without one it is a real core: the shard is one Python process, whose
    interpreter lock lets it use no more, however many the machine has.
    """
    return ResourceVector(
        cpu_cores=1.0,
        memory_bytes=memory_bytes or float(psutil.virtual_memory().total),
        io_bytes_per_s=io_bytes_per_s or DEFAULT_IO_BYTES_PER_S,
    )
