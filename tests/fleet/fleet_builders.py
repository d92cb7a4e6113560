"""Fleet problems to test and to measure with, all from seeds."""

from itertools import product

import numpy as np

from optimizer.fleet import FleetBudget, FleetProblem, ShardType, plan_fleet
from plb_ray.clock import monotonic_s

RESOURCES = ("cpu_cores", "net_bytes_per_s", "messages_per_s")
FILL = np.array([1.0, 0.95, 0.9])  # total load of each resource, in shares of the first one's


def fleet_problem(load, types=(((1.0,), 1.0),), **options):
    """Return a problem from load (K, R) or (K, T, R), and types ((capacity, price[, most]), ...)."""
    load = np.asarray(load, dtype=np.float64)
    load = load[:, None, :] if load.ndim == 2 else load
    kinds = tuple(ShardType(f"type{y}", tuple(kind[0]), *kind[1:]) for y, kind in enumerate(types))
    names = tuple(f"p{k}" for k in range(load.shape[0]))
    if options.get("spread_group") is not None:
        options["spread_group"] = np.asarray(options["spread_group"], dtype=np.int64)
    resources = (RESOURCES + tuple(f"r{r}" for r in range(3, load.shape[2])))[: load.shape[2]]
    return FleetProblem(names, resources, load, kinds, **options)


def plan(problem, **budget):
    """Return the planned fleet, by the machine's clock."""
    return plan_fleet(problem, FleetBudget(**budget), monotonic_s)


def zipf_fleet(count, target, *, seed=1, skew=0.4, split=0.5, exponent=1.05):
    """Return `count` order params, Zipf loads over three resources that are `target` shards in total, as one type of shard.

    Args:
        count: order params.
        target: total load of the first resource, in shards.
        seed: of the loads.
        skew: how far the resources differ from order param to order param (sigma of a log-normal).
        split: order params above this share of a shard are split into equal parts on distinct shards.
        exponent: of the Zipf law.
    """
    rng = np.random.default_rng(seed)
    weight = np.arange(1, count + 1) ** (-exponent)
    rng.shuffle(weight)
    second = weight**0.85 * np.exp(rng.normal(0, skew, count))
    third = weight * np.exp(rng.normal(0, skew, count))
    load = np.stack([weight, second, third], axis=1)
    load *= target * FILL / load.sum(axis=0)
    return fleet_problem(load, (((1.0, 1.0, 1.0), 1.0),), segments=100_000, split_above=split)


def day_profiles(count, steps, rng, *, zones=((0.0, 0.5), (1 / 3, 0.3), (2 / 3, 0.2)), swing=0.6):
    """Return (count, steps) profiles of mean 1: a daily wave in one of three time zones; one in ten has a spike."""
    time = np.arange(steps) / steps
    phase = rng.choice([zone[0] for zone in zones], count, p=[zone[1] for zone in zones]) + rng.normal(0, 0.04, count)
    height = np.clip(rng.normal(swing, 0.1, count), 0, 0.95)
    profile = 1 + height[:, None] * np.cos(2 * np.pi * (time - phase[:, None]))
    width = max(1, steps // 12)
    for row in np.flatnonzero(rng.random(count) < 0.1):
        profile[row] = 0.7
        profile[row, (rng.integers(0, steps) + np.arange(width)) % steps] = 4.0
    profile *= np.exp(rng.normal(0, 0.05, profile.shape))
    return profile / profile.mean(axis=1, keepdims=True)


def three_zones(count, target, steps, *, seed=5, split=0.5, exponent=1.05):
    """Return a Zipf fleet whose loads follow the day in three time zones."""
    flat = zipf_fleet(count, target, seed=seed, split=split, exponent=exponent)
    load = flat.load * day_profiles(count, steps, np.random.default_rng(seed))[:, :, None]
    return fleet_problem(load, (((1.0, 1.0, 1.0), 1.0),), segments=100_000, split_above=split)


def cheapest_by_brute_force(problem):
    """Return the least price over every allocation of whole order params to at most K shards of every type; None if none."""
    count = len(problem.order_params)
    group = problem.spread_group if problem.spread_group is not None else np.full(count, -1)
    limits = [np.array(kind.capacity) * problem.headroom * (1 + 1e-9) for kind in problem.types]
    best = None
    for blocks in _partitions(count):
        if any(len({g for g in group[block] if g >= 0}) < (group[block] >= 0).sum() for block in blocks):
            continue
        use = [problem.load[block].sum(axis=0).max(axis=0) for block in blocks]
        choices = [[y for y, limit in enumerate(limits) if (need <= limit).all()] for need in use]
        for kinds in product(*choices):
            allowed = all(kind.most is None or kinds.count(y) <= kind.most for y, kind in enumerate(problem.types))
            price = sum(problem.types[y].price for y in kinds)
            if allowed and (best is None or price < best):
                best = price
    return best


def _partitions(count):
    """Yield every way to put 0 .. count - 1 into blocks."""
    if count == 0:
        yield []
        return
    for blocks in _partitions(count - 1):
        last = count - 1
        yield [*blocks, [last]]
        for index, block in enumerate(blocks):
            yield [*blocks[:index], [*block, last], *blocks[index + 1 :]]
