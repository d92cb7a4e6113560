"""An allocation under change, as arrays that kernels work on: who is where, what is used, and the elementary questions.

`Fixed` is the packing, which nobody changes. `State` is the allocation: `put` is the only way to change it, and keeps the
use and the lists of what is on each shard up to date. Both are tuples of arrays, so that kernels take them as one argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optimizer.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing

FULL = 1e30  # stands for 1 / limit where the limit is 0
END = -1


class Fixed(NamedTuple):
    """What a packing gives: shapes and meaning as in `optimizer.packing.Packing`.

    Attributes:
        inverse: (S, D) 1 / limit; 0 where there is no limit.
        home: (K,) the current shard, before any move.
        forced: (K,) what may not stay at home or go back to it.
    """

    load: NDArray[np.float64]
    limit: NDArray[np.float64]
    inverse: NDArray[np.float64]
    weight: NDArray[np.float64]
    cost: NDArray[np.float64]
    home: NDArray[np.int64]
    movable: NDArray[np.bool_]
    forced: NDArray[np.bool_]
    rule: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    group: NDArray[np.int64]
    group_start: NDArray[np.int64]
    group_member: NDArray[np.int64]


class State(NamedTuple):
    """An allocation and what follows from it.

    Attributes:
        shard_of: (K,).
        use: (S, D).
        first: (S,) first order param in the list of a shard, or -1.
        following, previous: (K,) links of those lists, or -1.
    """

    shard_of: NDArray[np.int64]
    use: NDArray[np.float64]
    first: NDArray[np.int64]
    following: NDArray[np.int64]
    previous: NDArray[np.int64]


def fixed_of(packing: Packing, forced: NDArray[np.bool_]) -> Fixed:
    """Return the arrays of a packing; `forced` (K,) marks what may not stay at home."""
    inverse = np.divide(1.0, packing.limit, out=np.full(packing.limit.shape, FULL), where=packing.limit > 0)
    return Fixed(
        load=packing.load,
        limit=packing.limit,
        inverse=inverse,
        weight=packing.weight,
        cost=packing.cost,
        home=packing.current,
        movable=packing.movable,
        forced=forced,
        rule=packing.rule,
        allowed=packing.allowed,
        group=packing.group,
        group_start=packing.group_start,
        group_member=packing.group_member,
    )


def state_of(packing: Packing, shard_of: NDArray[np.int64]) -> State:
    """Return the state of an allocation, which is copied."""
    links = np.full((2, shard_of.size), END, dtype=np.int64)
    first = np.full(packing.shards, END, dtype=np.int64)
    _link(shard_of, first, links[0], links[1])
    return State(shard_of.copy(), packing.use(shard_of), first, links[0].copy(), links[1].copy())


@kernel
def _link(
    shard_of: NDArray[np.int64], first: NDArray[np.int64], following: NDArray[np.int64], previous: NDArray[np.int64]
) -> None:
    for row in range(shard_of.size - 1, -1, -1):
        head = first[shard_of[row]]
        following[row] = head
        if head >= 0:
            previous[head] = row
        first[shard_of[row]] = row


@kernel
def put(fixed: Fixed, state: State, row: int, shard: int) -> None:
    """Move one order param to a shard, allowed or not."""
    source = state.shard_of[row]
    before, after = state.previous[row], state.following[row]
    if before >= 0:
        state.following[before] = after
    else:
        state.first[source] = after
    if after >= 0:
        state.previous[after] = before
    head = state.first[shard]
    state.previous[row], state.following[row] = END, head
    if head >= 0:
        state.previous[head] = row
    state.first[shard] = row
    state.shard_of[row] = shard
    for c in range(fixed.load.shape[1]):
        state.use[source, c] -= fixed.load[row, c]
        state.use[shard, c] += fixed.load[row, c]


@kernel
def is_over(fixed: Fixed, state: State, shard: int) -> bool:
    """Return whether a shard is above its limit in some column."""
    for c in range(fixed.load.shape[1]):
        if state.use[shard, c] > fixed.limit[shard, c]:
            return True
    return False


@kernel
def fits(fixed: Fixed, state: State, row: int, shard: int) -> bool:
    """Return whether a shard would stay within its limits with `row` added; rules are not looked at."""
    for c in range(fixed.load.shape[1]):
        if state.use[shard, c] + fixed.load[row, c] > fixed.limit[shard, c]:
            return False
    return True


@kernel
def may_be(fixed: Fixed, state: State, row: int, shard: int) -> bool:
    """Return whether the rules let `row` be on a shard: at home if it need not leave, else where it may arrive.

    Cost: O(members of its spread group).
    """
    if shard == fixed.home[row]:
        if fixed.forced[row]:
            return False
    elif not fixed.allowed[fixed.rule[row], shard]:
        return False
    group = fixed.group[row]
    if group >= 0:
        for position in range(fixed.group_start[group], fixed.group_start[group + 1]):
            other = fixed.group_member[position]
            if other != row and state.shard_of[other] == shard:
                return False
    return True


@kernel
def roomiest(fixed: Fixed, state: State, row: int) -> int:
    """Return the shard, not where it is nor its home, where `row` fits with the least highest utilisation; else -1."""
    best, least = -1, np.inf
    here, home, rule = state.shard_of[row], fixed.home[row], fixed.rule[row]
    for shard in range(fixed.limit.shape[0]):
        if shard in (here, home) or not fixed.allowed[rule, shard]:
            continue
        worst = 0.0
        for c in range(fixed.load.shape[1]):
            after = state.use[shard, c] + fixed.load[row, c]
            if after > fixed.limit[shard, c]:
                worst = np.inf
                break
            worst = max(worst, after * fixed.inverse[shard, c])
        if worst < least and may_be(fixed, state, row, shard):
            best, least = shard, worst
    return best
