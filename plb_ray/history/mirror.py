"""The hot window once more, an order param a row, so that forecasters get it without copying it every tick.

The window keeps a step as a row, because it grows by steps; who forecasts reads along an order param. Turning 10,000 order
params x 14 days of minutes (0.8 GB) round takes more than a second, so it is done once and kept up: a new step is one more
column, written beyond all that was handed out. What was handed out therefore never changes, also while another thread reads
it. Whatever changes earlier cells makes a new mirror necessary; the old one then lives as long as somebody holds a view of
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOM_STEPS, ROOM_SHARE = 64, 8
ROWS = 256
"""Order params that are turned round at a time: their lines stay in the processor's cache."""


class Mirror:
    """A copy of (T, K) rates as (K, T), which may grow by steps and lose its oldest ones.

    Attributes:
        length: T.
        order_params: K.
    """

    def __init__(self, rates: NDArray[np.float32]) -> None:
        self.length, self.order_params = rates.shape
        room = max(ROOM_STEPS, self.length // ROOM_SHARE)
        self._first = 0
        self._rates = np.empty((self.order_params, self.length + room), dtype=np.float32)
        for begin in range(0, self.order_params, ROWS):
            self._rates[begin : begin + ROWS, : self.length] = rates[:, begin : begin + ROWS].T

    def append(self, step: NDArray[np.float32]) -> bool:
        """Add a step (K,); return False if there is no room for it, and nothing was done."""
        end = self._first + self.length
        if end == self._rates.shape[1]:
            return False
        self._rates[:, end] = step
        self.length += 1
        return True

    def drop(self, steps: int) -> None:
        """Forget the first steps."""
        self._first += steps
        self.length -= steps

    def between(self, begin: int, end: int) -> NDArray[np.float32]:
        """Return (K, end - begin) those steps: a view that never changes, and cannot be written to."""
        view = self._rates[:, self._first + begin : self._first + end]
        view.flags.writeable = False
        return view
