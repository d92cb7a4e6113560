"""The order in which the moves of a plan are carried out: most urgent first, but never into a shard that has no room yet.

Method
    urgency of a move = first column in which its source overloads, then how far it does; a move away from a shard that
    does not overload makes room for others and is as urgent as the most urgent order param that comes to that shard.
    Again and again: take the most urgent move whose destination, as things stand then, stays within its limits; if there is
    none (a swap of two full shards), the one that adds the least overload to its destination.

Waves, and both copies counted while an order param is on its way, are not decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.greedy import Board

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.packing import Packing


def sequence(packing: Packing, shard_of: NDArray[np.int64]) -> list[int]:
    """Return the order params that leave their current shard, in the order in which they should."""
    moved = np.flatnonzero(shard_of != packing.current).tolist()
    waiting = np.array(sorted(moved, key=_urgency(packing, shard_of)), dtype=np.int64)
    board = Board(packing, packing.current.copy(), packing.use(packing.current))
    ordered: list[int] = []
    while waiting.size:
        first = int(np.argmin(_added_overload(board, waiting, shard_of[waiting])))
        row = int(waiting[first])
        waiting = np.delete(waiting, first)
        board.put(row, int(shard_of[row]))
        ordered.append(row)
    return ordered


def _urgency(packing: Packing, shard_of: NDArray[np.int64]) -> Callable[[int], tuple[float, ...]]:
    first = [int(np.argmax(over > 0)) if over.any() else packing.load.shape[1] for over in packing.over_now]
    worst = packing.over_now.max(axis=1, initial=0.0)

    def of_shard(shard: int) -> tuple[int, float]:
        return first[shard], -float(worst[shard])

    def key(row: int) -> tuple[float, ...]:
        source = int(packing.current[row])
        arriving = np.flatnonzero((shard_of == source) & (packing.current != source))
        shards = [source] if packing.hot[source] else [source, *packing.current[arriving].tolist()]
        return *min(map(of_shard, shards)), -float(packing.load[row].sum()), row

    return key


def _added_overload(board: Board, rows: NDArray[np.int64], shards: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (n,): overload that each move would add to its destination now."""
    packing = board.packing
    before = packing.over(board.use[shards] / packing.capacity[shards]).sum(axis=1)
    after = packing.over((board.use[shards] + packing.load[rows]) / packing.capacity[shards]).sum(axis=1)
    added: NDArray[np.float64] = after - before
    return added
