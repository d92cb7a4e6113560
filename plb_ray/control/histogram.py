"""How often values fell into fixed ranges: a value, as monitoring wants it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Histogram:
    """`counts[i]` values were in (bounds[i - 1], bounds[i]], the last count is of those above all bounds.

    Attributes:
        bounds: ascending.
        counts: one more than bounds; empty: all 0.
        total: sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...] = ()
    total: float = 0.0

    def __post_init__(self) -> None:
        """Fill in the zeros of a new one."""
        if not self.counts:
            object.__setattr__(self, "counts", (0,) * (len(self.bounds) + 1))
        assert len(self.counts) == len(self.bounds) + 1

    def plus(self, value: float) -> Histogram:
        """Return the histogram with one more value."""
        row = bisect_left(self.bounds, value)
        counts = (*self.counts[:row], self.counts[row] + 1, *self.counts[row + 1 :])
        return replace(self, counts=counts, total=self.total + value)
