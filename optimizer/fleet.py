"""Capacity planning: the cheapest fleet of shards that holds given loads, with a proven bound (vector bin packing).

Data
    K order params, R resources, T steps, Y shard types; a column c is one (step, resource), D = T x R columns
    load[k, c] >= 0             load of order param k in column c
    limit[y, c] >= 0            capacity[y, r] x headroom of a shard of type y; infinite where the type states no limit
    price[y] > 0, most[y]       price of one shard, and how many there may be
Preparation (`optimizer.fleet_parts`)
    an order param above `split_above` of every type's limit is split evenly over the fewest shards that bring it under,
    at most `segments`; its parts, P in all, form a spread group. One that fits no type even so is left out, with the reason.
Variables
    n[y]                        shards of each type, whole
    shard_of[p]                 the shard of each part
Constraints, for every shard s of type y
    sum of load[p, c] over p with shard_of[p] = s   <=  limit[y, c] x (1 + TOLERANCE)       for every c
    members of one spread group are on different shards;  n[y] <= most[y]
Objective
    least sum of price[y] x n[y]

At every step the *sum* of the loads must fit, so order params that peak at different hours share a shard; `peaks_only` gives
the problem that ignores this (the sum of peaks must fit), for comparison.

Lower bound: `optimizer.fleet_bound`. Upper bound: `optimizer.fleet_search` packs fleets of different size by local search,
`optimizer.fleet_exact` closes small problems. `optimizer.fleet_check` verifies with code of its own. What lives here is the
contract and the order of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from optimizer.fleet_bound import FleetBound, fleet_bound
from optimizer.fleet_check import check_fleet, verify_fleet
from optimizer.fleet_parts import FleetParts, Leftover, parts_of
from optimizer.fleet_search import Found, search_fleet
from plb_ray.domain.plan import Termination

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FleetBudget", "FleetPlan", "FleetProblem", "FleetStatus", "Leftover", "ShardType", "plan_fleet", "verify_fleet"]


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
        load: (K, T, R) >= 0.
        types: shard types, at least one.
        headroom: usable share of every capacity, > 0.
        spread_group: (K,) number of the group whose members must be on different shards, or -1; None = no groups.
        segments: most shards that one order param may be split over; 1 = never split.
        split_above: order params that take more than this share of every type's limit are split, in (0, 1].
    """

    order_params: tuple[str, ...]
    resources: tuple[str, ...]
    load: NDArray[np.float64]
    types: tuple[ShardType, ...]
    headroom: float = 1.0
    spread_group: NDArray[np.int64] | None = None
    segments: int = 1
    split_above: float = 1.0

    def peaks_only(self) -> FleetProblem:
        """Return the problem in which every order param always has its highest load: packing by the sum of peaks."""
        return replace(self, load=self.load.max(axis=1, keepdims=True)) if len(self.order_params) else self


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


def plan_fleet(problem: FleetProblem, budget: FleetBudget, now_s: Callable[[], float]) -> FleetPlan:
    """Return the cheapest fleet found within the budget; it is verified.

    Args:
        problem: the loads and what shards can be had.
        budget: what may be spent.
        now_s: a clock that never goes backwards, e.g. `plb_ray.clock.monotonic_s`.

    Raises:
        BadInputError: the problem is malformed (shapes, negative loads, prices, doubled names).
    """
    end_s = now_s() + budget.wall_s
    check_fleet(problem)
    parts = parts_of(problem)
    bound = fleet_bound(parts)
    if bound.impossible:
        found = Found.nothing(parts, bound.price, bound.shards, Termination.PROVEN)
    else:
        found = search_fleet(parts, bound, budget, now_s, end_s)
    plan = _as_plan(problem, parts, bound, found)
    faults = verify_fleet(problem, plan)
    return replace(plan, status=FleetStatus.REFUSED, reason="; ".join(faults)) if faults else plan


def _as_plan(problem: FleetProblem, parts: FleetParts, bound: FleetBound, found: Found) -> FleetPlan:
    resource, step = found.binding(parts)
    status, reason = _verdict(parts, bound, found)
    price = float(sum(kind.price * count for kind, count in zip(problem.types, found.counts, strict=True)))
    lower = min(found.price_bound, price) if found.complete else found.price_bound  # both are sums of floats
    number = [0] * len(problem.types)
    names = []
    for kind in found.kind.tolist():
        number[kind] += 1
        names.append(f"{problem.types[kind].name}-{number[kind]}")
    return FleetPlan(
        status=status,
        termination=found.termination,
        counts=found.counts,
        price=price,
        lower_bound=lower,
        shards_lower_bound=found.shards_bound,
        gap=(price / lower - 1 if lower > 0 else 0.0) if found.complete else float("inf"),
        binding_resource=problem.resources[resource] if resource >= 0 else "",
        binding_step=step,
        binding_rule=bound.rule,
        shard_type=found.kind,
        shard_names=tuple(names),
        origin=parts.origin if found.complete else parts.origin[:0],
        shard_of=found.shard_of,
        leftovers=parts.leftovers,
        reason=reason,
        work=found.work,
    )


def _verdict(parts: FleetParts, bound: FleetBound, found: Found) -> tuple[FleetStatus, str]:
    if bound.impossible:
        return FleetStatus.IMPOSSIBLE, bound.impossible
    if not found.complete:
        if found.termination == Termination.PROVEN:
            return FleetStatus.IMPOSSIBLE, "no allocation to the largest fleet allowed exists (tried exhaustively)"
        return (
            FleetStatus.NOT_FOUND,
            "no allocation to a fleet within the types' limits was found; allow more shards, or time",
        )
    if parts.leftovers:
        return FleetStatus.PARTIAL, f"{len(parts.leftovers)} order params fit no shard type; the fleet is for the others"
    return (FleetStatus.OPTIMAL if found.termination == Termination.PROVEN else FleetStatus.FEASIBLE), ""
