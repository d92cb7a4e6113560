"""One try of the search for a fleet: all parts into given shards, from nothing or from where an earlier fleet had them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet_pack import anneal, first_fit, spread_out
from optimizer.fleet_parts import TOLERANCE
from optimizer.fleet_pool import used
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from optimizer.fleet_parts import FleetParts
    from optimizer.fleet_problem import FleetPlan

    Counts = tuple[int, ...]

STEPS_PER_PART, STEPS_LEAST, STEPS_MOST = 20, 50_000, 2_000_000  # of a try in round 0
HOT, COLD = 1e-3, 1e-7  # temperatures for up to three columns, in shares of a limit
HOTTER, WARMER = 1.25, 0.75  # their growth with the number of columns, as powers; measured at 3 and 72 columns
FIRST_FIT_WORK = 3e8  # comparisons


class Attempt:
    """Parts on their way into a fleet.

    Attributes:
        kind: (B,) type of each shard.
        shard_of: (P,) so far.
        holds: whether nothing overloads.
    """

    def __init__(
        self,
        parts: FleetParts,
        counts: Counts,
        seed: int,
        effort: int,
        begin: NDArray[np.int64] | None = None,
    ) -> None:
        """Begin with the (P,) shards `begin` where they are >= 0."""
        self.kind = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
        nowhere = np.full(parts.count, -1, dtype=np.int64)
        self.shard_of = nowhere if begin is None else begin.copy()
        self.holds = False
        self._parts, self._effort, self._warm = parts, effort, begin is not None
        self._inverse = np.ascontiguousarray(parts.inverse[self.kind] / (1 + TOLERANCE / 2))
        self._worth = np.divide(1.0, self._inverse, out=np.zeros_like(self._inverse), where=self._inverse > 0)
        placed = np.flatnonzero(self.shard_of >= 0)
        self._use = per_shard(parts.load[placed], self.shard_of[placed], self.kind.size)
        word = np.array([seed * 7919 + effort * 104_729 + self.kind.size + 1], dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        self._state = word | np.uint64(1)
        self._where = parts.load, parts.fits, parts.group, parts.start, parts.member, self.kind, self._inverse, self._worth

    def spread(self, order: NDArray[np.int64]) -> bool:
        """Place in this order what is nowhere yet; return whether everything found a shard that it may be on."""
        lost = spread_out(order, 20 * self.kind.size, *self._where, self._state, self.shard_of, self._use)
        return lost == 0

    def chunks(self) -> Iterator[tuple[int, float, float]]:
        """Yield (steps, temperature at the begin, at the end) of pieces short enough to look at the clock between."""
        steps = min(STEPS_MOST, max(STEPS_LEAST, STEPS_PER_PART * self._parts.count)) * 4**self._effort
        columns, sums = self._parts.load.shape[1:]
        pieces = max(1, round(steps * max(1.0, columns / 3) * sums * 1.5e-6))
        hot, cold = self.temperatures
        for piece in range(pieces):
            length = steps * (piece + 1) // pieces - steps * piece // pieces
            yield length, hot * (cold / hot) ** (piece / pieces), hot * (cold / hot) ** ((piece + 1) / pieces)

    @property
    def temperatures(self) -> tuple[float, float]:
        """The hottest and the coldest; what is nearly right must not be shaken up."""
        more = max(1.0, self._parts.load.shape[1] / 3)
        hot, cold = HOT * more**HOTTER, COLD * more**WARMER
        return float(np.sqrt(hot * cold)) if self._warm else hot, cold

    def anneal(self, steps: int, hot: float, cold: float, large: NDArray[np.int64]) -> int:
        """Shift and swap, and note whether it holds; return the steps taken."""
        taken = anneal(steps, hot, cold, large, *self._where, self._state, self.shard_of, self._use)
        self.holds = taken >= 0 and (taken < steps or bool((used(self._use) * self._inverse <= 1.0).all()))
        return abs(taken)


def fitted_first(parts: FleetParts, order: NDArray[np.int64]) -> tuple[Counts, NDArray[np.int64], NDArray[np.int64]] | None:
    """Return counts, (B,) kind and (P,) shard_of of a fleet found by first fit; None if some part found no place."""
    with np.errstate(divide="ignore"):
        dear = (parts.least.sum(axis=0) / parts.limit).max(axis=1, initial=0.0) * parts.price  # if all were of one type
    kind, shard_of = np.zeros(parts.count, dtype=np.int64), np.full(parts.count, -1, dtype=np.int64)
    window = max(64, int(FIRST_FIT_WORK / (parts.count * max(1, parts.load.shape[1]))))
    opened = first_fit(
        order,
        window,
        parts.load,
        parts.fits,
        parts.group,
        parts.start,
        parts.member,
        parts.limit * (1 + TOLERANCE / 2),
        np.argsort(dear, kind="stable").astype(np.int64),
        parts.most,
        kind,
        shard_of,
        np.zeros(parts.load.shape),
    )
    if opened <= 0:
        return None
    counts = np.bincount(kind[:opened], minlength=parts.price.size)
    return tuple(counts.tolist()), kind[:opened], shard_of


def as_before(parts: FleetParts, counts: Counts, earlier: FleetPlan) -> NDArray[np.int64]:
    """Return (P,) the shard of each part as an earlier fleet has it, in one of other counts; -1 where that says nothing."""
    begin = np.cumsum([0, *counts])
    number = np.concatenate([np.arange(each) for each in earlier.counts])  # among the shards of its type
    kept = number < np.array(counts)[earlier.shard_type]
    moved_to = np.where(kept, begin[earlier.shard_type] + number, -1)
    there = {key: int(moved_to[shard]) for key, shard in zip(_keys(earlier.origin), earlier.shard_of.tolist(), strict=True)}
    shard_of = np.array([there.get(key, -1) for key in _keys(parts.origin)], dtype=np.int64)
    kind = np.repeat(np.arange(len(counts)), counts)
    allowed = parts.fits[np.arange(parts.count), kind[shard_of]]
    return np.where(allowed, shard_of, -1)


def _keys(origin: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return (order param, how manieth of its parts) of each part."""
    first = np.searchsorted(origin, origin)  # ascending
    return list(zip(origin.tolist(), (np.arange(origin.size) - first).tolist(), strict=True))
