"""How to get from the shards there are to the fleet that is wanted: shards to start, shards to drain, and the moves.

Shards of a wanted type, or like it, are kept; fewer are wanted: the least loaded are drained; more: new ones are started.
The planner then finds the fewest moves that leave no shard above its limit at any of the steps that need most; its plan is
checked by `optimizer.checker`. A fleet as tight as the cheapest one is often too tight for it. Then the fleet's own
allocation is taken, with its shards named and its order params sent home by `optimizer.fleet_near`. Such moves are not
sequenced: on the way there a shard may be above its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.checker import PlanVerifier
from optimizer.fleet_near import near_home
from optimizer.planner import CompositePlanner
from plb_ray.domain.plan import Move, PlacementRules, PlanBudget, PlanProblem, PlanStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet import FleetPlan, FleetProblem, ShardType
    from plb_ray.control.capacity_basis import CapacityBasis

STEPS = 6  # that the moves are planned for: those that need most
SAME = 1e-6  # relative: capacities that differ by less are the same
SOUND = (PlanStatus.NOT_NEEDED, PlanStatus.OPTIMAL, PlanStatus.FEASIBLE)
FULL = "they are not sequenced, so on the way shards may be full"


@dataclass(frozen=True, eq=False)
class Realisation:
    """The way to a fleet.

    Attributes:
        start: how many shards of which type to start, by type name.
        drain: ids of shards to empty and stop.
        moves: in the order in which they should be carried out; new shards are called TYPE+1, TYPE+2, ...
        words: how far this is proven.
    """

    start: dict[str, int]
    drain: tuple[str, ...]
    moves: tuple[Move, ...]
    words: str


@dataclass(frozen=True, eq=False)
class _Site:
    """Today's shards, and those to start after them.

    Attributes:
        names: (S,).
        capacity: (S, R).
        start: how many of which type are started.
        draining: (S,) True for what is emptied.
    """

    names: tuple[str, ...]
    capacity: NDArray[np.float64]
    start: dict[str, int]
    draining: NDArray[np.bool_]


def realise(
    basis: CapacityBasis,
    problem: FleetProblem,
    load: NDArray[np.float64],
    fleet: FleetPlan,
    counts: tuple[int, ...],
    budget: PlanBudget,
) -> Realisation:
    """Return how to get to `counts` (Y,) shards of each type.

    Args:
        basis: the shards there are, and what is where; new order params come last in the problem.
        problem: what the fleet is to hold.
        load: (K, T, R) of it that add up to what each shard of the fleet carries (`planned_load`).
        fleet: holds it.
        counts: no fewer than the fleet's.
        budget: of the planner.
    """
    steps = np.sort(np.argsort(-(load / load.max(axis=(0, 1), keepdims=True).clip(1e-300)).sum(axis=(0, 2)))[:STEPS])
    site = _site(basis, load[:, steps], problem.types, counts)
    current = np.full(len(problem.order_params), -1, dtype=np.int64)
    current[: basis.owner.size] = basis.owner
    asked = _plan_problem(problem, load[:, steps], site, current, budget)
    plan = CompositePlanner().plan_if_sound(asked)
    drain = tuple(name for name, draining in zip(site.names, site.draining.tolist(), strict=True) if draining)
    if plan is not None and plan.status in SOUND:
        assert not PlanVerifier().check(asked, plan), "a plan that its own verifier refuses must not be shown"
        proven = plan.status is not PlanStatus.FEASIBLE
        words = "the fewest moves (proven)" if proven else f"within {plan.gap:.0%} of the fewest moves"
        return Realisation(site.start, drain, plan.moves, words)
    of_type = np.array([_alike(site.capacity, kind) & ~site.draining for kind in problem.types])
    shard_of = near_home(problem, fleet, site.capacity, of_type, current)
    moves = _moves(problem, fleet.origin, shard_of, site, current)
    forced = int(site.draining[current[current >= 0]].sum()) + int((current < 0).sum())
    return Realisation(site.start, drain, moves, f"{len(moves)} moves, of which {forced} cannot be avoided; {FULL}")


def _moves(
    problem: FleetProblem, origin: NDArray[np.int64], shard_of: NDArray[np.int64], site: _Site, current: NDArray[np.int64]
) -> tuple[Move, ...]:
    """Return the moves from where order params are to where their parts are to be."""
    parts = np.bincount(origin, minlength=current.size)
    moves, number = [], dict.fromkeys(range(current.size), 0)
    for row, shard in zip(origin.tolist(), shard_of.tolist(), strict=True):
        source = int(current[row])
        number[row] += parts[row] > 1
        if source != shard:
            name = site.names[source] if source >= 0 else ""
            reason = "where the fleet holds it"
            moves.append(Move(problem.order_params[row], name, site.names[shard], reason, segment=int(number[row])))
    return tuple(moves)


def _site(basis: CapacityBasis, load: NDArray[np.float64], types: tuple[ShardType, ...], counts: tuple[int, ...]) -> _Site:
    """Return which shards stay, the busiest first, and what is started beside them."""
    busy = _carried(basis, load)
    size = (busy / np.where(np.isfinite(basis.capacity), basis.capacity, np.inf)).max(axis=1, initial=0.0)
    busiest, kept = np.argsort(-size, kind="stable"), np.zeros(len(basis.shards), dtype=np.bool_)
    names, capacity, start = list(basis.shards), [basis.capacity], {}
    for kind, count in zip(types, counts, strict=True):
        stay = [row for row in busiest.tolist() if _alike(basis.capacity[[row]], kind)[0] and not kept[row]][:count]
        kept[stay] = True
        fresh = count - len(stay)
        names += [f"{kind.name}+{number + 1}" for number in range(fresh)]
        capacity.append(np.tile(np.array(kind.capacity), (fresh, 1)))
        if fresh:
            start[kind.name] = fresh
    draining = np.zeros(len(names), dtype=np.bool_)
    draining[: kept.size] = ~kept
    return _Site(tuple(names), np.concatenate(capacity), start, draining)


def _carried(basis: CapacityBasis, load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (S, R): the highest load of each shard as things are."""
    known = np.flatnonzero(basis.owner >= 0)
    use = np.zeros((len(basis.shards), *load.shape[1:]))
    np.add.at(use, basis.owner[known], load[known])
    return np.asarray(use.max(axis=1, initial=0.0), dtype=np.float64)


def _alike(capacity: NDArray[np.float64], kind: ShardType) -> NDArray[np.bool_]:
    """Return (S,) which shards of (S, R) capacities are like one of the type."""
    wanted = np.array(kind.capacity)
    finite = np.isfinite(wanted)
    near = np.abs(capacity[:, finite] - wanted[finite]) <= SAME * wanted[finite]
    return np.asarray((np.isfinite(capacity) == finite).all(axis=1) & near.all(axis=1))


def _plan_problem(
    problem: FleetProblem,
    load: NDArray[np.float64],
    site: _Site,
    current: NDArray[np.int64],
    budget: PlanBudget,
) -> PlanProblem:
    rules = PlacementRules.none(current.size, len(site.names))
    return PlanProblem(
        order_params=problem.order_params,
        shards=site.names,
        resources=problem.resources,
        load=load,
        capacity=site.capacity,
        headroom=np.full(len(site.names), problem.headroom),
        current=current,
        move_cost=np.ones(current.size),
        rules=replace(rules, draining=site.draining),
        overload_weight=np.where(np.isfinite(site.capacity), 1 / site.capacity, 1.0),
        segments=problem.segments,
        budget=budget,
    )
