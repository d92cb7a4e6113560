"""Capacity planning: how many shards, of which type, a demand needs so that the risk of overload stays below alpha.

    basis --profile, what if--> demand --cost--> loads --optimizer.fleet--> fleet, bound --planner--> how to get there

The risk. A shard's load is a sum, and quantiles do not add up (`plb_ray.estimate.load`): with mean m_k and excess e_k of
its order params a shard carries sum m_k + sqrt(rho (sum e_k)^2 + (1 - rho) sum e_k^2), and the fleet is planned with just
that (`optimizer.fleet_pool`). Bounds are proven for it.

Zones. So that any one of Z zones may be lost, each type gets the fewest shards of which, spread evenly, those outside the
largest zone are as many as the demand needs.

Axes: K order params, T steps, R resources, B shards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet import FleetBudget, FleetProblem, FleetStatus, ShardType
from optimizer.fleet_pool import planned_load, shard_loads
from optimizer.fleet_steps import plan_over_steps
from plb_ray.control.elastic import shards_needed
from plb_ray.domain.plan import PlanBudget
from plb_ray.errors import BadInputError
from plb_ray.estimate.pooling import CORRELATION
from service.capacity_demand import demand
from service.capacity_realise import Realisation, realise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from optimizer.fleet import FleetPlan
    from plb_ray.control.capacity_basis import CapacityBasis
    from service.capacity_ask import CapacityAsk, TypeAsked
    from service.capacity_demand import Demand

LARGEST_SHARE = 0.87  # of a shard that is made up for want of any: the largest order param fills so much of it
STANDARD = "standard"
FLEET_SHARE, REALISE_SHARE = 0.35, 0.15  # of the time
HOLDS = 1e-6
GAP = 0.01


@dataclass(frozen=True, eq=False)
class Hours:
    """How many shards of one type each step needs by itself.

    Attributes:
        starts_s: (T,) start of each step.
        needed: (T,) shards that hold it, found by filling them one after the other.
        proven: (T,) no fewer can: the total load of the scarcest resource, rounded up to whole shards.
        binding: (T,) that resource.
    """

    shard_type: str
    starts_s: NDArray[np.int64]
    needed: NDArray[np.int64]
    proven: NDArray[np.int64]
    binding: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Capacity:
    """The answer to one question.

    Attributes:
        types: what could be had.
        fleet: the cheapest found that holds at every step, without regard to zones; with its bounds.
        counts: (Y,) shards of each type to have, a lost zone included.
        price, price_bound, shards_bound: of these; the bounds are proven.
        risk: highest probability, over shards, steps and resources, that a load is above the usable capacity; a normal law
            through mean and quantile. 0 where there is no fleet.
        hours: how many shards each hour.
        realisation: how to get there from the shards there are; None where there are none, or no fleet.
        notes: how the question was understood and the demand foreseen, in words.
        took_s: time for the answer.
    """

    ask: CapacityAsk
    demand: Demand
    resources: tuple[str, ...]
    types: tuple[ShardType, ...]
    fleet: FleetPlan
    counts: tuple[int, ...]
    price: float
    price_bound: float
    shards_bound: int
    risk: float
    hours: Hours
    realisation: Realisation | None
    notes: tuple[str, ...]
    took_s: float

    @property
    def shards(self) -> int:
        """How many, of all types."""
        return sum(self.counts)


def capacity(basis: CapacityBasis, ask: CapacityAsk, now_s: Callable[[], float]) -> Capacity:
    """Answer a capacity question.

    Args:
        basis: history, costs and shards.
        ask: the question.
        now_s: a clock that never goes backwards.

    Raises:
        NoForecastError: the history is too short.
        BadInputError: a pattern matches nothing, or a type limits no resource that there is.
    """
    started_s = now_s()
    coming = demand(basis, ask)
    cost, fixed = basis.per_message[coming.like], basis.fixed[coming.like]
    mean = coming.mean[:, :, None] * cost[:, None] + fixed[:, None]  # (K, T, R)
    excess = (coming.upper - coming.mean)[:, :, None] * cost[:, None]
    types, notes = _types(basis, ask, mean + excess)
    problem = FleetProblem(
        coming.order_params,
        basis.resources,
        mean,
        types,
        ask.headroom,
        segments=ask.segments,
        excess=excess,
        correlation=CORRELATION,
    )
    budget = FleetBudget(wall_s=FLEET_SHARE * ask.deadline_s, seed=ask.seed, gap=GAP)
    fleet = plan_over_steps(problem, budget, now_s).plan
    load = planned_load(problem, fleet)
    counts = tuple(with_zone_lost(count, ask.zones) for count in fleet.counts)
    price = float(sum(kind.price * count for kind, count in zip(types, counts, strict=True)))
    bound = _bounds(fleet, types, ask.zones)
    main = int(np.argmax(fleet.counts)) if fleet.counts and fleet.shards else 0
    limit = np.array(types[main].capacity) * ask.headroom
    realisation = None
    if basis.shards and fleet.shards:
        planner = PlanBudget(wall_s=REALISE_SHARE * ask.deadline_s, seed=ask.seed)
        realisation = realise(basis, problem, load, fleet, counts, planner)
    return Capacity(
        ask=ask,
        demand=coming,
        resources=basis.resources,
        types=types,
        fleet=fleet,
        counts=counts,
        price=price,
        price_bound=bound[0],
        shards_bound=bound[1],
        risk=_risk(problem, fleet, ask.alpha),
        hours=_hours(coming, load, limit, types[main].name, basis.resources),
        realisation=realisation,
        notes=(*notes, *coming.notes),
        took_s=now_s() - started_s,
    )


def with_zone_lost(needed: int, zones: int) -> int:
    """Return the fewest shards, spread evenly over the zones, of which `needed` are left when the largest zone is lost."""
    if zones == 1 or needed == 0:
        return needed
    total = needed
    while total - -(-total // zones) < needed:
        total += 1
    return total


def _bounds(fleet: FleetPlan, types: tuple[ShardType, ...], zones: int) -> tuple[float, int]:
    """Return proven bounds on price and shards, a lost zone included.

    Of any fleet that may lose a zone, the largest zone has 1/Z of the shards or more. With one type its price follows; with
    several, what is left must itself cost the bound, and what is lost costs something on top that is not counted.
    """
    shards = with_zone_lost(fleet.shards_lower_bound, zones)
    if len(types) == 1:
        return max(fleet.lower_bound, shards * types[0].price), shards
    return fleet.lower_bound, shards


def _types(
    basis: CapacityBasis, ask: CapacityAsk, load: NDArray[np.float64]
) -> tuple[tuple[ShardType, ...], tuple[str, ...]]:
    """Return the types that can be had, and notes on those that nobody stated."""
    if ask.types:
        return tuple(_type(basis.resources, each) for each in ask.types), ()
    if basis.shards:
        least = basis.capacity.min(axis=0)
        return (ShardType(STANDARD, tuple(least.tolist())),), ("no type was given: shards like the smallest there is",)
    largest = load.max(axis=(0, 1), initial=0.0) / LARGEST_SHARE / ask.headroom
    size = tuple(np.where(largest > 0, largest, np.inf).tolist())
    words = ", ".join(f"{each:,.4g} {name}" for name, each in zip(basis.resources, size, strict=True))
    note = f"no type was given: one is made up that the largest order param fills to {LARGEST_SHARE:.0%}, with {words}"
    return (ShardType(STANDARD, size),), (note,)


def _type(resources: tuple[str, ...], asked: TypeAsked) -> ShardType:
    unknown = set(asked.capacity) - set(resources)
    if unknown:
        raise BadInputError(
            f"capacity question, type {asked.name!r}: there is no resource {min(unknown)!r}; use {', '.join(resources)}"
        )
    capacity_of = tuple(asked.capacity.get(name, np.inf) for name in resources)
    return ShardType(asked.name, capacity_of, asked.price, asked.most)


def _limits(problem: FleetProblem, fleet: FleetPlan) -> NDArray[np.float64]:
    """Return (B, R) what each shard of the fleet may carry."""
    return np.array([problem.types[kind].capacity for kind in fleet.shard_type.tolist()]) * problem.headroom


def _risk(problem: FleetProblem, fleet: FleetPlan, alpha: float) -> float:
    """Return the highest probability of a load above the limit; see `Capacity`."""
    from scipy.stats import norm  # noqa: PLC0415 - slow to import

    if not fleet.shards:
        return 0.0
    limit = _limits(problem, fleet)[:, None, :]
    expected = shard_loads(replace(problem, excess=None), fleet)
    pooled = shard_loads(problem, fleet) - expected
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(pooled > 0, (limit - expected) / pooled, np.where(expected <= limit * (1 + HOLDS), np.inf, -np.inf))
    return float(norm.sf(float(away.min()) * norm.isf(alpha)))


def _hours(
    coming: Demand, load: NDArray[np.float64], limit: NDArray[np.float64], name: str, resources: tuple[str, ...]
) -> Hours:
    share = load.sum(axis=0) / limit  # (T, R)
    scarcest = share.argmax(axis=1)
    proven = np.ceil(share.max(axis=1) * (1 - 1e-9)).astype(np.int64)
    return Hours(
        shard_type=name,
        starts_s=coming.starts_s,
        needed=shards_needed(load, limit),
        proven=proven,
        binding=tuple(resources[each] for each in scarcest.tolist()),
    )


def answered(found: Capacity) -> bool:
    """Return whether there is a fleet to have."""
    return found.fleet.status in (FleetStatus.OPTIMAL, FleetStatus.FEASIBLE, FleetStatus.PARTIAL)
