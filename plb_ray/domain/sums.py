"""Sums over the order params of each shard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def per_shard(values: NDArray[np.floating], owner: NDArray[np.int64], shards: int) -> NDArray[np.float64]:
    """Sum (K, ...) over the order params of each shard: (S, ...). Cost: one pass over the values, sorted by shard."""
    total = np.zeros((shards, *values.shape[1:]))
    if len(owner):
        order = np.argsort(owner, kind="stable")
        present, begins = np.unique(owner[order], return_index=True)
        total[present] = np.add.reduceat(values[order], begins, axis=0)
    return total
