"""What a message costs in the group: all order params together, with the payload's size as covariate.

The mathematics
    data       of each shard and interval: spent y (core-seconds, or bytes of I/O), messages n, payload bytes b
    model      y = a n + c b + error,   a, c >= 0,   var(error) in proportion to n
    start      (a0, c0): CPU (ratio, 0), I/O (0, ratio), the ratio being sum y / sum n, or sum y / sum b
    minimise   sum w (y - a n - c b)^2 / n  +  RIDGE (A (a - a0)^2 + B (c - c0)^2),   A = sum w n,  B = sum w b^2 / n

with weights w that halve with time. With two unknowns the non-negative minimum is one of three candidates: the free one, or
with either unknown at 0. Where sizes do not differ nothing tells a from c, and the ridge keeps the start: size matters only
as far as shards with other sizes spent otherwise. The ratio alone is the weighted estimate for equal sizes: Cochran,
"Sampling Techniques", 3rd ed., ch. 6; the ridge is Hoerl and Kennard, Technometrics 12 (1970).

A shard whose spending is APART times off the middle of all shards is not part of the group: one meter in milliseconds would
set the cost of everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

APART = 8.0
RIDGE = 0.01
VOTES = 0.1


@dataclass(frozen=True)
class Ratio:
    """A quotient of two decayed sums; `weight` is the denominator."""

    amount: float = 0.0
    weight: float = 0.0

    @property
    def value(self) -> float:
        """The ratio; 0 without evidence."""
        return self.amount / self.weight if self.weight > 0 else 0.0

    def plus(self, amount: float, weight: float, decay: float = 1.0) -> Ratio:
        """Return the ratio with the old evidence decayed and the new added."""
        return Ratio(self.amount * decay + amount, self.weight * decay + weight)


@dataclass(frozen=True)
class GroupSums:
    """The decayed sums of one resource: of n, b, b^2 / n, y, and y b / n."""

    n: float = 0.0
    b: float = 0.0
    bb: float = 0.0
    y: float = 0.0
    yb: float = 0.0

    def plus(self, y: NDArray[np.float64], n: NDArray[np.float64], b: NDArray[np.float64], decay: float) -> GroupSums:
        """Return the sums with old evidence decayed and that of some shards (S,) added; every n > 0."""
        added = (n, b, b * b / n, y, y * b / n)
        before = (self.n, self.b, self.bb, self.y, self.yb)
        return GroupSums(*(decay * old + float(new.sum()) for old, new in zip(before, added, strict=True)))

    def solve(self, start: tuple[float, float]) -> tuple[float, float]:
        """Return (a, c) per message and per byte, both >= 0; the start where there is no evidence."""
        if self.n <= 0 or self.bb <= 0:
            return start
        aa, cc = self.n * (1 + RIDGE), self.bb * (1 + RIDGE)
        ya, yc = self.y + RIDGE * self.n * start[0], self.yb + RIDGE * self.bb * start[1]
        determinant = aa * cc - self.b**2  # > 0: b^2 <= n bb by Cauchy and Schwarz
        per_message, per_byte = (ya * cc - yc * self.b) / determinant, (yc * aa - ya * self.b) / determinant
        if per_byte < 0:
            return max(0.0, ya / aa), 0.0
        if per_message < 0:
            return 0.0, max(0.0, yc / cc)
        return per_message, per_byte


def near_the_middle(spent: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (S,) each shard's spent / basis as a multiple of the shards' middle; 1 where there is nothing to compare.

    The middle is the median, the lower one of an even number, of those that did at least VOTES of what the median shard did:
    neither one busy shard nor some idle ones can set it.
    """
    off = np.ones(len(spent))
    compared = np.flatnonzero((basis > 0) & (spent > 0))
    if compared.size < 2:
        return off
    each = spent[compared] / basis[compared]
    voting = np.sort(each[basis[compared] >= VOTES * np.median(basis[compared])])
    off[compared] = each / voting[(len(voting) - 1) // 2]
    return off
