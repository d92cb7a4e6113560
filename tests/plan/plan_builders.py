"""Builders of plan problems, and a brute-force planner that shares no code with the real one."""

from __future__ import annotations

from itertools import product

import numpy as np

from plb_ray.domain.load import LoadEstimate, ResourceVector, Shard
from plb_ray.domain.plan import PlanProblem

START_S = 1_700_000_400  # 22:20 UTC


def problem(
    load,
    current,
    shards=2,
    *,
    capacity=1.0,
    headroom=1.0,
    cost=None,
    movable=None,
    draining=(),
    budget_moves=100,
    budget_s=2.0,
    level=0.9,
):
    """Build a problem. `load` is (K,), (K, T) or (K, T, R); fewer than three axes are CPU only."""
    load = np.asarray(load, dtype=float)
    load = load[:, None] if load.ndim == 1 else load
    if load.ndim == 2:
        load = np.stack([load, np.zeros_like(load), np.zeros_like(load)], axis=2)
    count = load.shape[0]
    capacities = np.broadcast_to(np.asarray(capacity, dtype=float), (shards,))
    estimate = LoadEstimate(
        order_params=tuple(f"op-{k}" for k in range(count)),
        starts_s=START_S + 600 * np.arange(load.shape[1]),
        target=load,
        expected=load,
        level=level,
    )
    return PlanProblem(
        estimate=estimate,
        shards=tuple(
            Shard(f"shard-{s}", f"host:{s}", ResourceVector(c, c, c), draining=s in draining)
            for s, c in enumerate(capacities.tolist())
        ),
        current=np.array(current, dtype=np.int64),
        movable=np.ones(count, dtype=bool) if movable is None else np.array(movable, dtype=bool),
        headroom=headroom,
        move_cost=np.ones(count) if cost is None else np.array(cost, dtype=float),
        budget_moves=budget_moves,
        budget_s=budget_s,
    )


def zipf_problem(order_params, shards, steps, seed, *, utilisation=0.65, headroom=0.85, budget_s=1.0):
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
    return problem(load, current, shards, headroom=headroom, budget_s=budget_s)


def brute_force(plan_problem):
    """Return the lexicographically least (overload, cost) over every allocation that the rules allow.

    Overloads above 0 that differ by less than 0.001 % of a capacity count as equal.
    """
    target = plan_problem.estimate.target
    capacity = np.array([shard.capacity.cpu_cores for shard in plan_problem.shards])[:, None, None]

    def overloads(owner):
        load = np.zeros((len(plan_problem.shards), *target.shape[1:]))
        for k, s in enumerate(owner):
            load[s] += target[k]
        beyond = load / capacity - plan_problem.headroom
        return np.where(beyond > 1e-7, beyond, 0).sum(axis=(1, 2))

    now = overloads(plan_problem.current)
    choices = [
        [int(home)]
        + [s for s, shard in enumerate(plan_problem.shards) if s != home and not shard.draining and plan_problem.movable[k]]
        for k, home in enumerate(plan_problem.current)
    ]
    found = []
    for owner in product(*choices):
        moved = np.array(owner) != plan_problem.current
        after = overloads(owner)
        if moved.sum() <= plan_problem.budget_moves and not ((now == 0) & (after > 0)).any():
            found.append((float(after.sum()), float(plan_problem.move_cost[moved].sum())))
    least = min(overload for overload, _ in found)
    return least, min(cost for overload, cost in found if overload == least or (overload < least + 1e-5 and least > 0))
