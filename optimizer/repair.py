"""Room for what fits nowhere: an order param lands where making room is cheapest, and what it displaces moves on.

Method (ejection chains over priced covers)
    A queue of shards over their limit. Take one; price every order param on it:

        price(k) = 0 if k fits somewhere, else the cheapest landing: least over shards t of landing(k, t)
        landing(k, t) = cost of what t would have to evict to take k, by the largest over columns of the fractional cover

    and choose by the covering knapsack of `cover` what leaves, at  own cost (0 for one that has moved already) + price.
    Prices are worked out only of what is chosen, and the knapsack solved anew until none of the chosen is without. Put each,
    largest first, home if it fits there, else where it fits best, else where its landing is cheapest: that shard joins the
    queue, and the order param stays put for the rest of the attempt. An attempt ends well when the queue is empty, and is
    undone when the chain grows too long. So shards that are hot on different resources find their swaps, and a shard whose
    cheapest eviction fits nowhere finds its second cheapest. `polish` uses the same attempts to lower the cost.

Deterministic for a seed. Cost of one attempt: O(order params on a shard x S) to price them, about 0.3 ms at 100 x 1000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optimizer.board import Fixed, State, fits, is_over, may_be, put, roomiest
from optimizer.cover import cover
from optimizer.jit import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.packing import Packing

SHARDS_A_LOOK = 8  # an attempt for one may take some 20 ms where nothing fits
CHAINS = (8, 16, 32, 64, 128, 128, 128)  # longest ejection chain of each round of repairs
NODES_MAX = 2_000
UNPAYABLE = 1e15  # price of an order param that may not leave
SHORT = 4  # landings whose price is worked out exactly
NOISE = 0.3  # landings are compared with up to this relative error, so that attempts differ


class Lists(NamedTuple):
    """Home lists of each shard by cost per load, one per resource, for the quick price of a landing.

    Attributes:
        order: (R, K) order params by home shard, then by cost / (load of the resource summed over steps), ascending.
        start: (S + 1,) where each shard's part begins.
    """

    order: NDArray[np.int64]
    start: NDArray[np.int64]


class Memory(NamedTuple):
    """What attempts keep: random numbers, the log to undo one, marks of what may not move again.

    Attributes:
        random: (1,) state of the generator.
        log_row, log_shard: (L,) what was moved, and from where.
        fixed_in: (K,) number of the attempt in which the order param landed by force.
        counts: (4,) length of the log, number of the attempt, length of `dirty`, attempts since the best.
        dirty: (K,) order params moved since the best allocation was kept; `is_dirty` (K,) marks them.
        spent: (S,) cost of what has left each shard.
    """

    random: NDArray[np.uint64]
    log_row: NDArray[np.int64]
    log_shard: NDArray[np.int64]
    fixed_in: NDArray[np.int64]
    counts: NDArray[np.int64]
    dirty: NDArray[np.int64]
    is_dirty: NDArray[np.bool_]
    spent: NDArray[np.float64]


def lists_of(packing: Packing) -> Lists:
    """Return the home lists of the movable order params; the others stand at the end of each part."""
    steps = packing.load.shape[1] // max(1, packing.resources)
    by_resource = packing.load.reshape(-1, steps, packing.resources).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(packing.movable[:, None] & (by_resource > 0), packing.cost[:, None] / by_resource, np.inf)
    order = np.stack([np.lexsort((ratio[:, r], packing.current)) for r in range(packing.resources)])
    start = np.concatenate([[0], np.cumsum(np.bincount(packing.current, minlength=packing.shards))])
    return Lists(np.ascontiguousarray(order.astype(np.int64)), start.astype(np.int64))


def memory_of(packing: Packing, state: State, seed: int) -> Memory:
    """Return a fresh memory for this state."""
    count = packing.current.size
    away = state.shard_of != packing.current
    return Memory(
        random=np.array([(seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64], dtype=np.uint64),
        log_row=np.zeros(4 * count + 1024, dtype=np.int64),
        log_shard=np.zeros(4 * count + 1024, dtype=np.int64),
        fixed_in=np.zeros(count, dtype=np.int64),
        counts=np.zeros(4, dtype=np.int64),
        dirty=np.zeros(count, dtype=np.int64),
        is_dirty=np.zeros(count, dtype=np.bool_),
        spent=np.bincount(packing.current, weights=packing.cost * away, minlength=packing.shards).astype(np.float64),
    )


@kernel
def chance(memory: Memory) -> float:
    """Return a random number in [0, 1): xorshift64*, Marsaglia 2003, Vigna 2016."""
    x = memory.random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    memory.random[0] = x
    return float((x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def log_put(fixed: Fixed, state: State, memory: Memory, row: int, shard: int) -> None:
    """Move one order param, so that it can be undone."""
    position = memory.counts[0]
    memory.log_row[position], memory.log_shard[position] = row, state.shard_of[row]
    memory.counts[0] = position + 1
    home = fixed.home[row]
    if state.shard_of[row] == home:
        memory.spent[home] += fixed.cost[row]
    elif shard == home:
        memory.spent[home] -= fixed.cost[row]
    put(fixed, state, row, shard)
    if not memory.is_dirty[row]:
        memory.is_dirty[row] = True
        memory.dirty[memory.counts[2]] = row
        memory.counts[2] += 1


@kernel
def undo(fixed: Fixed, state: State, memory: Memory) -> None:
    """Take back all that was moved since the log was emptied."""
    length = memory.counts[0]
    for position in range(length - 1, -1, -1):
        log_put(fixed, state, memory, memory.log_row[position], memory.log_shard[position])
    memory.counts[0] = 0


@kernel
def _landing(fixed: Fixed, state: State, lists: Lists, memory: Memory, row: int, shard: int, cut: float) -> float:
    """Return what a shard would have to spend to take `row`, at the least; inf if it cannot or if it is above `cut`."""
    resources, price = lists.order.shape[0], 0.0
    for c in range(fixed.load.shape[1]):
        need = state.use[shard, c] + fixed.load[row, c] - fixed.limit[shard, c]
        if need <= 0:
            continue
        spent = 0.0
        for position in range(lists.start[shard], lists.start[shard + 1]):
            other = lists.order[c % resources, position]
            if not fixed.movable[other]:
                break
            if state.shard_of[other] != shard or memory.fixed_in[other] == memory.counts[1]:
                continue
            part = fixed.load[other, c]
            if part <= 0:
                continue
            if part >= need:
                spent += fixed.cost[other] * need / part
                need = 0.0
                break
            spent += fixed.cost[other]
            need -= part
            if spent > cut:
                break
        if need > 0:
            return np.inf
        price = max(price, spent)
        if price > cut:
            return np.inf
    return price


@kernel
def _exact_landing(fixed: Fixed, state: State, memory: Memory, row: int, shard: int) -> float:
    """Return the cost of the cheapest order params that fit elsewhere and whose leaving lets `row` in; inf if none."""
    excess = state.use[shard] + fixed.load[row] - fixed.limit[shard]
    count, other = 0, state.first[shard]
    while other >= 0:
        count += 1
        other = state.following[other]
    cost, part = np.empty(count), np.empty((count, excess.size))
    count, other = 0, state.first[shard]
    while other >= 0:
        if fixed.movable[other] and memory.fixed_in[other] != memory.counts[1]:
            useful = False
            for c in range(excess.size):
                useful = useful or (excess[c] > 0 and fixed.load[other, c] > 0)
            if useful and _fits_somewhere(fixed, state, other, 0):
                cost[count], part[count] = fixed.cost[other] if fixed.home[other] == shard else 0.0, fixed.load[other]
                count += 1
        other = state.following[other]
    chosen = np.zeros(count, dtype=np.bool_)
    value, _ = cover(cost[:count].copy(), part[:count].copy(), excess, NODES_MAX, 0.0, chosen)
    return value if value >= 0 else np.inf


@kernel
def _cheapest_landing(
    fixed: Fixed, state: State, lists: Lists, memory: Memory, row: int, noise: float, quick: bool
) -> tuple[int, float]:
    """Return (shard, price) of the cheapest landing; (-1, inf) if there is none."""
    here, rule = state.shard_of[row], fixed.rule[row]
    shards, prices = np.full(SHORT, -1), np.full(SHORT, np.inf)  # the best so far, ascending
    for shard in range(fixed.limit.shape[0] - 1):
        if shard == here or (shard != fixed.home[row] and not fixed.allowed[rule, shard]):
            continue
        price = _landing(fixed, state, lists, memory, row, shard, prices[-1])
        if price >= prices[-1]:
            continue
        price *= 1.0 + noise * chance(memory)
        if price < prices[-1] and may_be(fixed, state, row, shard):
            q = SHORT - 1
            while q > 0 and prices[q - 1] > price:
                prices[q], shards[q] = prices[q - 1], shards[q - 1]
                q -= 1
            prices[q], shards[q] = price, shard
    if quick:
        return shards[0], prices[0]
    best, least = -1, np.inf
    for q in range(SHORT):
        if prices[q] >= least:
            break
        price = _exact_landing(fixed, state, memory, row, shards[q]) * (1.0 + noise * chance(memory))
        if price < least:
            best, least = shards[q], price
    if best < 0 and shards[0] >= 0:
        return shards[0], 4.0 * prices[0]
    return best, least


@kernel
def _fits_somewhere(fixed: Fixed, state: State, row: int, begin: int) -> bool:
    shards, rule, here = fixed.limit.shape[0], fixed.rule[row], state.shard_of[row]
    for step in range(shards):
        shard = begin + step
        if shard >= shards:
            shard -= shards
        if (
            shard != here
            and fixed.allowed[rule, shard]
            and fits(fixed, state, row, shard)
            and may_be(fixed, state, row, shard)
        ):
            return True
    return False


@kernel
def _relieve(
    fixed: Fixed,
    state: State,
    lists: Lists,
    memory: Memory,
    shard: int,
    queue: NDArray[np.int64],
    length: int,
    noise: float,
    quick: bool,
    ban: float,
) -> int:
    """Bring one shard under its limits; return the new length of the queue of shards that suffer for it, -1 on failure."""
    count, row = 0, state.first[shard]
    while row >= 0:
        if fixed.movable[row] and memory.fixed_in[row] != memory.counts[1]:
            count += 1
        row = state.following[row]
    items, price = np.empty(count, dtype=np.int64), np.empty(count)
    part = np.empty((count, fixed.load.shape[1]))
    count, row = 0, state.first[shard]
    while row >= 0:
        if fixed.movable[row] and memory.fixed_in[row] != memory.counts[1]:
            items[count], part[count] = row, fixed.load[row]
            price[count] = fixed.cost[row] if fixed.home[row] == shard else 0.0
            count += 1
        row = state.following[row]
    chosen, known = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    excess = state.use[shard] - fixed.limit[shard]
    begin, open_prices = int(chance(memory) * fixed.limit.shape[0]), True
    while open_prices:
        value, _ = cover(price, part, excess, NODES_MAX, 0.0, chosen)
        if value < 0 or value >= UNPAYABLE:
            return -1
        open_prices = False
        for q in np.flatnonzero(chosen):
            if known[q]:
                continue
            known[q] = True
            row = items[q]
            if not _fits_somewhere(fixed, state, row, begin):
                price[q] = min(UNPAYABLE, price[q] + _cheapest_landing(fixed, state, lists, memory, row, noise, quick)[1])
                if chance(memory) < ban:
                    price[q] = UNPAYABLE
                open_prices = True
    leaving = items[chosen]
    size = np.empty(leaving.size)
    for position in range(leaving.size):
        size[position] = (fixed.load[leaving[position]] * fixed.inverse[shard]).max()
    for row in leaving[np.argsort(-size)]:
        length = _settle(fixed, state, lists, memory, row, queue, length, noise, quick)
        if length < 0:
            return -1
    return length


@kernel
def _settle(
    fixed: Fixed,
    state: State,
    lists: Lists,
    memory: Memory,
    row: int,
    queue: NDArray[np.int64],
    length: int,
    noise: float,
    quick: bool,
) -> int:
    """Find a new shard for `row`; return the new length of the queue, -1 if there is none."""
    home = fixed.home[row]
    if 2 * memory.counts[0] + 64 > memory.log_row.size:
        return -1
    if state.shard_of[row] != home and fits(fixed, state, row, home) and may_be(fixed, state, row, home):
        log_put(fixed, state, memory, row, home)
        return length
    shard = roomiest(fixed, state, row)
    if shard >= 0:
        log_put(fixed, state, memory, row, shard)
        return length
    shard, _ = _cheapest_landing(fixed, state, lists, memory, row, noise, quick)
    if shard < 0 or length >= queue.size:
        return -1
    log_put(fixed, state, memory, row, shard)
    memory.fixed_in[row] = memory.counts[1]
    queue[length] = shard
    return length + 1


@kernel
def attempt(
    fixed: Fixed,
    state: State,
    lists: Lists,
    memory: Memory,
    queue: NDArray[np.int64],
    length: int,
    noise: float,
    quick: bool,
    ban: float,
) -> bool:
    """Relieve the shards of the queue and those that suffer for it; return whether all are within their limits."""
    memory.counts[1] += 1
    done = 0
    while done < length:
        shard = queue[done]
        done += 1
        if is_over(fixed, state, shard):
            length = _relieve(fixed, state, lists, memory, shard, queue, length, noise, quick, ban if done == 1 else 0.0)
            if length < 0:
                return False
    return True


def repair(
    fixed: Fixed, state: State, lists: Lists, memory: Memory, chain_max: int, late: Callable[[], bool] = lambda: False
) -> int:
    """Try once to relieve each shard that is over its limits, in their order; return how many stay over.

    Args:
        fixed: the packing.
        lists: of it.
        state: changed; an attempt that fails leaves it as it was.
        memory: of this state.
        chain_max: most shards in one attempt.
        late: asked every SHARDS_A_LOOK shards; once it is true, the others stay as they are.
    """
    left, shards = 0, fixed.limit.shape[0]
    for begin in range(0, shards, SHARDS_A_LOOK):
        if late():
            return left + count_over(fixed, state, begin, shards)
        left += repair_some(fixed, state, lists, memory, chain_max, begin, min(begin + SHARDS_A_LOOK, shards))
    return left


@kernel
def count_over(fixed: Fixed, state: State, begin: int, end: int) -> int:
    """Return how many of these shards are over their limits."""
    return sum([is_over(fixed, state, shard) for shard in range(begin, end)])


@kernel
def repair_some(fixed: Fixed, state: State, lists: Lists, memory: Memory, chain_max: int, begin: int, end: int) -> int:
    """Do what `repair` does for the shards from `begin` to before `end`."""
    queue, left = np.empty(chain_max, dtype=np.int64), 0
    for shard in range(begin, end):
        if not is_over(fixed, state, shard):
            continue
        queue[0] = shard
        memory.counts[0] = 0
        if not attempt(fixed, state, lists, memory, queue, 1, NOISE, False, 0.0):
            undo(fixed, state, memory)
            left += 1
    return left
