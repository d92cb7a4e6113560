"""A cheaper allocation without overload: take back what a costly shard moved, and move it anew.

Method (ruin and repair)
    Take a shard whose leavers cost more than its proven bound, at random in proportion to that excess. Send its leavers
    home; sometimes also what came to it, or to the shard where one of its leavers went. Repair by the ejection chains of
    `repair`, with prices blurred and some order params forbidden to leave, so that attempts differ. Keep the result if it
    costs no more than before, or not much more than the best: the walk drifts, and returns to the best in the end.

Deterministic for a seed. Cost of an attempt: that of the repairs, 0.3 to 1 ms at 100 order params on each of 1,000 shards.
Sources: Schrimpf et al., "Record breaking optimization results using the ruin and recreate principle", 2000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.board import Fixed, State, may_be
from optimizer.jit import kernel
from optimizer.repair import Lists, Memory, attempt, chance, log_put, undo

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUICK = 0.6  # share of polishing attempts that take the quick price of a landing: what it displaces may fit nowhere either
DRIFT = 1.0  # how far above the best a walk may go, in mean excesses of a shard
RETURN = 150  # attempts without a new best, then the walk begins at the best again
RUIN_GUESTS, RUIN_LANDING = 0.35, 0.7  # shares of attempts that also clear the shard's guests; a landing shard's


@kernel
def _send_home(fixed: Fixed, state: State, memory: Memory, row: int) -> bool:
    home = fixed.home[row]
    if state.shard_of[row] == home or not fixed.movable[row] or not may_be(fixed, state, row, home):
        return False
    log_put(fixed, state, memory, row, home)
    return True


@kernel
def _clear_guests(fixed: Fixed, state: State, memory: Memory, shard: int, queue: NDArray[np.int64], length: int) -> int:
    """Send home what has come to a shard; return the new length of the queue, which its home shards join."""
    row = state.first[shard]
    while row >= 0:
        following = state.following[row]
        home = fixed.home[row]
        roomy = length < queue.size // 2 and 4 * memory.counts[0] < memory.log_row.size
        if home != shard and roomy and _send_home(fixed, state, memory, row):
            queue[length] = home
            length += 1
        row = following
    return length


@kernel
def _ruin(fixed: Fixed, state: State, lists: Lists, memory: Memory, shard: int, queue: NDArray[np.int64]) -> int:
    """Send home what has left a shard, and perhaps more; return the length of the queue of shards to repair."""
    queue[0] = shard
    length, landing, seen = 1, -1, 0
    for position in range(lists.start[shard], lists.start[shard + 1]):
        row = lists.order[0, position]
        away = state.shard_of[row]
        if away != shard and _send_home(fixed, state, memory, row):
            seen += 1
            if chance(memory) * seen < 1.0:
                landing = away
    fate = chance(memory)
    if fate < RUIN_GUESTS:
        length = _clear_guests(fixed, state, memory, shard, queue, length)
    elif fate < RUIN_LANDING and landing >= 0:
        length = _clear_guests(fixed, state, memory, landing, queue, length)
    return length


@kernel
def _return_to(fixed: Fixed, state: State, memory: Memory, best: NDArray[np.int64]) -> float:
    """Put what has moved since `best` was kept where it was then; return the cost."""
    memory.counts[0] = 0
    length, memory.counts[2] = memory.counts[2], 0
    for position in range(length):
        row = memory.dirty[position]
        if state.shard_of[row] != best[row]:
            log_put(fixed, state, memory, row, best[row])
            memory.counts[0] = 0
        memory.is_dirty[row] = False
    memory.counts[2] = 0
    return float(memory.spent.sum())


@kernel
def polish(
    fixed: Fixed,
    state: State,
    lists: Lists,
    memory: Memory,
    lower: NDArray[np.float64],
    best: NDArray[np.int64],
    best_cost: float,
    rounds: int,
    chain_max: int,
) -> tuple[float, int]:
    """Lower the cost of an allocation without overload.

    Args:
        fixed: the packing.
        lists: of it.
        state: changed; without overload at the start and at the end.
        memory: of this state.
        lower: (S,) proven least cost of what leaves each shard.
        best: (K,) the cheapest allocation so far; overwritten by cheaper ones.
        best_cost: its cost.
        rounds: how many attempts.
        chain_max: most shards in one attempt.

    Returns:
        (cost of `best`, the attempt that lowered it last, from 1; 0 if none did).
    """
    queue = np.empty(chain_max, dtype=np.int64)
    cost, gain_at = memory.spent.sum(), 0
    for round_number in range(rounds):
        since = memory.counts[3]
        memory.counts[3] += 1
        if since >= RETURN and cost > best_cost:
            cost = _return_to(fixed, state, memory, best)
            memory.counts[3] = 0
        excess = np.maximum(0.0, memory.spent - lower)
        total = excess.sum()
        if total <= 1e-9 * (1.0 + best_cost):
            break
        shard = min(np.searchsorted(np.cumsum(excess), chance(memory) * total), excess.size - 1)
        memory.counts[0] = 0
        length = _ruin(fixed, state, lists, memory, shard, queue)
        wild = chance(memory)
        good = attempt(
            fixed, state, lists, memory, queue, length, 2.0 * wild * wild, chance(memory) < QUICK, 0.5 * chance(memory)
        )
        now = memory.spent.sum() if good else np.inf
        drift = DRIFT * chance(memory) ** 2 * total / max(1, (excess > 0).sum())
        if now > max(cost, best_cost + drift) + 1e-9 * cost:
            undo(fixed, state, memory)
            continue
        cost = now
        if cost < best_cost * (1 - 1e-12) - 1e-12:
            best_cost, gain_at = cost, round_number + 1
            memory.counts[3] = 0
            for position in range(memory.counts[2]):
                row = memory.dirty[position]
                best[row] = state.shard_of[row]
                memory.is_dirty[row] = False
            memory.counts[2] = 0
    return best_cost, gain_at
