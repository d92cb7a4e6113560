"""Where what leaves goes: largest first, each to the shard that is the least utilised with it.

Method (worst fit decreasing on the resulting highest utilisation)
    for each order param in the given order: among the shards that its rules allow and where it stays within the limit in
    every column, the one with the least  max over c of (use + load) / limit.
Cost: O(order params x S x D). Which order params leave is decided in `eviction`; what becomes of those that fit nowhere, in
`repair`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.board import Fixed, State, fits, may_be, put, roomiest
from optimizer.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing


def largest_first(packing: Packing, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows by the highest share that they need of a mean shard's limit, descending."""
    limit = packing.limit[:-1]
    finite = np.isfinite(limit)
    total = np.where(finite, limit, 0.0).sum(axis=0)
    mean = np.where(total > 0, total, np.inf) / np.maximum(1, finite.sum(axis=0))
    size = (packing.load[rows] / mean).max(axis=1, initial=0.0)
    return rows[np.argsort(-size, kind="stable")]


@kernel
def place(fixed: Fixed, state: State, rows: NDArray[np.int64]) -> int:
    """Place the rows, in their order; `state` is changed. Return how many found no place and stayed."""
    homeless = 0
    for row in rows:
        shard = roomiest(fixed, state, row)
        if shard < 0:
            homeless += 1
        else:
            put(fixed, state, row, shard)
    return homeless


@kernel
def place_anyway(fixed: Fixed, state: State, rows: NDArray[np.int64]) -> int:
    """Place each row that must not stay where it is, even over a limit, where it adds least overload. Return the rest."""
    homeless = 0
    for row in rows:
        best, least = -1, np.inf
        if not fixed.forced[row] or state.shard_of[row] != fixed.home[row]:
            continue
        for shard in range(fixed.limit.shape[0] - 1):
            if shard == fixed.home[row] or not may_be(fixed, state, row, shard):
                continue
            added = 0.0
            for c in range(fixed.load.shape[1]):
                room = fixed.limit[shard, c] - state.use[shard, c]
                added += max(0.0, fixed.load[row, c] - max(0.0, room)) * fixed.weight[shard, c]
            if added < least:
                best, least = shard, added
        if best < 0:
            homeless += 1
        else:
            put(fixed, state, row, best)
    return homeless


@kernel
def tidy(fixed: Fixed, state: State, rows: NDArray[np.int64]) -> None:
    """Take back each move that is not needed; put each other where the destination is left the least utilised.

    The rows have moved; they are looked at in their order. Overload never rises.
    """
    for row in rows:
        home, here = fixed.home[row], state.shard_of[row]
        if here == home:
            continue
        if fits(fixed, state, row, home) and may_be(fixed, state, row, home):
            put(fixed, state, row, home)
            continue
        other = roomiest(fixed, state, row)
        if other < 0:
            continue
        here_worst, other_worst = 0.0, 0.0
        for c in range(fixed.load.shape[1]):
            here_worst = max(here_worst, state.use[here, c] * fixed.inverse[here, c])
            other_worst = max(other_worst, (state.use[other, c] + fixed.load[row, c]) * fixed.inverse[other, c])
        if other_worst < here_worst - 1e-9:
            put(fixed, state, row, other)
