"""The packing problem behind a plan, as arrays: what loads what, who may move where, and what an allocation is worth.

Data
    K order params, S shards, D columns; a column is one (step, resource) pair, D = T x R
    load[k, c] >= 0         load of order param k in column c
    capacity[s, c] > 0      what shard s can give; infinite where the shard states no capacity (0)
    headroom in (0, 1]      usable share of every capacity
    cost[k] > 0             cost of moving k away from its current shard
Variables
    shard_of[k]             the shard of order param k
    utilisation(s, c)       sum of load[k, c] over k with shard_of[k] = s, divided by capacity[s, c]
    over(s, c)              max(0, utilisation(s, c) - headroom), taken as 0 up to TOLERANCE
Constraints
    shard_of[k] = current[k], or k is movable and shard_of[k] is not draining
    a shard without overload at the current allocation has none at the new one
    at most budget_moves order params leave their current shard
Objective, lexicographic
    overload = sum over s, c of over(s, c)
    cost     = sum of cost[k] over k with shard_of[k] != current[k]
    spread   = highest utilisation among the shards that overload now + highest among the others that receive something:
               the smaller, the more margin is left

Loads of different steps are never merged: a shard is full when the *sum* at one step is, not when the sum of peaks is.
What lives here is data and arithmetic; how to find a good `shard_of` is in `greedy` and `cpsat`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from plb_ray.domain.load import RESOURCES
from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.domain.plan import PlanProblem

TOLERANCE = 1e-7  # overload below this share of a capacity is rounding noise
OVERLOAD_RESOLUTION = 1e-5  # totals of overload that differ by less are equal, unless one of them is 0


class Score(NamedTuple):
    """The lexicographic goal; smaller is better. Compare with `better_than`, which forgives rounding noise."""

    overload: float
    cost: float
    spread: float

    def better_than(self, other: Score) -> bool:
        """Return whether this score is smaller by more than rounding noise at the first goal that differs."""
        if (self.overload == 0) != (other.overload == 0):
            return self.overload == 0
        if abs(self.overload - other.overload) > OVERLOAD_RESOLUTION:
            return self.overload < other.overload
        for mine, theirs in ((self.cost, other.cost), (self.spread, other.spread)):
            if abs(mine - theirs) > TOLERANCE * max(1.0, abs(theirs)):
                return mine < theirs
        return False


@dataclass(frozen=True, eq=False)
class Packing:
    """One packing problem; see the module's mathematics.

    Attributes:
        load: (K, D) in units of the resource.
        capacity: (S, D), infinite where there is no limit.
        current: (K,) index of a shard.
        movable: (K,).
        receives: (S,) False for a draining shard.
        cost: (K,) > 0.
    """

    load: NDArray[np.float64]
    capacity: NDArray[np.float64]
    current: NDArray[np.int64]
    movable: NDArray[np.bool_]
    receives: NDArray[np.bool_]
    cost: NDArray[np.float64]
    headroom: float
    budget_moves: int

    @property
    def shards(self) -> int:
        """S."""
        return int(self.capacity.shape[0])

    def use(self, shard_of: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (S, D): the load on each shard."""
        columns = [np.bincount(shard_of, weights=column, minlength=self.shards) for column in self.load.T]
        return np.stack(columns, axis=1) if columns else np.zeros(self.capacity.shape)

    def over(self, utilisation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the utilisation above the headroom, elementwise; 0 up to the tolerance."""
        excess = utilisation - self.headroom
        return np.where(excess > TOLERANCE, excess, 0.0)

    @cached_property
    def utilisation_now(self) -> NDArray[np.float64]:
        """(S, D) at the current allocation."""
        return self.use(self.current) / self.capacity

    @cached_property
    def over_now(self) -> NDArray[np.float64]:
        """(S, D) at the current allocation."""
        return self.over(self.utilisation_now)

    @cached_property
    def hot(self) -> NDArray[np.bool_]:
        """(S,) shards with overload at the current allocation."""
        return np.asarray(self.over_now.any(axis=1), dtype=np.bool_)

    def score(self, shard_of: NDArray[np.int64]) -> Score:
        """Return what an allocation is worth."""
        utilisation = self.use(shard_of) / self.capacity
        moved = shard_of != self.current
        receiving = np.zeros(self.shards, dtype=np.bool_)
        receiving[shard_of[moved]] = True
        margins = (self.hot, receiving & ~self.hot)
        return Score(
            overload=float(self.over(utilisation).sum()),
            cost=float(self.cost[moved].sum()),
            spread=sum(float(utilisation[shards].max(initial=0.0)) for shards in margins),
        )

    def allows(self, shard_of: NDArray[np.int64]) -> bool:
        """Return whether an allocation keeps every constraint (and not only the goal)."""
        moved = shard_of != self.current
        newly_hot = self.over(self.use(shard_of) / self.capacity).any(axis=1) & ~self.hot
        placed = bool((self.movable[moved] & self.receives[shard_of[moved]]).all())
        return placed and int(moved.sum()) <= self.budget_moves and not newly_hot.any()


def pack(problem: PlanProblem) -> Packing:
    """Return the packing problem of a plan problem.

    Raises:
        BadInputError: shapes do not fit together, or a number is negative, not finite or out of range.
    """
    target = problem.estimate.target
    steps = target.shape[1] if target.ndim == 3 else 0
    _check_shapes(problem)
    capacity = np.array([shard.capacity.array() for shard in problem.shards]).reshape(-1, len(RESOURCES))
    capacity = np.where(np.isfinite(capacity) & (capacity > 0), capacity, np.inf)
    packing = Packing(
        load=np.ascontiguousarray(target.reshape(target.shape[0], steps * len(RESOURCES)), dtype=np.float64),
        capacity=np.tile(capacity, (1, steps)),
        current=np.asarray(problem.current, dtype=np.int64),
        movable=np.asarray(problem.movable, dtype=np.bool_),
        receives=np.array([not shard.draining for shard in problem.shards], dtype=np.bool_),
        cost=np.asarray(problem.move_cost, dtype=np.float64),
        headroom=problem.headroom,
        budget_moves=max(0, problem.budget_moves),
    )
    _check_numbers(packing, problem.estimate.order_params)
    return packing


def _check_shapes(problem: PlanProblem) -> None:
    names, target = problem.estimate.order_params, problem.estimate.target
    count = len(names)
    expected = (count, len(problem.estimate.starts_s), len(RESOURCES))
    if target.shape != expected:
        raise BadInputError(
            f"plan problem: the load's shape is {target.shape}, not (order params, steps, resources) = {expected}"
        )
    for field in ("current", "movable", "move_cost"):
        shape = getattr(problem, field).shape
        if shape != (count,):
            raise BadInputError(f"plan problem: {field} has shape {shape}, expected ({count},), one entry per order param")
    if len(set(names)) != count:
        raise BadInputError("plan problem: an order param is listed twice")
    if not 0 < problem.headroom <= 1:
        raise BadInputError(f"plan problem: headroom is {problem.headroom}, it must be above 0 and at most 1")


def _check_numbers(packing: Packing, names: tuple[str, ...]) -> None:
    def refuse(bad: NDArray[np.bool_], what: str) -> None:
        if bad.any():
            raise BadInputError(f"plan problem: order param {names[int(np.argmax(bad))]!r} {what}")

    sound = np.asarray((np.isfinite(packing.load) & (packing.load >= 0)).all(axis=1), dtype=np.bool_)
    refuse(~sound, "has a load that is negative or not finite")
    refuse(~(np.isfinite(packing.cost) & (packing.cost > 0)), "has a move cost that is not a number above 0")
    refuse((packing.current < 0) | (packing.current >= packing.shards), "is on a shard that does not exist")
