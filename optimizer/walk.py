"""A polishing walk: where it is, the best it has seen, and where it may begin anew.

The kernels are in `polish` and `repair`; when to walk, and for how long, is decided in `solve`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.board import Fixed, State, state_of
from optimizer.placement import largest_first, place, place_anyway
from optimizer.polish import polish
from optimizer.repair import CHAINS, Lists, Memory, lists_of, memory_of, repair

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.packing import Packing

CHAIN_MAX = 60  # of a polishing attempt


@dataclass(eq=False)
class Walk:
    """A polishing walk.

    Attributes:
        best: (K,); `cost` is its cost.
    """

    packing: Packing
    fixed: Fixed
    lists: Lists
    lower: NDArray[np.float64]
    state: State
    memory: Memory
    best: NDArray[np.int64]
    cost: float

    @classmethod
    def of(cls, packing: Packing, fixed: Fixed, lower: NDArray[np.float64], start: NDArray[np.int64], seed: int) -> Walk:
        state = state_of(packing, start)
        memory = memory_of(packing, state, seed)
        return cls(packing, fixed, lists_of(packing), lower, state, memory, start.copy(), cost_of(packing, start))

    def at(self, start: NDArray[np.int64], seed: int) -> Walk:
        """Return a walk of the same packing that begins elsewhere."""
        state = state_of(self.packing, start)
        memory = memory_of(self.packing, state, seed)
        cost = cost_of(self.packing, start)
        return Walk(self.packing, self.fixed, self.lists, self.lower, state, memory, start.copy(), cost)

    def polish(self, rounds: int) -> int:
        """Make so many attempts; return the last that lowered the best cost, from 1, or 0."""
        self.cost, gain_at = polish(
            self.fixed, self.state, self.lists, self.memory, self.lower, self.best, self.cost, rounds, CHAIN_MAX
        )
        return gain_at


def cost_of(packing: Packing, shard_of: NDArray[np.int64]) -> float:
    """Return the migration cost of an allocation."""
    return float(packing.cost[shard_of != packing.current].sum())


def construct_anew(walk: Walk, leaves: NDArray[np.bool_], seed: int, late: Callable[[], bool]) -> NDArray[np.int64] | None:
    """Return an allocation without overload built from the current mapping with other random numbers; None if none was.

    Args:
        walk: gives the packing.
        leaves: (K,) the cheapest evictions.
        seed: of the repairs.
        late: whether time is up.
    """
    packing, fixed = walk.packing, walk.fixed
    state = state_of(packing, packing.current)
    rows = largest_first(packing, np.flatnonzero(leaves))
    place(fixed, state, rows)
    place_anyway(fixed, state, rows)
    memory = memory_of(packing, state, seed)
    for chain in CHAINS:
        if repair(fixed, state, walk.lists, memory, chain, late) == 0:
            return state.shard_of
    return None
