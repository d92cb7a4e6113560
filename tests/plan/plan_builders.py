"""Builders of plan problems, and a brute-force planner that shares no code with the real one."""

from __future__ import annotations

from itertools import product

import numpy as np

from plb_ray.domain.plan import NOWHERE, PlacementRules, PlanBudget, PlanMode, PlanProblem, PlanWords

RESOURCES = ("cpu_cores", "memory_bytes", "io_bytes_per_s")
RESOURCE_WORDS = {"cpu_cores": "CPU", "memory_bytes": "memory", "io_bytes_per_s": "I/O"}
FIRST_STEP_MIN = 22 * 60 + 20


def problem(
    load,
    current,
    shards=2,
    *,
    capacity=1.0,
    headroom=1.0,
    cost=None,
    pinned=(),
    draining=(),
    closed=(),
    group=None,
    zones=None,
    allowed_zones=None,
    forbidden=(),
    weight=None,
    in_flight=None,
    moves_max=100,
    cost_max=float("inf"),
    wall_s=2.0,
    work=None,
    seed=1,
    gap=0.0,
    mode=PlanMode.RELIEF,
    focus=(),
    band=0.05,
    segments=1,
):
    """Build a problem of order params "op-0".. and shards "shard-0".., steps of 10 min from 22:20.

    Args:
        load: (K,), (K, T) or (K, T, R); fewer than three axes are CPU only.
        current: (K,) positions of shards, -1 for none.
        shards: S.
        capacity: a number, (S,), or (S, R); the same for every resource of a shard unless (S, R).
        headroom: a number or (S,).
        cost: (K,), 1 each if None.
        pinned: (K,) booleans, or positions of the pinned order params.
        draining: positions of shards.
        closed: positions of shards.
        group: (K,) spread groups, -1 for none.
        zones: (S,) zone numbers.
        allowed_zones: {position of an order param: set of zone numbers}; others may be in any zone.
        forbidden: pairs (order param, shard) of positions.
        weight: (S, R) of the overload; 1 / capacity if None.
        in_flight: (S,), (S, T) or (S, T, R) like `load`, or None.
        moves_max: of the budget, as are `cost_max`, `wall_s`, `work`, `seed` and `gap`.
        cost_max: for balance.
        wall_s: see `PlanBudget`.
        work: see `PlanBudget`.
        seed: see `PlanBudget`.
        gap: see `PlanBudget`.
        mode: as in `PlanProblem`, as are `focus`, `band` and `segments`.
        focus: positions of shards.
        band: of balance.
        segments: 1 for none.
    """
    load = _three_axes(load)
    count, steps, resources = load.shape
    capacity = np.asarray(capacity, dtype=float)
    if capacity.ndim < 2:
        capacity = np.tile(np.broadcast_to(capacity, (shards,))[:, None], (1, resources))
    one_unit = np.divide(1.0, capacity, out=np.ones_like(capacity), where=np.isfinite(capacity) & (capacity > 0))
    return PlanProblem(
        order_params=tuple(f"op-{k}" for k in range(count)),
        shards=tuple(f"shard-{s}" for s in range(shards)),
        resources=(*RESOURCES, *(f"resource-{r}" for r in range(3, resources)))[:resources],
        load=load,
        capacity=capacity,
        headroom=np.broadcast_to(np.asarray(headroom, dtype=float), (shards,)).copy(),
        current=np.array(current, dtype=np.int64),
        move_cost=np.ones(count) if cost is None else np.array(cost, dtype=float),
        rules=_rules(count, shards, pinned, draining, closed, group, zones, allowed_zones or {}, forbidden),
        overload_weight=one_unit if weight is None else np.array(weight, dtype=float),
        in_flight=None if in_flight is None else _three_axes(in_flight),
        mode=mode,
        focus=tuple(focus),
        band=band,
        segments=segments,
        budget=PlanBudget(wall_s=wall_s, work=work, seed=seed, moves=moves_max, cost=cost_max, gap=gap),
        words=PlanWords(tuple(_clock(FIRST_STEP_MIN + 10 * step) for step in range(steps)), "p90", RESOURCE_WORDS),
    )


def _three_axes(load):
    load = np.asarray(load, dtype=float)
    load = load[:, None] if load.ndim == 1 else load
    return np.stack([load, np.zeros_like(load), np.zeros_like(load)], axis=2) if load.ndim == 2 else load


def _clock(minutes):
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def _rules(count, shards, pinned, draining, closed, group, zones, allowed_zones, forbidden):
    sets = tuple(dict.fromkeys(frozenset(zones) for zones in allowed_zones.values()))
    zone_set = np.full(count, NOWHERE, dtype=np.int64)
    for row, row_zones in allowed_zones.items():
        zone_set[row] = sets.index(frozenset(row_zones))
    return PlacementRules(
        pinned=_flags(pinned, count),
        draining=_flags(draining, shards),
        closed=_flags(closed, shards),
        zone=np.zeros(shards, dtype=np.int64) if zones is None else np.array(zones, dtype=np.int64),
        zone_sets=sets,
        zone_set=zone_set,
        forbidden=np.array(sorted(forbidden), dtype=np.int64).reshape(-1, 2),
        spread_group=np.full(count, NOWHERE, dtype=np.int64) if group is None else np.array(group, dtype=np.int64),
    )


def _flags(which, size):
    """Return (size,) booleans from booleans or from positions."""
    which = list(which)
    if which and all(isinstance(flag, (bool, np.bool_)) for flag in which):
        return np.array(which, dtype=bool)
    flags = np.zeros(size, dtype=bool)
    flags[which] = True
    return flags


def zipf_problem(order_params, shards, steps, seed, *, utilisation=0.65, headroom=0.85, wall_s=1.0, **more):
    """Build a problem with Zipf loads over three resources and some hot shards, at a realistic size."""
    rng = np.random.default_rng(seed)
    size = 1 / np.arange(1, order_params + 1) ** 1.05
    size = np.minimum(size, size.sum() / shards * 0.3)
    rng.shuffle(size)
    per_resource = size[:, None] * np.exp(rng.normal(0, 0.3, (order_params, 3)))
    phase = rng.uniform(0, 2 * np.pi, order_params)
    profile = 1 + 0.3 * np.sin(phase[:, None] + np.arange(steps) * 0.5)
    load = per_resource[:, None, :] * profile[:, :, None]
    load *= utilisation * shards / load.sum(axis=0).max()
    weight = np.where(np.arange(shards) < max(1, shards // 4), 1.5, 1.0)
    current = rng.choice(shards, order_params, p=weight / weight.sum())
    return problem(load, current, shards, headroom=headroom, wall_s=wall_s, **{"moves_max": order_params, **more})


def brute_force(plan_problem):
    """Return the lexicographically least (broken, overload, cost) over every allocation that the rules allow.

    Overloads that differ by less than 10^-7 of the total capacity count as equal. Every order param must be whole.
    """
    owners = _allocations(plan_problem)  # (N, K)
    broken = _broken(plan_problem, owners)
    owners = owners[broken == broken.min()]
    overload = _overload(plan_problem, owners)
    owners = owners[overload <= overload.min() + 1e-6]
    leaves = (owners != plan_problem.current) & (plan_problem.current != NOWHERE)
    cost = leaves @ plan_problem.move_cost
    return int(broken.min()), float(overload.min()), float(cost.min())


def _allocations(plan_problem):
    """Return (N, K): every allocation that keeps pins, destinations, groups and the number of moves; -1 is no shard."""
    choices = [_choices(plan_problem, row) for row in range(len(plan_problem.order_params))]
    owners = np.array(list(product(*choices)), dtype=np.int64)
    owners = owners.reshape(int(np.prod([len(places) for places in choices])), len(choices))
    moved = owners != plan_problem.current
    good = moved.sum(axis=1) <= plan_problem.budget.moves
    group = plan_problem.rules.spread_group
    for one, other in product(range(len(choices)), repeat=2):
        if one != other and group[one] >= 0 and group[one] == group[other]:
            good &= ~(moved[:, one] & (owners[:, one] == owners[:, other]))
    return owners[good]


def _choices(plan_problem, row):
    """Return the shards that an order param may be on after a plan: its own first."""
    home, rules = int(plan_problem.current[row]), plan_problem.rules
    if rules.pinned[row] and home != NOWHERE:
        return [home]
    only = plan_problem.focus if plan_problem.mode is PlanMode.ADD else range(len(plan_problem.shards))
    return [home] + [s for s in only if s != home and not rules.closed[s] and _may_be(plan_problem, row, s)]


def _may_be(plan_problem, row, shard):
    rules = plan_problem.rules
    drained = rules.draining[shard] or (plan_problem.mode is PlanMode.DRAIN and shard in plan_problem.focus)
    zone_ok = rules.zone_set[row] < 0 or int(rules.zone[shard]) in rules.zone_sets[rules.zone_set[row]]
    return zone_ok and not drained and (row, shard) not in {tuple(pair) for pair in rules.forbidden.tolist()}


def _broken(plan_problem, owners):
    """Return (N,): order params where they must not be, and those beside a member of their group except one each."""
    rows, group = range(owners.shape[1]), plan_problem.rules.spread_group
    bad_place = np.array(
        [[not _may_be(plan_problem, row, shard) for shard in range(len(plan_problem.shards))] + [True] for row in rows]
    ).reshape(len(rows), len(plan_problem.shards) + 1)
    broken = bad_place[np.arange(len(rows)), owners].sum(axis=1)  # -1 picks the last column: no shard
    for number in set(group[group >= 0].tolist()):
        places = [[shard for shard in place if shard != NOWHERE] for place in owners[:, group == number].tolist()]
        broken = broken + [len(place) - len(set(place)) for place in places]
    return broken


def _overload(plan_problem, owners):
    """Return (N,): weighted load above the limits."""
    shards = len(plan_problem.shards)
    limit = (plan_problem.capacity * plan_problem.headroom[:, None])[:, None, :]  # (S, 1, R)
    there = (owners[:, None, :] == np.arange(shards)[:, None]).astype(float)  # (N, S, K)
    load = np.einsum("nsk,ktr->nstr", there, plan_problem.load)
    load = load if plan_problem.in_flight is None else load + plan_problem.in_flight
    beyond = np.where(load > limit * (1 + 1e-7), load - limit, 0.0)
    return np.einsum("nstr,sr->n", beyond, plan_problem.overload_weight)
