"""What explanations stand on: a plan problem, what was found for it, and both as shares of capacity. Decides nothing.

Rows are those of the packing (a split order param has one per segment); shards are the problem's, without `nowhere`, except
in `home` and `shard_of`. "Before" is the real current mapping, whatever the mode made of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from optimizer.packing import pack
from plb_ray.domain.plan import NOWHERE, PlanMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing
    from optimizer.solve import Solution
    from plb_ray.domain.plan import PlanProblem


DIGITS_MAX = 6  # of percentages that differ from their limit by little


@dataclass(frozen=True, eq=False)
class Story:
    """A plan problem, the packing that was solved for it, what was found, and the shards that consolidation emptied."""

    problem: PlanProblem
    packing: Packing
    solution: Solution
    drained: tuple[int, ...] = ()

    @cached_property
    def shard_of(self) -> NDArray[np.int64]:
        """(K',) the allocation that is explained: what an allocation made anew finds no place for stays where it is."""
        found = self.solution.shard_of
        return np.where(found == self.packing.nowhere, self.home, found)

    @cached_property
    def stated(self) -> Packing:
        """The packing with the real current mapping, and with the mode's rules."""
        return pack(self.problem) if self.problem.mode is PlanMode.ALLOCATE else self.packing

    @cached_property
    def home(self) -> NDArray[np.int64]:
        """(K',) the real current shard of each row; `nowhere` for none."""
        current = self.problem.current
        return np.where(current == NOWHERE, self.packing.nowhere, current)[self.packing.origin]

    @cached_property
    def segment(self) -> NDArray[np.int64]:
        """(K',) the number of each row among its order param's segments, from 1, those that stay first; 0 if not split."""
        origin = self.packing.origin  # ascending
        number = np.zeros(origin.size, dtype=np.int64)
        order = np.lexsort((self.shard_of != self.home, origin))
        number[order] = np.arange(origin.size) - np.searchsorted(origin, origin) + 1
        return np.where(self.parts > 1, number, 0)

    @cached_property
    def parts(self) -> NDArray[np.int64]:
        """(K',) how many segments the row's order param has; 1 for one that is not split."""
        origin = self.packing.origin
        return np.bincount(origin, minlength=len(self.problem.order_params))[origin]

    @cached_property
    def use_before(self) -> NDArray[np.float64]:
        """(S, D) units."""
        return self.packing.use(self.home)[:-1]

    @cached_property
    def use_after(self) -> NDArray[np.float64]:
        """(S, D) units."""
        return self.packing.use(self.shard_of)[:-1]

    @cached_property
    def before(self) -> NDArray[np.float64]:
        """(S, D) utilisation; infinite where a capacity of 0 is used."""
        return share_of(self.use_before, self.packing.capacity[:-1])

    @cached_property
    def after(self) -> NDArray[np.float64]:
        """(S, D) utilisation, as `before`."""
        return share_of(self.use_after, self.packing.capacity[:-1])

    @cached_property
    def hot(self) -> NDArray[np.bool_]:
        """(S,) over a limit before."""
        return np.asarray((self.use_before > self.packing.limit[:-1]).any(axis=1))

    @cached_property
    def stays_hot(self) -> NDArray[np.bool_]:
        """(S,) over a limit after."""
        return np.asarray((self.use_after > self.packing.limit[:-1]).any(axis=1))

    @cached_property
    def emptied(self) -> frozenset[int]:
        """Shards that the mode empties, rather than a rule."""
        return frozenset(self.drained) | (
            frozenset(self.problem.focus) if self.problem.mode is PlanMode.DRAIN else frozenset()
        )

    @property
    def moves_used_up(self) -> bool:
        """Whether the plan has as many moves as it may have."""
        return int((self.solution.shard_of != self.packing.current).sum()) >= self.packing.moves_max

    def name(self, shard: int) -> str:
        """Return a shard's name."""
        return self.problem.shards[shard]

    def order_param(self, row: int) -> str:
        """Return the name of a row's order param."""
        return self.problem.order_params[int(self.packing.origin[row])]

    def resource(self, column: int) -> str:
        """Return a column's resource in words."""
        name = self.problem.resources[column % self.packing.resources]
        return self.problem.words.resources.get(name, name)

    def when(self, column: int) -> str:
        """Return a column's step in words: "at 22:30", "at step 3", "now"."""
        word = self.step(column)
        if word == "now":
            return word
        return f"at step {word}" if word.isdigit() else f"at {word}"

    def step(self, column: int) -> str:
        """Return the name of a column's step."""
        number, words = column // self.packing.resources, self.problem.words.steps
        return words[number] if number < len(words) else f"step {number + 1}"

    def over_limit(self, shard: int, share: float, column: int) -> str:
        """Return in words how far a shard is over its limit: "120 % of CPU (limit 80 %)"."""
        limit = float(self.problem.headroom[shard])
        digits = next((n for n in range(DIGITS_MAX) if percent(share, n) != percent(limit, n)), DIGITS_MAX)
        return f"{percent(share, digits)} of {self.resource(column)} (limit {percent(limit, digits)})"


def share_of(use: NDArray[np.float64], capacity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return use / capacity; infinite where a capacity of 0 is used, 0 where it is infinite or not used."""
    return np.divide(use, capacity, out=np.where(use > 0, np.inf, 0.0), where=capacity > 0)


def percent(share: float, digits: int = 0) -> str:
    """Return a share in words; what is used of a capacity of 0 is beyond any number."""
    return f"{100 * share:.{digits}f} %" if np.isfinite(share) else "more than 1000 %"
