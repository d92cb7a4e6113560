"""The arrays under the hot window: rows are steps, columns are order params; they grow at all sides. Knows no rules.

A cell is *told* if its step was observed as a whole or it was pushed; `refill` lets the other cells repeat the value before
them. Growing costs O(K) a step and O(T) an order param on average.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

FIRST_STEPS, FIRST_ORDER_PARAMS = 256, 64
REFILLED_ROWS = 256  # at a time: bounds the memory it takes, and how far it goes on when nothing changes any more
Cell = TypeVar("Cell", np.float32, np.bool_)


class Grid:
    """Rates of T steps and K order params.

    Attributes:
        index: column of each order param, in the order of their first appearance.
        length: T. Rows and columns of the arrays beyond T and K are room to grow.
        rates: (T', K') float32; time first, so that a step is a row.
        pushed: (T', K') which cells were pushed.
        observed: (T',) which steps were observed as a whole.
    """

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.length = 0
        self.rates: NDArray[np.float32] = np.zeros((FIRST_STEPS, FIRST_ORDER_PARAMS), dtype=np.float32)
        self.pushed: NDArray[np.bool_] = np.zeros((FIRST_STEPS, FIRST_ORDER_PARAMS), dtype=np.bool_)
        self.observed: NDArray[np.bool_] = np.zeros(FIRST_STEPS, dtype=np.bool_)

    def learn(self, names: Iterable[str]) -> None:
        """Give each name that is not known yet a column of zeros."""
        for name in names:
            self.index.setdefault(name, len(self.index))
        width = self.rates.shape[1]
        if len(self.index) > width:
            shape = (self.observed.size, max(len(self.index), width * 3 // 2))
            self.rates, self.pushed = self._moved(self.rates, shape), self._moved(self.pushed, shape)

    def extend(self, length: int) -> None:
        """Make it so many rows; of those that are added nothing is told."""
        self._room(length)
        for array in (self.rates, self.pushed, self.observed):
            array[self.length : length] = 0
        self.length = length

    def extend_in_front(self, rows: int) -> None:
        """Add rows before the first one; of these nothing is told."""
        self._room(self.length + rows)
        for array in (self.rates, self.pushed, self.observed):
            array[rows : self.length + rows] = array[: self.length].copy()
            array[:rows] = 0
        self.length += rows

    def drop(self, rows: int) -> None:
        """Forget the first rows."""
        for array in (self.rates, self.pushed, self.observed):
            array[: self.length - rows] = array[rows : self.length]
        self.length -= rows

    def next_observed(self, at: int) -> int:
        """Return the first row from `at` on that was observed as a whole; the number of rows if there is none."""
        later = self.observed[at : self.length]
        return at + (int(np.argmax(later)) if later.any() else later.size)

    def refill(self, first: int, end: int, last_changed: int) -> None:
        """Let cells of rows `first` .. `end - 1` that nobody told repeat the value before them, oldest first.

        Rows after `last_changed` have been filled before; where they turn out to be right still, so is the rest.
        """
        for start in range(first, end, REFILLED_ROWS):
            stop = min(end, start + REFILLED_ROWS)
            before = self.rates[stop - 1].copy()
            if not self.observed[start:stop].all():
                self._refill_block(max(0, start - 1), stop)
            if start > last_changed and np.array_equal(before, self.rates[stop - 1]):
                return

    def _refill_block(self, above: int, stop: int) -> None:
        """Refill the rows below row `above`, which is right already (before the first row there is nothing to repeat)."""
        width = len(self.index)
        told = self.observed[above:stop, None] | self.pushed[above:stop, :width]
        told[0] = True
        if not told[1:].any():
            self.rates[above + 1 : stop, :width] = self.rates[above, :width]
            return
        source = np.where(told, np.arange(stop - above, dtype=np.int32)[:, None], 0)
        np.maximum.accumulate(source, axis=0, out=source)
        self.rates[above:stop, :width] = np.take_along_axis(self.rates[above:stop, :width], source, axis=0)

    def _room(self, rows: int) -> None:
        room = self.observed.size
        if rows <= room:
            return
        longer = max(rows, room * 3 // 2)
        self.observed = np.concatenate([self.observed, np.zeros(longer - room, dtype=np.bool_)])
        shape = (longer, self.rates.shape[1])
        self.rates, self.pushed = self._moved(self.rates, shape), self._moved(self.pushed, shape)

    def _moved(self, array: NDArray[Cell], shape: tuple[int, int]) -> NDArray[Cell]:
        larger = np.zeros(shape, dtype=array.dtype)
        larger[: self.length, : array.shape[1]] = array[: self.length]
        return larger
