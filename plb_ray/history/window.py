"""The hot window: the last steps of all order params as one array that grows by a row per step. In memory only.

Rules for what comes in
    new        after the last step: appended. Steps left out in between repeat the last value and count as gaps.
    late       inside the window, for a step that was only filled up so far: takes its place; the filling after it is redone.
    duplicate  inside the window, for a step that was observed: ignored, the first observation stays.
    too late   before the window: ignored.
    far ahead  a window's length or more after the last step: the window starts anew, since nothing in it would be observed.
A known order param that a step does not name had no arrivals in it; a new one had none before.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.rates import RateHistory
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

FIRST_STEPS, FIRST_ORDER_PARAMS = 256, 64


class Arrival(Enum):
    """What became of a step that came in."""

    NEW = "new"
    LATE = "late"
    DUPLICATE = "duplicate"
    TOO_LATE = "too late"


class StepWindow:
    """Rates of the last `steps_max` steps.

    Attributes:
        step_s: length of a step.
        gap_steps: steps of the window that were not observed and repeat the last value.
        arrivals: how many steps came in, by what became of them.
    """

    def __init__(self, step_s: int, steps_max: int) -> None:
        assert step_s > 0
        assert steps_max > 0
        self.step_s = step_s
        self.arrivals = dict.fromkeys(Arrival, 0)
        self._steps_max = steps_max
        self._index: dict[str, int] = {}
        self._first_s = 0
        self._length = 0
        self._rates = np.zeros((FIRST_STEPS, FIRST_ORDER_PARAMS), dtype=np.float32)  # (T', K') time first: a step is a row
        self._observed = np.zeros(FIRST_STEPS, dtype=np.bool_)

    @property
    def order_params(self) -> tuple[str, ...]:
        """All order params ever seen, in the order of their first appearance."""
        return tuple(self._index)

    @property
    def gap_steps(self) -> int:
        """Steps that were not observed."""
        return self._length - int(self._observed[: self._length].sum())

    @property
    def end_s(self) -> int | None:
        """End of the last step; None while there is none."""
        return self._first_s + self._length * self.step_s if self._length else None

    def __len__(self) -> int:
        return self._length

    def knows(self, start_s: int) -> bool:
        """Return whether this step was observed, or lies before the window."""
        at = (start_s - self._first_s) // self.step_s
        return bool(self._length) and (at < 0 or (at < self._length and bool(self._observed[at])))

    def put(self, start_s: int, rates: Mapping[str, float]) -> Arrival:
        """Take one step in.

        Raises:
            BadInputError: a rate is negative or not finite, or the step does not lie on the grid.
        """
        self._check(start_s, rates)
        arrival = self._arrival(start_s)
        self.arrivals[arrival] += 1
        if arrival is Arrival.NEW:
            self._append(start_s, rates)
        elif arrival is Arrival.LATE:
            self._replace((start_s - self._first_s) // self.step_s, rates)
        return arrival

    def load(self, starts_s: NDArray[np.int64], names: Sequence[str], rates: NDArray[np.float32]) -> None:
        """Fill an empty window at once.

        Args:
            starts_s: (T,) ascending, without duplicates, on one grid.
            names: (K,) unique.
            rates: (T, K).
        """
        assert self._length == 0
        self._learn(names)
        if starts_s.size == 0:
            return
        kept = starts_s > starts_s[-1] - self._steps_max * self.step_s
        starts_s, rates = starts_s[kept], rates[kept]
        at = (starts_s - starts_s[0]) // self.step_s
        self._room(int(at[-1]) + 1)
        self._first_s, self._length = int(starts_s[0]), int(at[-1]) + 1
        source = np.searchsorted(at, np.arange(self._length), side="right") - 1  # gaps repeat the last observed step
        self._rates[: self._length, : len(names)] = rates if at.size == self._length else rates[source]
        self._observed[at] = True

    def last(self, steps: int | None = None) -> RateHistory:
        """Return a copy of the last `steps` steps (None: all) of all order params."""
        taken = self._length if steps is None else min(steps, self._length)
        block = self._rates[self._length - taken : self._length, : len(self._index)]
        start_s = self._first_s + (self._length - taken) * self.step_s
        return RateHistory(self.order_params, start_s, self.step_s, block.T.copy(order="C"))

    def _check(self, start_s: int, rates: Mapping[str, float]) -> None:
        if self._length and (start_s - self._first_s) % self.step_s:
            raise BadInputError(f"history: a step starts at {start_s}, which is not on the grid of {self.step_s} s steps")
        for name, rate in rates.items():
            if not (rate >= 0 and np.isfinite(rate)):
                raise BadInputError(f"history: the rate of order param {name!r} at {start_s} is {rate}; it must be >= 0")

    def _arrival(self, start_s: int) -> Arrival:
        at = (start_s - self._first_s) // self.step_s
        if not self._length or at >= self._length:
            return Arrival.NEW
        if at < 0:
            return Arrival.TOO_LATE
        return Arrival.DUPLICATE if self._observed[at] else Arrival.LATE

    def _append(self, start_s: int, rates: Mapping[str, float]) -> None:
        at = (start_s - self._first_s) // self.step_s if self._length else 0
        if not self._length or at - self._length >= self._steps_max:
            self._first_s, self._length, at = start_s, 0, 0
        self._room(at + 1)
        self._observed[self._length : at + 1] = False
        if self._length:
            self._rates[self._length : at] = self._rates[self._length - 1]
        self._length = at + 1
        self._write(at, rates)
        self._forget()

    def _replace(self, at: int, rates: Mapping[str, float]) -> None:
        self._write(at, rates)
        later = self._observed[at + 1 : self._length]
        until = at + 1 + (int(np.argmax(later)) if later.any() else later.size)
        self._rates[at + 1 : until] = self._rates[at]

    def _write(self, at: int, rates: Mapping[str, float]) -> None:
        self._learn(rates)
        self._rates[at] = 0.0
        columns = [self._index[name] for name in rates]
        self._rates[at, columns] = list(rates.values())
        self._observed[at] = True

    def _learn(self, names: Sequence[str] | Mapping[str, float]) -> None:
        for name in names:
            self._index.setdefault(name, len(self._index))
        width = self._rates.shape[1]
        if len(self._index) > width:
            wider = np.zeros((self._rates.shape[0], max(len(self._index), width * 3 // 2)), dtype=np.float32)
            wider[: self._length, :width] = self._rates[: self._length]
            self._rates = wider

    def _room(self, steps: int) -> None:
        """Make the array long enough; it grows by half, so a step costs O(K) on average."""
        length = self._observed.size
        if steps <= length:
            return
        longer = max(steps, length * 3 // 2)
        self._observed = np.concatenate([self._observed, np.zeros(longer - length, dtype=np.bool_)])
        rates = np.zeros((longer, self._rates.shape[1]), dtype=np.float32)
        rates[: self._length] = self._rates[: self._length]
        self._rates = rates

    def _forget(self) -> None:
        """Drop the oldest steps once there is a quarter too many, so that dropping is rare."""
        dropped = self._length - self._steps_max
        if dropped <= self._steps_max // 4:
            return
        self._rates[: self._steps_max] = self._rates[dropped : self._length]
        self._observed[: self._steps_max] = self._observed[dropped : self._length]
        self._observed[self._steps_max :] = False
        self._first_s += dropped * self.step_s
        self._length = self._steps_max
