"""Checks around capacity planning: of the problem before it, and of the fleet after it, with code of its own.

`verify_fleet` shares nothing with what made the fleet: it adds up loads from the problem's own arrays, shard by shard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from optimizer.fleet_problem import FleetPlan, FleetProblem

TOLERANCE = 1e-9  # relative: a limit is kept if it is exceeded by no more than this share of it


def check_fleet(problem: FleetProblem) -> None:
    """Return if the problem is well formed.

    Raises:
        BadInputError: what is wrong, where, and what to do.
    """
    for faults in (_array_faults, _type_faults, _option_faults):
        for fault in faults(problem):
            raise BadInputError(fault)


def _array_faults(problem: FleetProblem) -> Iterator[str]:
    count, resources = len(problem.order_params), len(problem.resources)
    shape = problem.load.shape
    if len(shape) != 3 or shape[0] != count or shape[2] != resources or shape[1] < 1:
        yield f"load has shape {shape}, expected ({count}, steps >= 1, {resources}): give one row per order param"
        return
    bad = np.argwhere(~(np.isfinite(problem.load) & (problem.load >= 0)))
    if bad.size:
        row, step, resource = bad[0].tolist()
        value = problem.load[row, step, resource]
        where = f"of order param {problem.order_params[row]!r} at step {step} in {problem.resources[resource]}"
        yield f"load {value} {where} is not a number >= 0: give the true load, or 0"
    yield from _doubles("order param", problem.order_params)


def _type_faults(problem: FleetProblem) -> Iterator[str]:
    resources = len(problem.resources)
    yield from _doubles("shard type", [kind.name for kind in problem.types])
    if not problem.types:
        yield "there is no shard type: give at least one"
    for kind in problem.types:
        if len(kind.capacity) != resources or not all(value >= 0 for value in kind.capacity):
            yield f"capacity {kind.capacity} of shard type {kind.name!r} is not {resources} numbers >= 0 (one per resource)"
        if not 0 < kind.price < float("inf"):
            yield f"price {kind.price} of shard type {kind.name!r} is not a number > 0"
        if kind.most is not None and kind.most < 0:
            yield f"most {kind.most} of shard type {kind.name!r} is negative: give a number >= 0, or none"


def _option_faults(problem: FleetProblem) -> Iterator[str]:
    count = len(problem.order_params)
    if not 0 < problem.headroom < float("inf"):
        yield f"headroom {problem.headroom} is not a number > 0"
    if problem.excess is not None and not (
        problem.excess.shape == problem.load.shape and np.isfinite(problem.excess).all() and (problem.excess >= 0).all()
    ):
        yield f"excess must be numbers >= 0 in the shape of load, {problem.load.shape}"
    if not 0 <= problem.correlation <= 1:
        yield f"correlation {problem.correlation} must be in [0, 1]"
    if problem.segments < 1 or not 0 < problem.split_above <= 1:
        yield f"segments {problem.segments} must be >= 1 and split_above {problem.split_above} in (0, 1]"
    if problem.spread_group is not None and problem.spread_group.shape != (count,):
        yield f"spread_group has shape {problem.spread_group.shape}, expected ({count},): one number per order param, or -1"


def _doubles(what: str, names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{what} {name!r} is given twice: names must differ"
            return
        seen.add(name)


def verify_fleet(problem: FleetProblem, plan: FleetPlan) -> tuple[str, ...]:
    """Return the faults of a fleet plan; () = sound.

    Checked: counts, prices and limits on counts; that every order param is a leftover, or is allocated in at most `segments`
    parts, on distinct shards; every shard's load at every step; spread groups; that the bounds are below what was found.
    A plan without a fleet (impossible, not found) must be empty.
    """
    if plan.status in ("impossible", "not_found"):
        return () if not plan.shard_of.size and not any(plan.counts) else ("there is no fleet, yet shards are named",)
    faults = [*_count_faults(problem, plan)]
    if (
        plan.shard_of.shape != plan.origin.shape
        or (plan.shard_of < 0).any()
        or (plan.shard_of >= plan.shard_type.size).any()
    ):
        return (*faults, "a part has no shard of the fleet")
    return (*faults, *_part_faults(problem, plan), *_load_faults(problem, plan))


def _count_faults(problem: FleetProblem, plan: FleetPlan) -> Iterator[str]:
    counts = [int((plan.shard_type == kind).sum()) for kind in range(len(problem.types))]
    if (
        tuple(counts) != tuple(plan.counts)
        or len(plan.shard_names) != sum(counts)
        or len(set(plan.shard_names)) != sum(counts)
    ):
        yield f"the shards ({counts} by type, {len(plan.shard_names)} names) are not the counts {plan.counts}"
    for kind, count in zip(problem.types, counts, strict=True):
        if kind.most is not None and count > kind.most:
            yield f"{count} shards of type {kind.name!r}, at most {kind.most} may be had"
    price = sum(kind.price * count for kind, count in zip(problem.types, counts, strict=True))
    if abs(price - plan.price) > 1e-9 * max(price, 1e-300):
        yield f"the price is {price}, not {plan.price}"
    if plan.lower_bound > plan.price * (1 + 1e-9) or plan.shards_lower_bound > sum(counts):
        yield "a lower bound is above what was found"


def _part_faults(problem: FleetProblem, plan: FleetPlan) -> Iterator[str]:
    left = {leftover.order_param for leftover in plan.leftovers}
    shards_of: dict[int, list[int]] = {}
    for row, shard in zip(plan.origin.tolist(), plan.shard_of.tolist(), strict=True):
        shards_of.setdefault(row, []).append(shard)
    on_shard: set[tuple[int, int]] = set()
    for row, name in enumerate(problem.order_params):
        shards = shards_of.get(row, [])
        if (name in left) == bool(shards):
            yield f"order param {name!r} is not allocated or, being too big, is"
        if len(shards) > problem.segments or len(set(shards)) != len(shards):
            yield f"order param {name!r} has {len(shards)} parts on {len(set(shards))} shards; {problem.segments} may be"
        group = int(problem.spread_group[row]) if problem.spread_group is not None else -1
        for shard in shards if group >= 0 else ():
            if (group, shard) in on_shard:
                yield f"two members of spread group {group} are on shard {plan.shard_names[shard]}"
            on_shard.add((group, shard))


def _load_faults(problem: FleetProblem, plan: FleetPlan) -> Iterator[str]:
    parts = np.maximum(1, np.bincount(plan.origin, minlength=len(problem.order_params)))
    capacity = np.array([kind.capacity for kind in problem.types])  # (Y, R)
    for step in range(problem.load.shape[1]):
        for resource, name in enumerate(problem.resources):
            use = _on_shards(plan, problem.load[:, step, resource] / parts)
            if problem.excess is not None:
                excess = problem.excess[:, step, resource] / parts
                together, apart = _on_shards(plan, excess) ** 2, _on_shards(plan, excess**2)
                use += np.sqrt(problem.correlation * together + (1 - problem.correlation) * apart)
            limit = capacity[plan.shard_type, resource] * problem.headroom
            for shard in np.flatnonzero(use > limit * (1 + TOLERANCE)).tolist():
                over = f"{use[shard]:.6g} {name} at step {step}, limit {limit[shard]:.6g}"
                yield f"shard {plan.shard_names[shard]} holds {over}"


def _on_shards(plan: FleetPlan, amount: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (B,) the sum of (K,) amounts of each part over the parts of each shard."""
    return np.asarray(np.bincount(plan.shard_of, amount[plan.origin], plan.shard_type.size), dtype=np.float64)
