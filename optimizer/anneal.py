"""Less overload where no plan without any was found: simulated annealing over shifts and swaps.

Mathematics
    energy(allocation) = sum over s, c of scale[s, c] x over(s, c)  +  price x sum of cost[k] of what has moved
    scale[s, c]        = weight[s, c] / mean of weight x limit: 1 is as much overload as one mean shard's limit
    cost[k]            as a share of the dearest
    price              what a move must gain: high first, so that few moves end most of the overload; then lower and lower,
                       since overload is the higher goal (`STAGES`)

    Steps: an order param to another shard, or home; two order params change places. Half of them start at a shard that
    is over its limits. A step that raises the energy by d is taken with probability exp(-d / T), T falling geometrically
    (Kirkpatrick et al. 1983). The best allocation seen is kept.

It proves nothing. Cost of a step: O(D + members of a spread group). Rules are never broken by a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optimizer.board import Fixed, State, is_over, may_be, put
from optimizer.jit import kernel
from optimizer.repair import Memory, chance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing

HOT_TRIES = 12  # order params looked at to find one on a shard that is over its limits


class Stage(NamedTuple):
    """One run: price of a move, and temperature at its first and last step, all in mean limits."""

    price: float
    hot: float
    cold: float


STAGES = (Stage(1e-3, 1e-3, 1e-5), Stage(1e-4, 1e-3, 1e-5), Stage(1e-5, 1e-3, 1e-6), Stage(1e-6, 1e-3, 1e-6))
SQUEEZE = (Stage(1e-2, 1e-3, 1e-5), Stage(3e-3, 3e-3, 1e-5), Stage(1e-3, 1e-3, 1e-6))  # the same overload for less cost


def energy_scale(packing: Packing) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scale (S, D), and (K,) the cost of each order param as a share of the dearest."""
    worth = packing.weight[:-1] * packing.limit[:-1]
    usable = np.isfinite(worth) & (worth > 0)
    mean = float(worth[usable].mean()) if usable.any() else 1.0
    dearest = max(float(packing.cost.max(initial=0.0)), 1e-300)
    return packing.weight / mean, packing.cost / dearest


@kernel
def _over_change(
    fixed: Fixed, state: State, scale: NDArray[np.float64], source: int, shard: int, row: int, partner: int
) -> float:
    """Return by how much the overload changes when `row` goes from source to shard, and `partner`, if any, the other way."""
    change = 0.0
    for c in range(fixed.load.shape[1]):
        moved = fixed.load[row, c]
        if partner >= 0:
            moved -= fixed.load[partner, c]
        if moved == 0:
            continue
        here, there = state.use[source, c] - fixed.limit[source, c], state.use[shard, c] - fixed.limit[shard, c]
        change += (max(0.0, here - moved) - max(0.0, here)) * scale[source, c]
        change += (max(0.0, there + moved) - max(0.0, there)) * scale[shard, c]
    return change


@kernel
def _cost_change(fixed: Fixed, cost: NDArray[np.float64], row: int, source: int, shard: int) -> float:
    if source == fixed.home[row]:
        return float(cost[row])
    return -float(cost[row]) if shard == fixed.home[row] else 0.0


@kernel
def _may_swap(fixed: Fixed, state: State, row: int, partner: int) -> bool:
    """Return whether two order params may change places; members of one group never need to."""
    source, shard = state.shard_of[row], state.shard_of[partner]
    if fixed.group[row] >= 0 and fixed.group[row] == fixed.group[partner]:
        return False
    return may_be(fixed, state, row, shard) and may_be(fixed, state, partner, source)


@kernel
def anneal(
    fixed: Fixed,
    state: State,
    memory: Memory,
    scale: NDArray[np.float64],
    cost: NDArray[np.float64],
    best: NDArray[np.int64],
    steps: int,
    hot: float,
    cold: float,
) -> float:
    """Lower the overload.

    Args:
        fixed: the packing.
        state: changed; at the end where the walk has got to.
        memory: its random numbers are used.
        scale: (S, D) of `energy_scale`.
        cost: (K,) price of a move x the cost of `energy_scale`.
        best: (K,) overwritten by the allocation with the least energy seen, if it is below that of the start.
        steps: how many are tried.
        hot: temperature at the first step.
        cold: at the last.

    Returns:
        How much lower the energy of `best` is than at the start; 0 if nothing better was seen.
    """
    count, shards = fixed.home.size, fixed.limit.shape[0] - 1
    changed, is_changed = np.empty(count, dtype=np.int64), np.zeros(count, dtype=np.bool_)
    length, energy, lowest = 0, 0.0, 0.0
    cooling = np.log(cold / hot) / max(1, steps)
    for step in range(steps):
        row = int(chance(memory) * count)
        if chance(memory) < 0.5:
            for _ in range(HOT_TRIES):
                if is_over(fixed, state, state.shard_of[row]):
                    break
                row = int(chance(memory) * count)
        source, partner = state.shard_of[row], -1
        kind = chance(memory)
        if kind < 0.5:
            partner = int(chance(memory) * count)
            shard = state.shard_of[partner]
        elif kind < 0.6:
            shard = fixed.home[row]
        else:
            shard = int(chance(memory) * shards)
        if shard in (source, shards) or not fixed.movable[row]:
            continue
        if partner >= 0:
            if not fixed.movable[partner] or not _may_swap(fixed, state, row, partner):
                continue
        elif not may_be(fixed, state, row, shard):
            continue
        change = _over_change(fixed, state, scale, source, shard, row, partner)
        change += _cost_change(fixed, cost, row, source, shard)
        if partner >= 0:
            change += _cost_change(fixed, cost, partner, shard, source)
        if change > 0 and chance(memory) >= np.exp(-change / (hot * np.exp(cooling * step))):
            continue
        put(fixed, state, row, shard)
        if partner >= 0:
            put(fixed, state, partner, source)
        energy += change
        for moved in (row, partner):
            if moved >= 0 and not is_changed[moved]:
                is_changed[moved] = True
                changed[length] = moved
                length += 1
        if energy < lowest - 1e-12:
            lowest = energy
            for q in range(length):
                best[changed[q]] = state.shard_of[changed[q]]
                is_changed[changed[q]] = False
            length = 0
    return -lowest
