"""When each message of a replay is due. Pure.

Messages of one bin and order param are spaced evenly, so the rate inside a bin is the trace's; a random phase per order
param, the same in every arm, keeps order params from sending in step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Schedule:
    """Every message of a replay in the order of time.

    Attributes:
        due_s: (N,) wall seconds since the start of the window, ascending.
        rows: (N,) row of the order param in the trace.
    """

    due_s: np.ndarray
    rows: np.ndarray


def make_schedule(window: np.ndarray, seconds_per_bin: float, rng: np.random.Generator) -> Schedule:
    """Return when each message is due; window is (K, bins) messages per bin, fractions carry over to the next bin."""
    phases = rng.random(window.shape[0])
    edges_s = np.arange(window.shape[1] + 1) * seconds_per_bin
    due: list[np.ndarray] = []
    for counts, phase in zip(window, phases, strict=True):
        reached = np.concatenate([[phase], phase + np.cumsum(counts, dtype=np.float64)])  # messages due by each edge
        numbers = np.arange(1, int(reached[-1]) + 1)
        due.append(np.interp(numbers, reached, edges_s))
    rows = np.repeat(np.arange(len(due)), [len(times) for times in due])
    times = np.concatenate(due)
    order = np.argsort(times, kind="stable")
    return Schedule(times[order], rows[order])
