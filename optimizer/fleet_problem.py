"""What capacity planning is asked and answers: the contract of `optimizer.fleet`, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet_parts import Leftover
    from plb_ray.domain.plan import Termination


@dataclass(frozen=True)
class ShardType:
    """One kind of shard that can be had.

    Attributes:
        capacity: (R,) >= 0; infinite where there is no limit.
        price: of one shard, e.g. per hour, > 0.
        most: how many there may be; None = any number.
    """

    name: str
    capacity: tuple[float, ...]
    price: float = 1.0
    most: int | None = None


@dataclass(frozen=True, eq=False)
class FleetProblem:
    """What a fleet is planned for: K order params, T steps, R resources.

    Attributes:
        order_params: (K,) names.
        resources: (R,) names.
        load: (K, T, R) >= 0; with `excess` the mean load.
        types: shard types, at least one.
        headroom: usable share of every capacity, > 0.
        spread_group: (K,) number of the group whose members must be on different shards, or -1; None = no groups.
        segments: most shards that one order param may be split over; 1 = never split.
        split_above: order params that take more than this share of every type's limit are split, in (0, 1].
        excess: (K, T, R) >= 0 by how much the load may exceed `load`; see `optimizer.fleet_pool`. None = loads are certain.
        correlation: of these, in [0, 1].
    """

    order_params: tuple[str, ...]
    resources: tuple[str, ...]
    load: NDArray[np.float64]
    types: tuple[ShardType, ...]
    headroom: float = 1.0
    spread_group: NDArray[np.int64] | None = None
    segments: int = 1
    split_above: float = 1.0
    excess: NDArray[np.float64] | None = None
    correlation: float = 0.0

    def at(self, steps: list[int]) -> FleetProblem:
        """Return the problem of some of its steps."""
        load = np.ascontiguousarray(self.load[:, steps])
        excess = None if self.excess is None else np.ascontiguousarray(self.excess[:, steps])
        return replace(self, load=load, excess=excess)

    def peaks_only(self) -> FleetProblem:
        """Return the problem in which every order param always has its highest load: packing by the sum of peaks."""
        if not len(self.order_params):
            return self
        excess = None if self.excess is None else self.excess.max(axis=1, keepdims=True)
        return replace(self, load=self.load.max(axis=1, keepdims=True), excess=excess)


@dataclass(frozen=True)
class FleetBudget:
    """What planning a fleet may spend.

    Attributes:
        wall_s: seconds until the best fleet found so far is returned.
        work: local search steps; given, the fleet depends on problem and seed alone, unless `wall_s` ends it first.
        seed: of every random choice.
        gap: stop when the price is within this share of its bound.
    """

    wall_s: float = 10.0
    work: int | None = None
    seed: int = 1
    gap: float = 0.0


class FleetStatus(StrEnum):
    """How far a fleet may be trusted. Why planning stopped is `Termination`."""

    OPTIMAL = "optimal"  # proven to be the cheapest
    FEASIBLE = "feasible"  # the gap says how far the price may be from the cheapest
    PARTIAL = "partial"  # holds all but `FleetPlan.leftovers`, which fit no type even split
    IMPOSSIBLE = "impossible"  # proven: no fleet within the types' `most` holds the loads; `reason` says why
    NOT_FOUND = "not_found"  # no fleet within the types' `most` was found, and none is excluded
    REFUSED = "refused"  # the verifier found a fault, named in `reason`; the fleet must not be used


@dataclass(frozen=True, eq=False)
class FleetPlan:
    """The cheapest fleet found: B shards, P parts of order params.

    Attributes:
        counts: (Y,) shards of each type.
        price: of the fleet.
        lower_bound: proven: no fleet that holds the same parts is cheaper.
        shards_lower_bound: proven: no fleet that holds the same parts has fewer shards, whatever its price.
        gap: price / lower_bound - 1.
        binding_resource, binding_step: what is scarcest in this fleet: the load closest to the limit, over all shards.
        binding_rule: what the lower bound follows from.
        shard_type: (B,) type of each shard, in the order of the types.
        shard_names: (B,) e.g. "large-3".
        origin: (P,) index of each part's order param.
        shard_of: (P,) index of each part's shard.
        leftovers: order params that fit no type, with the reason.
        reason: in words, where there is no fleet; else empty.
        work: local search steps taken.
    """

    status: FleetStatus
    termination: Termination
    counts: tuple[int, ...]
    price: float
    lower_bound: float
    shards_lower_bound: int
    gap: float
    binding_resource: str
    binding_step: int
    binding_rule: str
    shard_type: NDArray[np.int64]
    shard_names: tuple[str, ...]
    origin: NDArray[np.int64]
    shard_of: NDArray[np.int64]
    leftovers: tuple[Leftover, ...]
    reason: str
    work: int

    @property
    def shards(self) -> int:
        """B."""
        return sum(self.counts)
