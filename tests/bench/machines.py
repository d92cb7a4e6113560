"""Seeded instances like those of ROADEF/EURO 2012 (machine reassignment): 12 resources in whole numbers, services, tight.

An order param is a process, a spread group a service whose processes must be on different shards, the limit a machine's
safety capacity. The limits are drawn around a hidden allocation that keeps them all, so zero overload exists unless
limits are cut; the mapping of now is that allocation after random moves, so some cells are above their limit at the
start. Every move costs 1 and every unit of overload counts 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tests.bench.instances import old_mapping, problem_of, use_of

RESOURCES = tuple(f"resource-{r}" for r in range(12))


@dataclass(frozen=True)
class Machines:
    """What an instance is made of.

    Attributes:
        processes, machines: sizes.
        service: mean number of processes in a service that has several.
        room: range of the free share of a limit in the hidden allocation.
        stirred: share of the processes that are elsewhere now.
        cut: share of the limits that are below what the hidden allocation needs; above 0, overload may have to remain.
    """

    processes: int
    machines: int
    service: float = 6.0
    room: tuple[float, float] = (0.01, 0.10)
    stirred: float = 0.10
    cut: float = 0.0


def machines(recipe: Machines, seed: int, budget=None):
    """Make an instance of one step."""
    rng = np.random.default_rng(seed)
    count, shards = recipe.processes, recipe.machines
    load = np.ceil(_sizes(count, rng))
    service = _services(recipe, rng)
    anywhere, zone = np.full(count, -1), rng.integers(0, 3, shards)
    even = np.tile(load.sum(axis=0) / shards, (shards, 1)) * np.exp(rng.normal(0, 0.3, (shards, 1)))
    hidden = old_mapping(load, even, zone, anywhere, service, 4, rng)
    limit = np.ceil(use_of(load, hidden, shards) * (1 + rng.uniform(*recipe.room, (shards, 12))))
    limit = np.maximum(limit, np.ceil(0.5 * even))
    less = rng.random(limit.shape) < recipe.cut
    limit = np.where(less, np.floor(0.85 * limit), limit)
    now = _stir(hidden, service, shards, recipe.stirred, rng)
    none = np.zeros(count, dtype=np.bool_)
    problem = problem_of(
        load[:, None, :], limit, 1.0, now, np.ones(count), none, zone, anywhere, service, seed, budget, RESOURCES
    )
    return replace(problem, overload_weight=np.ones_like(limit))


def _sizes(count, rng):
    """Return (K, 12): log-normal sizes; resources go together in part; one in five needs is zero for some resources."""
    common = np.exp(rng.normal(0, 1.0, count))
    own = np.exp(rng.normal(0, 0.8, (count, 12)))
    needs = rng.random((count, 12)) > np.linspace(0.0, 0.4, 12)
    return common[:, None] * own * needs * 200.0


def _services(recipe: Machines, rng):
    """Return (K,): services of varied size, none larger than two thirds of the machines; -1 for processes on their own."""
    largest, sizes, left = max(2, 2 * recipe.machines // 3), [], recipe.processes
    while left > 0:
        size = 1 if rng.random() < 0.3 else 1 + int(rng.geometric(1 / recipe.service))
        sizes.append(min(size, largest, left))
        left -= sizes[-1]
    number = np.repeat(np.arange(len(sizes)), sizes)
    return rng.permutation(np.where(np.repeat(sizes, sizes) > 1, number, -1))


def _stir(owner, service, shards, share, rng):
    """Return another allocation, with some order params on random shards that hold no other of their service."""
    now = owner.copy()
    for k in rng.choice(owner.size, round(share * owner.size), replace=False):
        onto = rng.integers(0, shards)
        if service[k] < 0 or onto not in now[service == service[k]]:
            now[k] = onto
    return now
