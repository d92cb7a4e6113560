"""Steepest descent on overload: one move after another, each the one that takes most away. Pure arithmetic.

The mathematics
    Data        load[k, c] >= 0 of order param k in column c (a step and a resource, or one scenario of it);
                use[s, c] of shard s with everything as it lies; limit[s, c], infinite for none; weight[s, c] of each
                unit over it
    Goal        J = sum over s, c of weight[s, c] x max(0, use[s, c] - limit[s, c])
    Step        the move (k, s) that gains most, if it gains `gain_min` at least; each order param moves once at most
    Gain        by how much J falls, without the spell (a stretch of columns) in which it falls most: what came once
                is no pattern. Columns before the first spell count in full

With scenarios as columns and their probabilities as weights J is the expected overload, so this is a descent on a sample
average. It proves nothing, and needs no more than K x D numbers and a look at the shards that are over somewhere.

Cost of a step: O(order params on shards that are over x D + ROWS x SHARDS x D). Only the ROWS order params whose leaving
gains most are tried, on the SHARDS emptiest shards of those where any of them may arrive; ties go to the emptiest.

Axes: K order params, S shards, D columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ROWS, SHARDS = 64, 8


@dataclass(frozen=True, eq=False)
class Slope:
    """What is descended; see the module.

    Attributes:
        load: (K, D).
        use, limit, weight: (S, D).
        shard_of: (K,) where everything is.
        movable: (K,).
        allowed: given (n,) rows, (n, S) where each may arrive.
        spells: (G,) the first column of each spell, rising; each ends where the next begins, the last with the columns.
    """

    load: NDArray[np.floating]
    use: NDArray[np.floating]
    limit: NDArray[np.floating]
    weight: NDArray[np.floating]
    shard_of: NDArray[np.int64]
    movable: NDArray[np.bool_]
    allowed: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
    spells: tuple[int, ...] = ()


@dataclass(frozen=True)
class Descent:
    """One move: order param `row` to `shard`, and what it gains."""

    row: int
    shard: int
    gain: float


def descend(slope: Slope, moves_max: int, gain_min: float, per_shard: int | None = None) -> tuple[Descent, ...]:
    """Return the moves in the order in which they were found.

    Args:
        slope: nothing of it is changed.
        moves_max: most moves.
        gain_min: >= 0, what each must gain at least; a gain of nothing is never enough.
        per_shard: most moves onto or off one shard; None: no limit.
    """
    walk = _Walk(slope, gain_min)
    found: list[Descent] = []
    while len(found) < moves_max and (step := walk.step(per_shard)) is not None:
        found.append(step)
    return tuple(found)


class _Walk:
    """The state between two steps."""

    def __init__(self, slope: Slope, gain_min: float) -> None:
        self._slope = slope
        self._gain_min = max(gain_min, 1e-12)
        self._shard_of, self._movable = slope.shard_of.copy(), slope.movable.copy()
        self._use = slope.use.copy()
        self._over = np.maximum(0.0, self._use - slope.limit)
        self._touched = np.zeros(len(self._use), dtype=np.int64)
        limit = np.where(np.isfinite(slope.limit) & (slope.limit > 0), slope.limit, np.inf)
        self._share_of = 1.0 / limit

    def step(self, per_shard: int | None) -> Descent | None:
        """Make the best step; None if there is none."""
        free = np.ones(len(self._use), dtype=np.bool_) if per_shard is None else self._touched < per_shard
        rows, gains = self._leavers(free)
        if not rows.size:
            return None
        best: Descent | None = None
        may = self._slope.allowed(rows)
        for shard in self._emptiest(free & may.any(axis=0)):
            net = self._counted(gains - self._losses(rows, shard))
            net = np.where(may[:, shard] & (self._shard_of[rows] != shard), net, -np.inf)
            at = int(net.argmax())
            if net[at] >= self._gain_min and (best is None or net[at] > best.gain):
                best = Descent(int(rows[at]), shard, float(net[at]))
        if best is not None:
            self._make(best)
        return best

    def _leavers(self, free: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the order params whose leaving gains most, and what it gains before, and in each spell: (n, 1 + G)."""
        slope = self._slope
        hot = free & ((self._over * slope.weight).sum(axis=1) >= self._gain_min)
        rows = np.flatnonzero(self._movable & hot[self._shard_of])
        source = self._shard_of[rows]
        left = np.maximum(0.0, self._use[source] - slope.load[rows] - slope.limit[source])
        gains = self._by_spell((self._over[source] - left) * slope.weight[source])
        counted = self._counted(gains)
        chosen = np.argsort(-counted, kind="stable")[:ROWS]
        chosen = chosen[counted[chosen] >= self._gain_min]
        return rows[chosen], gains[chosen]

    def _by_spell(self, gains: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sum (n, D) over the columns before the first spell, and over each spell: (n, 1 + G)."""
        ends = (*self._slope.spells, gains.shape[1])
        begins = (0, *self._slope.spells)
        return np.stack([gains[:, begin:end].sum(axis=1) for begin, end in zip(begins, ends, strict=True)], axis=1)

    @staticmethod
    def _counted(gains: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n,) what counts of gains (n, 1 + G): all but the best spell."""
        return np.asarray(gains.sum(axis=1) - gains[:, 1:].max(axis=1, initial=0.0))

    def _emptiest(self, free: NDArray[np.bool_]) -> list[int]:
        fullness = np.where(free, (self._use * self._share_of).mean(axis=1), np.inf)
        order = np.argsort(fullness, kind="stable")[:SHARDS]
        return [int(shard) for shard in order if free[shard]]

    def _losses(self, rows: NDArray[np.int64], shard: int) -> NDArray[np.float64]:
        slope = self._slope
        after = np.maximum(0.0, self._use[shard] + slope.load[rows] - slope.limit[shard])
        return self._by_spell((after - self._over[shard]) * slope.weight[shard])

    def _make(self, step: Descent) -> None:
        slope, source = self._slope, int(self._shard_of[step.row])
        self._use[source] -= slope.load[step.row]
        self._use[step.shard] += slope.load[step.row]
        for shard in (source, step.shard):
            self._over[shard] = np.maximum(0.0, self._use[shard] - slope.limit[shard])
            self._touched[shard] += 1
        self._shard_of[step.row] = step.shard
        self._movable[step.row] = False
