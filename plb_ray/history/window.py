"""The hot window: the last steps of all order params as one array that grows by a row per step. In memory only.

Rules for steps that were observed as a whole
    new        after the last step: appended. Steps left out in between repeat the last value and count as gaps.
    late       inside the window, for a step that was only filled up so far: takes its place; the filling after it is redone.
    duplicate  inside the window, for a step that was observed: ignored, the first observation stays.
    too late   before the window: ignored.
    far ahead  a window's length or more after the last step: the window starts anew, since nothing in it would be observed.
A known order param that a step does not name had no arrivals in it; a new one had none before.

Rules for pushed cells, which are one order param's rate in one step and say nothing of the others
    A pushed cell counts more than the step as it was observed, whichever came first; of two pushed cells the later one.
    In a step that was not observed as a whole, each order param without a pushed cell repeats its last value.
    Steps before the window are added in front of it, up to the window's length; what is older is too late.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.rates import RateHistory
from plb_ray.errors import BadInputError
from plb_ray.history.grid import Grid
from plb_ray.history.mirror import Mirror

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from plb_ray.history.samples import Cells

CELLS_MAX = 400_000_000


class Arrival(Enum):
    """What became of a step that came in."""

    NEW = "new"
    LATE = "late"
    DUPLICATE = "duplicate"
    TOO_LATE = "too late"


class Fate(IntEnum):
    """What became of a pushed cell; `PushOutcome` says what the words mean."""

    NEW = 0
    LATE = 1
    DUPLICATE = 2
    REPLACED = 3
    TOO_LATE = 4


class StepWindow:
    """Rates of the last `steps_max` steps, or of fewer, as many as have `cells_max` cells (order params x steps).

    Attributes:
        step_s: length of a step.
        arrivals: how many steps came in, by what became of them.
    """

    def __init__(self, step_s: int, steps_max: int, cells_max: int = CELLS_MAX) -> None:
        assert step_s > 0
        assert min(steps_max, cells_max) > 0
        self.step_s = step_s
        self.arrivals = dict.fromkeys(Arrival, 0)
        self._steps_max, self._cells_max = steps_max, cells_max
        self._first_s = 0
        self._grid = Grid()
        self._mirror: Mirror | None = None  # none since earlier cells were changed

    @property
    def order_params(self) -> tuple[str, ...]:
        """All order params ever seen, in the order of their first appearance."""
        return tuple(self._grid.index)

    @property
    def gap_steps(self) -> int:
        """Steps of which nothing is known, and that repeat the last values."""
        known = self._grid.observed | self._grid.pushed.any(axis=1)
        return len(self) - int(known[: len(self)].sum())

    @property
    def pushed_cells(self) -> int:
        """Cells of the window that were pushed."""
        return int(self._grid.pushed[: len(self)].sum())

    @property
    def end_s(self) -> int | None:
        """End of the last step; None while there is none."""
        return self._first_s + len(self) * self.step_s if len(self) else None

    def __len__(self) -> int:
        return self._grid.length

    def put(self, start_s: int, rates: Mapping[str, float]) -> Arrival:
        """Take one step in that was observed as a whole.

        Raises:
            BadInputError: a rate is negative or not finite, or the step does not lie on the grid.
        """
        self._check(start_s, rates)
        arrival = self._arrival(start_s)
        self.arrivals[arrival] += 1
        if arrival is Arrival.NEW:
            self._append(start_s, rates)
        elif arrival is Arrival.LATE:
            self._replace(self._row(start_s), rates)
        return arrival

    def push(self, cells: Cells) -> NDArray[np.int8]:
        """Take cells in; all of them, or none if it raises.

        Returns:
            (N,) the `Fate` of each cell.

        Raises:
            BadInputError: a step does not lie on the grid.
        """
        fates = np.full(cells.rates.size, Fate.TOO_LATE, dtype=np.int8)
        if not fates.size:
            return fates
        self._check_grid(cells.starts_s)
        newest_end_s = max(int(cells.starts_s.max()) + self.step_s, self.end_s or 0)
        in_time = cells.starts_s >= newest_end_s - self._most * self.step_s
        columns = self._columns_of(cells.names, cells.columns[in_time])
        if columns.size:
            fates[in_time] = self._write_cells(cells.starts_s[in_time], columns, cells.rates[in_time])
        return fates

    def load(
        self,
        starts_s: NDArray[np.int64],
        names: Sequence[str],
        rates: NDArray[np.float32],
        observed: NDArray[np.bool_],
        pushed: NDArray[np.bool_],
    ) -> None:
        """Fill an empty window at once.

        Args:
            starts_s: (T,) ascending, without duplicates, on one grid.
            names: (K,) unique.
            rates: (T, K).
            observed: (T,) whether the step was observed as a whole.
            pushed: (T, K) which cells were pushed.
        """
        assert not len(self)
        self._mirror = None
        self._grid.learn(names)
        if starts_s.size == 0:
            return
        kept = starts_s > starts_s[-1] - self._most * self.step_s
        self._first_s = int(starts_s[kept][0])
        at = (starts_s[kept] - self._first_s) // self.step_s
        self._grid.extend(int(at[-1]) + 1)
        self._grid.rates[at, : len(names)] = rates[kept]
        self._grid.pushed[at, : len(names)] = pushed[kept]
        self._grid.observed[at] = observed[kept]
        self._grid.refill(0, len(self), len(self))

    def last(self, steps: int | None = None) -> RateHistory:
        """Return the last `steps` steps (None: all) of all order params. It never changes, and must not be changed."""
        names, first_s, mirror = self.order_params, self._first_s, self._mirrored()
        length = mirror.length  # of the mirror, not of the window: that may go on while another thread asks
        taken = length if steps is None else min(steps, length)
        rates = mirror.between(length - taken, length)
        return RateHistory(names[: len(rates)], first_s + (length - taken) * self.step_s, self.step_s, rates)

    def gap_starts_s(self, since_s: int) -> NDArray[np.int64]:
        """Return the starts of the steps from `since_s` on of which nothing is known, ascending."""
        first = min(max(0, self._row(since_s)), len(self))
        unobserved = first + np.flatnonzero(~self._grid.observed[first : len(self)])
        gaps = unobserved[~self._grid.pushed[unobserved].any(axis=1)]
        return np.asarray(self._first_s + gaps * self.step_s, dtype=np.int64)

    def _row(self, start_s: int) -> int:
        return (start_s - self._first_s) // self.step_s

    def _check(self, start_s: int, rates: Mapping[str, float]) -> None:
        self._check_grid(np.array([start_s], dtype=np.int64))
        for name, rate in rates.items():
            if not (rate >= 0 and np.isfinite(rate)):
                raise BadInputError(f"history: the rate of order param {name!r} at {start_s} is {rate}; it must be >= 0")

    def _check_grid(self, starts_s: NDArray[np.int64]) -> None:
        off = (starts_s - (self._first_s if len(self) else starts_s[0])) % self.step_s != 0
        if off.any():
            start_s = int(starts_s[np.argmax(off)])
            raise BadInputError(f"history: a step starts at {start_s}, which is not on the grid of {self.step_s} s steps")

    def _arrival(self, start_s: int) -> Arrival:
        at = self._row(start_s)
        if not len(self) or at >= len(self):
            return Arrival.NEW
        if at < 0:
            return Arrival.TOO_LATE
        return Arrival.DUPLICATE if self._grid.observed[at] else Arrival.LATE

    @property
    def _most(self) -> int:
        """How many steps are kept."""
        return max(1, min(self._steps_max, self._cells_max // max(1, len(self._grid.index))))

    def _mirrored(self) -> Mirror:
        """Return the window as it is, an order param a row."""
        mirror = self._mirror
        if mirror is None or (mirror.length, mirror.order_params) != (len(self), len(self._grid.index)):
            mirror = self._mirror = Mirror(self._grid.rates[: len(self), : len(self._grid.index)])
        return mirror

    def _append(self, start_s: int, rates: Mapping[str, float]) -> None:
        first_s = self._first_s
        gap = self._span(start_s, start_s)
        self._write(len(self) - 1, rates)
        self._grid.refill(gap, len(self) - 1, len(self))
        if gap < len(self) - 1 or self._first_s != first_s:
            self._mirror = None
        self._mirror_last()
        self._forget()

    def _mirror_last(self) -> None:
        """Add the last step to the mirror, if nothing else has changed."""
        mirror, width = self._mirror, len(self._grid.index)
        follows = mirror is not None and (mirror.length, mirror.order_params) == (len(self) - 1, width)
        if mirror is None or not follows or not mirror.append(self._grid.rates[len(self) - 1, :width]):
            self._mirror = None

    def _replace(self, at: int, rates: Mapping[str, float]) -> None:
        self._mirror = None
        self._write(at, rates)
        self._grid.refill(at + 1, self._grid.next_observed(at + 1), at)

    def _write(self, at: int, rates: Mapping[str, float]) -> None:
        """Write a step that was observed as a whole; pushed cells stay."""
        grid = self._grid
        grid.learn(rates)
        row = np.zeros(grid.rates.shape[1], dtype=np.float32)
        row[[grid.index[name] for name in rates]] = list(rates.values())
        grid.rates[at] = np.where(grid.pushed[at], grid.rates[at], row)
        grid.observed[at] = True

    def _write_cells(
        self, starts_s: NDArray[np.int64], columns: NDArray[np.int64], rates: NDArray[np.float32]
    ) -> NDArray[np.int8]:
        """Write (N,) cells, no two the same, and fill up around them; return the fate of each."""
        grid, new = self._grid, starts_s >= (self.end_s or 0)
        unfilled = self._span(int(starts_s.min()), int(starts_s.max()))
        at = (starts_s - self._first_s) // self.step_s
        told = grid.observed[at] | grid.pushed[at, columns]
        same = grid.rates[at, columns] == rates
        fates = np.select([new, ~told, same], [Fate.NEW, Fate.LATE, Fate.DUPLICATE], Fate.REPLACED).astype(np.int8)
        said = fates != Fate.DUPLICATE
        if said.any():
            self._mirror = None
            at, columns = at[said], columns[said]
            grid.rates[at, columns], grid.pushed[at, columns] = rates[said], True
            first, last = int(at.min()), int(at.max())
            grid.refill(min(unfilled, first), grid.next_observed(last + 1), last)
            self._forget()
        return fates

    def _columns_of(self, names: Sequence[str], columns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the grid's columns for (N,) indices into `names`, learning the names that are used."""
        used = np.unique(columns)
        used_names = [names[column] for column in used.tolist()]
        self._grid.learn(used_names)
        mine = np.zeros(len(names), dtype=np.int64)
        mine[used] = [self._grid.index[name] for name in used_names]
        return mine[columns]

    def _span(self, first_s: int, last_s: int) -> int:
        """Make the window cover these steps; return the first row that is not filled yet."""
        if not len(self) or self._row(last_s) - len(self) >= self._most:
            self._first_s = first_s
            self._grid.length = 0
        ahead = -self._row(first_s)
        if ahead > 0:
            self._grid.extend_in_front(ahead)
            self._first_s = first_s
        unfilled = len(self)
        self._grid.extend(max(unfilled, self._row(last_s) + 1))
        return unfilled

    def _forget(self) -> None:
        """Drop the oldest steps once there is a quarter too many, so that dropping is rare."""
        dropped = len(self) - self._most
        if dropped > self._most // 4:
            self._grid.drop(dropped)
            if self._mirror is not None:
                self._mirror.drop(dropped)
            self._first_s += dropped * self.step_s
