"""Relief by the most useful single step, again and again: always has an answer, and gives the solver its first hint.

Method
    While some shard overloads: take the hottest shard (highest utilisation) that has a step with a gain, where
        gain(step) = overload before - overload after > 0
    and no shard that was fine becomes hot. A step is a move of one order param away from it, or, if no move of any hot shard
    helps, a swap of one of its order params with one of another shard. Take the step with the highest gain per cost; among
    equals the one that leaves the destination the least utilised. Each step lowers the total overload, so it ends.
    Afterwards `undo_needless` takes back every move without which the overload is no higher.

It proves nothing; `bound` says how good it is. Work per step: O(order params on the hottest shard x shards x columns).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.packing import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.packing import Packing

CANDIDATES = 64  # order params of the hottest shard looked at per step, the best reliefs per cost
SWAP_CANDIDATES = 12  # the same for swaps, which are tried against every other order param
CHUNK = 2048  # partners evaluated in one array operation: bounds the memory


@dataclass
class Board:
    """An allocation under change, with the use of each shard kept up to date.

    Attributes:
        shard_of: (K,).
        use: (S, D).
    """

    packing: Packing
    shard_of: NDArray[np.int64]
    use: NDArray[np.float64]

    def put(self, row: int, shard: int) -> None:
        """Place one order param."""
        load = self.packing.load[row]
        self.use[self.shard_of[row]] -= load
        self.use[shard] += load
        self.shard_of[row] = shard

    def over(self) -> NDArray[np.float64]:
        """Return (S,): overload of each shard."""
        total: NDArray[np.float64] = self.packing.over(self.use / self.packing.capacity).sum(axis=1)
        return total

    def moves_left(self) -> int:
        """Return how many more order params may leave their current shard."""
        return self.packing.budget_moves - int((self.shard_of != self.packing.current).sum())


Step = tuple[tuple[int, int], ...]  # (order param, shard to put it on), carried out together


def relieve(packing: Packing, *, in_time: Callable[[], bool]) -> NDArray[np.int64]:
    """Return a (K,) allocation with no more overload than the current one, within the move budget.

    Args:
        packing: the problem.
        in_time: asked before each step; False ends the search with what there is.
    """
    board = Board(packing, packing.current.copy(), packing.use(packing.current))
    while in_time() and board.moves_left() > 0:
        step = _best_step(board, in_time)
        if step is None:
            break
        for row, shard in step:
            board.put(row, shard)
    return undo_needless(packing, board.shard_of)


def undo_needless(packing: Packing, shard_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the allocation with every move taken back, dearest first, that the overload does not need."""
    board = Board(packing, shard_of.copy(), packing.use(shard_of))
    moved = np.flatnonzero(shard_of != packing.current)
    for row in moved[np.argsort(-packing.cost[moved], kind="stable")]:
        away, home = int(board.shard_of[row]), int(packing.current[row])
        pair = [away, home]
        before = packing.over(board.use[pair] / packing.capacity[pair])
        board.put(int(row), home)
        after = packing.over(board.use[pair] / packing.capacity[pair])
        if after.sum() > before.sum() + TOLERANCE or (after.any(axis=1) & ~packing.hot[pair]).any():
            board.put(int(row), away)
    return board.shard_of


def _best_step(board: Board, in_time: Callable[[], bool]) -> Step | None:
    over = board.over()
    worst = (board.use / board.packing.capacity).max(axis=1, initial=0.0)
    hot = sorted(np.flatnonzero(over > 0).tolist(), key=lambda shard: -worst[shard])
    for shard in hot:
        if step := _best_move(board, shard, over):
            return step
    for shard in hot:
        if board.moves_left() >= 2 and in_time() and (step := _best_swap(board, shard, over)):
            return step
    return None


def _candidates(board: Board, shard: int, limit: int) -> NDArray[np.int64]:
    """Return the movable order params on a shard with the highest relief per cost, at most `limit`."""
    packing = board.packing
    rows = np.flatnonzero(packing.movable & (board.shard_of == shard))
    without = packing.over((board.use[shard] - packing.load[rows]) / packing.capacity[shard]).sum(axis=1)
    relief = packing.over(board.use[shard] / packing.capacity[shard]).sum() - without
    best = np.argsort(-relief / packing.cost[rows], kind="stable")[:limit]
    return np.asarray(rows[best[relief[best] > TOLERANCE]], dtype=np.int64)


def _best_move(board: Board, source: int, over: NDArray[np.float64]) -> Step | None:
    packing = board.packing
    rows = _candidates(board, source, CANDIDATES)
    shards = np.flatnonzero(packing.receives & (np.arange(packing.shards) != source))
    if rows.size == 0 or shards.size == 0:
        return None
    without = packing.over((board.use[source] - packing.load[rows]) / packing.capacity[source]).sum(axis=1)  # (n,)
    utilisation = (board.use[shards] + packing.load[rows, None]) / packing.capacity[shards]  # (n, S', D)
    after = packing.over(utilisation).sum(axis=2)  # (n, S')
    gain = (over[source] - without)[:, None] - (after - over[shards])
    allowed = (gain > TOLERANCE) & (packing.hot[shards] | (after == 0))
    best = _argbest(np.where(allowed, gain / packing.cost[rows, None], -np.inf), utilisation.max(axis=2))
    return None if best is None else ((int(rows[best[0]]), int(shards[best[1]])),)


def _best_swap(board: Board, source: int, over: NDArray[np.float64]) -> Step | None:
    """Return the swap of an order param on `source` with one elsewhere that gains most per cost."""
    packing = board.packing
    if not packing.receives[source]:
        return None
    found: tuple[float, Step] | None = None
    others = np.flatnonzero(packing.movable & (board.shard_of != source) & packing.receives[board.shard_of])
    for row in _candidates(board, source, SWAP_CANDIDATES).tolist():
        for start in range(0, others.size, CHUNK):
            partners = others[start : start + CHUNK]
            value = _swap_values(board, over, row, partners)
            best = int(np.argmax(value))
            if np.isfinite(value[best]) and (found is None or value[best] > found[0]):
                partner = int(partners[best])
                found = float(value[best]), ((row, int(board.shard_of[partner])), (partner, source))
    return None if found is None else found[1]


def _swap_values(board: Board, over: NDArray[np.float64], row: int, partners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (n,) gain per cost of swapping `row` with each partner; -inf where that is not allowed."""
    packing = board.packing
    source, shards = int(board.shard_of[row]), board.shard_of[partners]
    change = packing.load[row] - packing.load[partners]  # (n, D)
    over_source = packing.over((board.use[source] - change) / packing.capacity[source]).sum(axis=1)
    over_other = packing.over((board.use[shards] + change) / packing.capacity[shards]).sum(axis=1)
    gain = over[source] + over[shards] - over_source - over_other
    allowed = (gain > TOLERANCE) & (packing.hot[shards] | (over_other == 0))
    return np.where(allowed, gain / (packing.cost[row] + packing.cost[partners]), -np.inf)


def _argbest(value: NDArray[np.float64], tie: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return the index of the highest value, among (nearly) equals of the lowest tie; None if there is no finite value."""
    highest = value.max()
    if not np.isfinite(highest):
        return None
    among = np.where(value >= highest * (1 - 1e-9), tie, np.inf)
    row, column = np.unravel_index(int(np.argmin(among)), among.shape)
    return int(row), int(column)
