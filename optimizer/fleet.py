"""Capacity planning: the cheapest fleet of shards that holds given loads, with a proven bound (vector bin packing).

Data
    K order params, R resources, T steps, Y shard types; a column c is one (step, resource), D = T x R columns
    load[k, c] >= 0             load of order param k in column c; uncertain loads add up as `optimizer.fleet_pool` says
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

from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.fleet_bound import FleetBound, fleet_bound
from optimizer.fleet_check import check_fleet, verify_fleet
from optimizer.fleet_parts import FleetParts, Leftover, parts_of
from optimizer.fleet_problem import FleetBudget, FleetPlan, FleetProblem, FleetStatus, ShardType
from optimizer.fleet_search import Found, search_fleet
from plb_ray.domain.plan import Termination

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["FleetBudget", "FleetPlan", "FleetProblem", "FleetStatus", "Leftover", "ShardType", "plan_fleet", "verify_fleet"]


def plan_fleet(
    problem: FleetProblem, budget: FleetBudget, now_s: Callable[[], float], earlier: FleetPlan | None = None
) -> FleetPlan:
    """Return the cheapest fleet found within the budget; it is verified.

    Args:
        problem: the loads and what shards can be had.
        budget: what may be spent.
        now_s: a clock that never goes backwards, e.g. `plb_ray.clock.monotonic_s`.
        earlier: a fleet of the same types for nearly the same order params, to begin with.

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
        found = search_fleet(parts, bound, budget, now_s, end_s, earlier)
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
