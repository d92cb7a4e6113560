"""From shares of capacity to integers, and out with what cannot bind: the rows that the exact solver is given.

Mathematics
    UNITS integer units stand for one whole capacity, for every shard and column alike. With share(k, s, c) =
    load[k, c] / capacity[s, c], a change of allocation keeps row (s, c) when

        sum of arriving shares - sum of leaving shares  <=  room(s, c) = headroom - utilisation_now(s, c)

    Rounding SAFE     arriving up, leaving down, room down: what fits in integers fits in truth. It finds plans.
    Rounding RELAXED  arriving down, leaving up, room up: what fits in truth fits in integers. It proves bounds: a lower
                      bound of the relaxed problem is one of the true problem.

    Rows (s, c) that even all possible arrivals together cannot fill are left out. A column c is dominated by c' when
    share(k, s, c) <= share(k, s, c') for all k, s: a shard that keeps c' keeps c, so c is left out wherever no overload is
    allowed at all. Scope says which order params may move where; the others are part of the utilisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from optimizer.packing import TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing

UNITS = 1_000_000  # per capacity; 1,000 would add 3-4 % phantom load, more than this gains nothing
NOISE_UNITS = 1e-5  # floating-point noise of one share
TOLERANCE_UNITS = 0.5 * TOLERANCE * UNITS
DOMINANCE_WORK_MAX = 50_000_000  # K x D x D comparisons; above, no column is dropped


class Rounding(Enum):
    """Which side integers err on."""

    SAFE = "safe"
    RELAXED = "relaxed"


@dataclass(frozen=True, eq=False)
class Scope:
    """What the exact solver may decide.

    Attributes:
        rows: (n,) order params that may move.
        shards: (m,) shards that may receive.
        full: whether nothing that the problem allows is left out, so that proofs hold for the problem.
    """

    rows: NDArray[np.int64]
    shards: NDArray[np.int64]
    full: bool


@dataclass(frozen=True, eq=False)
class ShardRows:
    """The integer rows of one shard.

    Attributes:
        shard: index.
        arriving, leaving: (a,), (b,) positions in `Scope.rows`.
        arriving_units, leaving_units: (a, C), (b, C).
        room_units: (C,) may be negative on a hot shard.
    """

    shard: int
    arriving: NDArray[np.int64]
    leaving: NDArray[np.int64]
    arriving_units: NDArray[np.int64]
    leaving_units: NDArray[np.int64]
    room_units: NDArray[np.int64]


def choose_scope(packing: Packing, hint: NDArray[np.int64], booleans_max: int) -> Scope:
    """Return the whole problem if it has at most `booleans_max` choices, else a part around the hot shards.

    The part holds the order params that `hint` moves and of each hot shard those with the highest relief per cost, as many
    as fit; and as receivers those that `hint` uses and the least utilised.
    """
    rows, shards = np.flatnonzero(packing.movable), np.flatnonzero(packing.receives)
    if rows.size * shards.size <= booleans_max:
        return Scope(rows, shards, full=True)
    moved = np.flatnonzero(hint != packing.current)
    count = int(np.clip(booleans_max // max(1, 4 * int(packing.hot.sum())), 4, shards.size))
    worst = packing.utilisation_now.max(axis=1, initial=0.0)
    coldest = shards[np.argsort(worst[shards], kind="stable")[:count]]
    receivers = np.union1d(coldest, np.unique(hint[moved]))
    hot = np.flatnonzero(packing.hot).tolist()
    each = max(1, (booleans_max // max(1, receivers.size) - moved.size) // max(1, len(hot)))
    some = [best_to_evict(packing, shard, each) for shard in hot]
    return Scope(np.union1d(moved, np.concatenate(some)), receivers, full=False)


def best_to_evict(packing: Packing, shard: int, count: int) -> NDArray[np.int64]:
    """Return the movable order params of a hot shard with the highest relief per cost, at most `count`.

    The relief is the share that leaves, counted up to the overload of each column.
    """
    rows = np.flatnonzero(packing.movable & (packing.current == shard))
    share = packing.load[rows] / packing.capacity[shard]
    relief = np.minimum(share, packing.over_now[shard]).sum(axis=1) / packing.cost[rows]
    return np.asarray(rows[np.argsort(-relief, kind="stable")[:count]], dtype=np.int64)


def kept_columns(packing: Packing) -> NDArray[np.int64]:
    """Return the columns that no other column dominates; of equal columns the first."""
    rows, columns = packing.load.shape
    limited = np.flatnonzero(np.isfinite(packing.capacity).any(axis=0))
    if rows * columns * columns > DOMINANCE_WORK_MAX:
        return limited
    heaviest_first = limited[np.argsort(-(packing.load[:, limited] / packing.capacity[:, limited].min(axis=0)).sum(axis=0))]
    kept: list[int] = []
    for column in heaviest_first.tolist():
        if not any(_dominates(packing, other, column) for other in kept):
            kept.append(column)
    return np.array(sorted(kept), dtype=np.int64)


def _dominates(packing: Packing, strong: int, weak: int) -> bool:
    """Return whether the share of every order param on every shard is at least as high in `strong` as in `weak`."""
    weak_capacity, strong_capacity = packing.capacity[:, weak], packing.capacity[:, strong]
    if np.isinf(strong_capacity).any():
        return bool((strong_capacity == weak_capacity).all() and (packing.load[:, weak] <= packing.load[:, strong]).all())
    factor = float((strong_capacity / weak_capacity).max())
    return bool((packing.load[:, weak] * factor <= packing.load[:, strong]).all())


def shard_rows(packing: Packing, scope: Scope, shard: int, columns: NDArray[np.int64], rounding: Rounding) -> ShardRows:
    """Return the integer rows of one shard in the given columns; rows that cannot bind are left out."""
    home = packing.current[scope.rows] == shard
    may_arrive = bool(np.isin(shard, scope.shards))
    arriving = np.flatnonzero(~home) if may_arrive else np.zeros(0, dtype=np.int64)
    leaving = np.flatnonzero(home)
    room = (packing.headroom - packing.utilisation_now[shard, columns]) * UNITS
    share = packing.load[np.ix_(scope.rows, columns)] / packing.capacity[shard, columns] * UNITS  # (n, C)
    binding = share[arriving].sum(axis=0) > room - 1.0
    share, room = share[:, binding], room[binding]
    up, down = np.ceil(share - NOISE_UNITS), np.floor(share + NOISE_UNITS)
    safe = rounding is Rounding.SAFE
    room_units = np.floor(room + TOLERANCE_UNITS) if safe else np.ceil(room + 2 * TOLERANCE_UNITS)
    return ShardRows(
        shard=shard,
        arriving=arriving,
        leaving=leaving,
        arriving_units=(up if safe else down)[arriving].astype(np.int64),
        leaving_units=(down if safe else up)[leaving].astype(np.int64),
        room_units=room_units.astype(np.int64),
    )
