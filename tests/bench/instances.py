"""Seeded instances of one step: Zipf loads on heterogeneous shards, some of which a surge has overloaded.

How one comes about: shards of three sizes in three zones; loads by a Zipf law on three resources; giants cut into equal
pieces that must be on different shards; an old mapping by the power of a few choices (large ones look at every shard);
drift since then, which leaves every shard just under its limit; and a surge that lifts a share of the shards above
theirs. Instances over several steps are in `steps.py`, those like ROADEF/EURO 2012 in `machines.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.jit import kernel
from plb_ray.domain.plan import NOWHERE, PlacementRules, PlanBudget, PlanMode, PlanProblem, PlanWords

RESOURCES = ("cpu_cores", "memory_bytes", "io_bytes_per_s")
BASE = np.array([64_000.0, 262_144.0, 200_000.0])  # capacity of the smallest shard: millicores, MiB, units of I/O
ZONE_SETS = (frozenset({0, 1}), frozenset({0, 2}), frozenset({1, 2}))
LARGE = 0.02  # an order param of that share of a mean shard is placed by looking at all shards
PIECE = 0.30  # a giant's pieces are at most that share of the median shard's limit
WHOLE = 0.60  # a surge lifts no order param above that share of the median shard's limit
UNDER = 0.985  # shards without a surge are at most that full, as a share of the limit


@dataclass(frozen=True)
class Recipe:
    """What an instance is made of.

    Attributes:
        order_params, shards: sizes before giants are cut.
        utilisation: mean CPU utilisation of the whole capacity, 0..headroom.
        hot: share of the shards that surge.
        surge: range of how far above the limit a surge goes, as a share of the capacity.
        zipf: exponent of the loads.
        headroom: usable share of every capacity.
        choices: how many random shards a small order param could choose from in the old mapping.
        drift: standard deviation of ln(load now / load then).
        pinned, zone_limited, pairs: shares of the order params.
        unit_cost: every move costs 1 instead of 100 + backlog.
        fullness: use of each resource, as a share of `utilisation`.
    """

    order_params: int
    shards: int
    utilisation: float = 0.72
    hot: float = 0.05
    surge: tuple[float, float] = (0.02, 0.30)
    zipf: float = 1.05
    headroom: float = 0.9
    choices: int = 3
    drift: float = 0.10
    pinned: float = 0.01
    zone_limited: float = 0.10
    pairs: float = 0.02
    unit_cost: bool = False
    fullness: tuple[float, float, float] = (1.0, 0.88, 0.8)


def tight(order_params: int, shards: int, utilisation: float = 0.80, hot: float = 0.4) -> Recipe:
    """Return the recipe of a small instance with many hot shards and little room on any resource."""
    return Recipe(order_params, shards, utilisation, hot=hot, surge=(0.01, 0.10), fullness=(1.0, 1.0, 1.0))


def snapshot(recipe: Recipe, seed: int, budget: PlanBudget | None = None) -> PlanProblem:
    """Make an instance of one step; loads are whole numbers, the same for the same recipe and seed."""
    rng = np.random.default_rng(seed)
    capacity, zone = shards_of(recipe, rng)
    load, group = loads_of(recipe, capacity, rng)
    group = with_pairs(group, recipe.pairs, rng)
    zone_set = zone_limits(group, recipe.zone_limited, rng)
    current = old_mapping(load, capacity, zone, zone_set, group, recipe.choices, rng)
    pinned = rng.random(len(load)) < recipe.pinned
    now = _surge(recipe, _drift(recipe, load, current, capacity, rng), current, pinned, capacity, rng)
    cost = 100 + np.ceil(now[:, -1] * np.exp(rng.normal(0, 0.6, len(now))) * 0.05)
    whole = np.maximum(1.0, np.ceil(now))[:, None, :]
    cost = np.ones_like(cost) if recipe.unit_cost else cost
    return problem_of(whole, capacity, recipe.headroom, current, cost, pinned, zone, zone_set, group, seed, budget)


def problem_of(
    load, capacity, headroom, current, cost, pinned, zone, zone_set, group, seed, budget=None, resources=RESOURCES
):
    """Return the plan problem of arrays: load (K, T, R), capacity (S, R), zone (S,), the others (K,); headroom a number."""
    count, shards = len(load), len(capacity)
    return PlanProblem(
        order_params=tuple([f"op-{k}" for k in range(count)]),
        shards=tuple([f"shard-{s}" for s in range(shards)]),
        resources=resources,
        load=np.ascontiguousarray(load, dtype=np.float64),
        capacity=capacity,
        headroom=np.full(shards, headroom),
        current=current.astype(np.int64),
        move_cost=cost.astype(np.float64),
        rules=PlacementRules(
            pinned=pinned,
            draining=np.zeros(shards, dtype=np.bool_),
            closed=np.zeros(shards, dtype=np.bool_),
            zone=zone.astype(np.int64),
            zone_sets=ZONE_SETS,
            zone_set=zone_set,
            forbidden=np.zeros((0, 2), dtype=np.int64),
            spread_group=group,
        ),
        overload_weight=1.0 / capacity,
        mode=PlanMode.RELIEF,
        budget=budget or PlanBudget(seed=seed),
        words=PlanWords(tuple([f"step {t}" for t in range(load.shape[1])])),
    )


def shards_of(recipe, rng):
    """Return whole capacities (S, R) and zones (S,)."""
    size = rng.choice([1.0, 1.0, 1.0, 2.0, 2.0, 4.0], recipe.shards)
    capacity = np.floor(BASE * size[:, None] * np.exp(rng.normal(0, 0.05, (recipe.shards, 3))))
    return capacity, rng.integers(0, 3, recipe.shards)


def loads_of(recipe, capacity, rng):
    """Return loads (K, R) of order params, giants cut into equal pieces, and the group (K,) of each: -1 or its giant."""
    weight = np.arange(1, recipe.order_params + 1, dtype=np.float64) ** -recipe.zipf
    rng.shuffle(weight)
    memory = weight**0.85 * np.exp(rng.normal(0, 0.5, recipe.order_params))
    load = np.stack([weight, memory, weight * np.exp(rng.normal(0, 0.4, recipe.order_params))], axis=1)
    load *= recipe.utilisation * np.array(recipe.fullness) * capacity.sum(axis=0) / load.sum(axis=0)
    piece = PIECE * np.median(capacity, axis=0) * recipe.headroom
    pieces = np.minimum(np.ceil((load / piece).max(axis=1)).astype(np.int64), recipe.shards)
    giant = np.flatnonzero(pieces > 1)
    group = np.full(recipe.order_params, NOWHERE, dtype=np.int64)
    group[giant] = np.arange(giant.size)
    return np.repeat(load / pieces[:, None], pieces, axis=0), np.repeat(group, pieces)


def with_pairs(group, share, rng):
    """Return groups with random pairs added, so many that `share` of the order params are in one."""
    free = np.flatnonzero(group < 0)
    pair = rng.choice(free, size=(min(free.size // 2, int(group.size * share / 2)), 2), replace=False)
    group = group.copy()
    group[pair] = (group.max(initial=-1) + 1 + np.arange(len(pair)))[:, None]
    return group


def zone_limits(group, share, rng):
    """Return (K,): the zone set of each order param, -1 for most and for those in groups."""
    limited = (rng.random(group.size) < share) & (group < 0)
    return np.where(limited, rng.integers(0, len(ZONE_SETS), group.size), NOWHERE)


def old_mapping(load, capacity, zone, zone_set, group, choices, rng, *, peak=True):
    """Return (K,): where each order param (load (K, D), capacity (S, D)) was put, the largest first.

    With `peak`, to the least highest utilisation; otherwise to the least growth of the sum of fourth powers of utilisations.
    """
    share = (load / capacity.mean(axis=0)).max(axis=1)
    order = np.argsort(-share, kind="stable")
    drawn = rng.integers(0, len(capacity), (len(load), max(2, choices)))
    zone_ok = np.array([[z in zones for z in zone.tolist()] for zones in ZONE_SETS] + [[True] * len(zone)])
    start, member = rows_of(group)
    return _place(
        np.ascontiguousarray(load),
        1.0 / capacity,
        order,
        drawn,
        share > LARGE,
        zone_ok,
        zone_set,
        group,
        start,
        member,
        peak,
    )


def rows_of(group):
    """Return start (G + 1,) and member (M,): the members of each group as compressed rows."""
    members = np.flatnonzero(group >= 0)
    members = members[np.argsort(group[members], kind="stable")]
    counts = np.bincount(group[members], minlength=group.max(initial=-1) + 1)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), members


@kernel
def _place(load, per_unit, order, drawn, large, zone_ok, zone_set, group, start, member, peak):
    """Place each order param on the best of its drawn shards, or of all if it is large or none of those may be."""
    shards = per_unit.shape[0]
    use = np.zeros((shards, load.shape[1]))  # utilisation
    owner = np.full(load.shape[0], -1, np.int64)
    taken_by = np.full(shards, -1, np.int64)  # the last order param that had a member of its group there
    for k in order:
        _mark(k, group, start, member, owner, taken_by)
        best, lowest = -1, np.inf
        for attempt in range(2):
            every = attempt == 1 or large[k]
            for c in range(shards if every else drawn.shape[1]):
                s = c if every else drawn[k, c]
                if zone_ok[zone_set[k], s] and taken_by[s] != k:
                    worth = _worth(use[s], load[k], per_unit[s], peak)
                    if worth < lowest:
                        best, lowest = s, worth
            if best >= 0 or every:
                break
        owner[k] = best
        for column in range(load.shape[1]):
            use[best, column] += load[k, column] * per_unit[best, column]
    return owner


@kernel
def _mark(k, group, start, member, owner, taken_by):
    """Note for k where members of its group are."""
    if group[k] >= 0:
        for m in range(start[group[k]], start[group[k] + 1]):
            if owner[member[m]] >= 0:
                taken_by[owner[member[m]]] = k


@kernel
def _worth(use, load, per_unit, peak):
    worth = 0.0
    for column in range(use.size):
        then = use[column] + load[column] * per_unit[column]
        worth = max(worth, then) if peak else worth + (then * then) ** 2 - (use[column] * use[column]) ** 2
    return worth


def _drift(recipe, load, current, capacity, rng):
    """Return loads of now, scaled down on shards that would exceed `UNDER` x headroom."""
    count = len(load)
    now = load * np.exp(rng.normal(0, recipe.drift, count))[:, None] * np.exp(rng.normal(0, recipe.drift / 3, load.shape))
    highest = (use_of(now, current, len(capacity)) / capacity).max(axis=1)
    return now * np.minimum(1.0, UNDER * recipe.headroom / np.maximum(highest, 1e-12))[current][:, None]


def _surge(recipe, load, current, pinned, capacity, rng):
    """Return loads with a share of the shards lifted above the limit, by the growth of 30 % of their order params.

    Pinned ones do not grow, and none beyond `WHOLE`: what nobody could place would make overload that has to stay.
    """
    shards, before, load = len(capacity), load, load.copy()
    by_shard = np.argsort(current, kind="stable")
    start = np.searchsorted(current[by_shard], np.arange(shards + 1))
    for shard in rng.choice(shards, max(1, round(recipe.hot * shards)), replace=False):
        here = by_shard[start[shard] : start[shard + 1]]
        target = recipe.headroom + rng.uniform(*recipe.surge)
        free = here[~pinned[here]]
        grown = free[rng.random(free.size) < 0.3]
        total = load[here].sum(axis=0)
        resource = int(np.argmax(total / capacity[shard]))
        missing = target * capacity[shard, resource] - total[resource]
        if grown.size == 0 or missing > 5 * load[grown, resource].sum():
            grown = free
        if grown.size:
            load[grown] *= 1 + missing / load[grown, resource].sum()
    return np.minimum(load, np.maximum(before, WHOLE * recipe.headroom * np.median(capacity, axis=0)))


def use_of(load, owner, shards):
    """Return (S, D): the sums of loads (K, D) by shard."""
    return np.stack([np.bincount(owner, weights=load[:, c], minlength=shards) for c in range(load.shape[1])], axis=1)
