"""What is counted of each order param, over all looks; no costs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from plb_ray.estimate.looks import Interval


@dataclass(frozen=True, eq=False)
class Table:
    """Payload per message of the K order params seen so far, and their backlog at the last look; rows only come.

    Attributes:
        index: row of each.
        size_bytes, size_messages: (K,) decayed payload bytes and messages appended.
        served: (K,) decayed messages delivered: the evidence.
        backlog_bytes: (K,).
    """

    index: Mapping[str, int] = field(default_factory=dict)
    size_bytes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    size_messages: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    served: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    backlog_bytes: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def rows(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return (N,) rows, -1 for unknown names."""
        return np.array([self.index.get(name, -1) for name in names], dtype=np.int64)

    def plus(self, interval: Interval, decay: float) -> tuple[Table, NDArray[np.int64]]:
        """Return the table after an interval, and the row (N,) of each of its order params."""
        new = [name for name in interval.names if name not in self.index]
        index = {**self.index, **{name: len(self.index) + at for at, name in enumerate(new)}} if new else self.index
        rows = np.array([index[name] for name in interval.names], dtype=np.int64)
        grown = (
            np.concatenate([decay * old, np.zeros(len(new))]) for old in (self.size_bytes, self.size_messages, self.served)
        )
        size_bytes, size_messages, served = grown
        size_bytes[rows] += interval.appended_bytes
        size_messages[rows] += interval.appended
        served[rows] += interval.served
        backlog = np.concatenate([self.backlog_bytes, np.zeros(len(new))])
        backlog[rows] = interval.backlog_bytes
        return Table(index, size_bytes, size_messages, served, backlog), rows
