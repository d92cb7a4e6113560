"""How to get from the shards there are to the fleet that is wanted: shards to start, shards to drain, and the moves.

Shards of a wanted type, or like it, are kept; fewer are wanted: the least loaded are drained; more: new ones are started.
The planner then finds the fewest moves that leave no shard above its limit at any of the steps that need most; its plan is
checked by `optimizer.checker`. Where it finds none, the fleet's own allocation is taken, which `optimizer.fleet_check` has
checked, with its shards matched to those there are so that the most load stays where it is (an assignment problem; Kuhn,
"The Hungarian method", 1955). Such moves are not sequenced: on the way there a shard may be above its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.checker import PlanVerifier
from optimizer.planner import CompositePlanner
from plb_ray.domain.plan import Move, PlacementRules, PlanBudget, PlanProblem, PlanStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet import FleetPlan, ShardType
    from plb_ray.control.capacity_basis import CapacityBasis
    from service.capacity_ask import CapacityAsk
    from service.capacity_demand import Demand

STEPS = 6  # that the moves are planned for: those that need most
SAME = 1e-6  # relative: capacities that differ by less are the same


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


def realise(
    basis: CapacityBasis,
    coming: Demand,
    load: NDArray[np.float64],
    fleet: FleetPlan,
    counts: tuple[int, ...],
    types: tuple[ShardType, ...],
    ask: CapacityAsk,
    wall_s: float,
) -> Realisation:
    """Return how to get to `counts` (Y,) shards of each type; `load` (K, T, R) is what they are to hold."""
    steps = np.sort(np.argsort(-(load / load.max(axis=(0, 1), keepdims=True).clip(1e-300)).sum(axis=(0, 2)))[:STEPS])
    busy = _carried(basis, load[:, steps])
    kept, start = _kept(basis, busy, types, counts)
    drain = tuple(name for row, name in enumerate(basis.shards) if row not in kept)
    fresh = [(f"{name}+{number + 1}", kind) for kind, (name, count) in enumerate(start.items()) for number in range(count)]
    capacity = np.concatenate(
        [basis.capacity, np.array([types[kind].capacity for _, kind in fresh]).reshape(-1, busy.shape[1])]
    )
    names = (*basis.shards, *(name for name, _ in fresh))
    problem = _problem(basis, coming, load[:, steps], capacity, names, drain, ask, wall_s)
    plan = CompositePlanner().plan(problem)
    started = {name: count for name, count in start.items() if count}
    if plan.status in (PlanStatus.NOT_NEEDED, PlanStatus.OPTIMAL, PlanStatus.FEASIBLE):
        assert not PlanVerifier().check(problem, plan), "a plan that its own verifier refuses must not be shown"
        proven = plan.status is not PlanStatus.FEASIBLE
        words = "the fewest moves (proven)" if proven else f"within {plan.gap:.0%} of the fewest moves"
        return Realisation(started, drain, plan.moves, words)
    words = (
        "the fleet's own allocation, as the planner found no sequence of moves in its time; on the way shards may be full"
    )
    return Realisation(started, drain, _matched(problem, fleet, load[:, steps], capacity, types), words)


def _matched(
    problem: PlanProblem,
    fleet: FleetPlan,
    load: NDArray[np.float64],
    capacity: NDArray[np.float64],
    types: tuple[ShardType, ...],
) -> tuple[Move, ...]:
    """Return the moves from the present mapping to the fleet's own allocation."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import

    weight = (load / load.sum(axis=0, keepdims=True).clip(1e-300)).max(axis=(1, 2))  # (K,)
    stays = np.zeros((fleet.shards, len(problem.shards)))
    here = problem.current[fleet.origin]
    np.add.at(stays, (fleet.shard_of[here >= 0], here[here >= 0]), weight[fleet.origin[here >= 0]])
    for row, kind in enumerate(fleet.shard_type.tolist()):
        fits = np.array([_same(each, types[kind]) for each in capacity]) & ~problem.rules.draining
        stays[row, ~fits] = -1.0 - weight.sum()
    rows, columns = linear_sum_assignment(stays, maximize=True)
    shard_at = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    parts = np.bincount(fleet.origin)
    moves, number = [], dict.fromkeys(range(len(problem.order_params)), 0)
    for origin, shard in zip(fleet.origin.tolist(), fleet.shard_of.tolist(), strict=True):
        source, destination = int(problem.current[origin]), shard_at[shard]
        number[origin] += parts[origin] > 1
        if source != destination:
            name = problem.shards[source] if source >= 0 else ""
            reason = "where the cheapest fleet holds it"
            moves.append(
                Move(problem.order_params[origin], name, problem.shards[destination], reason, segment=int(number[origin]))
            )
    return tuple(moves)


def _carried(basis: CapacityBasis, load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (S, R): the highest load of each shard as things are."""
    known = np.flatnonzero(basis.owner >= 0)
    use = np.zeros((len(basis.shards), *load.shape[1:]))
    np.add.at(use, basis.owner[known], load[known])
    return np.asarray(use.max(axis=1, initial=0.0), dtype=np.float64)


def _kept(
    basis: CapacityBasis, busy: NDArray[np.float64], types: tuple[ShardType, ...], counts: tuple[int, ...]
) -> tuple[frozenset[int], dict[str, int]]:
    """Return which shards stay, and how many of each type are to be started."""
    size = (busy / np.where(np.isfinite(basis.capacity), basis.capacity, np.inf)).max(axis=1, initial=0.0)
    kept: set[int] = set()
    start: dict[str, int] = {}
    for kind, count in zip(types, counts, strict=True):
        alike = [
            row for row in np.argsort(-size, kind="stable").tolist() if row not in kept and _same(basis.capacity[row], kind)
        ]
        kept.update(alike[:count])
        start[kind.name] = count - len(alike[:count])
    return frozenset(kept), start


def _same(capacity: NDArray[np.float64], kind: ShardType) -> bool:
    wanted = np.array(kind.capacity)
    finite = np.isfinite(wanted)
    return bool((np.isfinite(capacity) == finite).all() and np.allclose(capacity[finite], wanted[finite], rtol=SAME))


def _problem(
    basis: CapacityBasis,
    coming: Demand,
    load: NDArray[np.float64],
    capacity: NDArray[np.float64],
    names: tuple[str, ...],
    drain: tuple[str, ...],
    ask: CapacityAsk,
    wall_s: float,
) -> PlanProblem:
    count = len(coming.order_params)
    current = np.full(count, -1, dtype=np.int64)
    current[: basis.owner.size] = basis.owner  # new tenants have no shard yet
    rules = PlacementRules.none(count, len(names))
    draining = np.array([name in drain for name in names], dtype=np.bool_)
    return PlanProblem(
        order_params=coming.order_params,
        shards=names,
        resources=basis.resources,
        load=load,
        capacity=capacity,
        headroom=np.full(len(names), ask.headroom),
        current=current,
        move_cost=np.ones(count),
        rules=PlacementRules(**{**vars(rules), "draining": draining}),
        overload_weight=np.where(np.isfinite(capacity), 1 / capacity, 1.0),
        segments=ask.segments,
        budget=PlanBudget(wall_s=wall_s, seed=ask.seed),
    )
