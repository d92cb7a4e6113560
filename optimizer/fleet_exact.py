"""Exact parts of capacity planning by CP-SAT: how many shards of each type, and the cheapest fleet of a small problem.

CP-SAT works with whole numbers. Rows and limits are rounded so that the whole-number problem allows whatever the true one
allows: its bound is a true bound. What it finds is checked against the true limits before it counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ortools.sat.python import cp_model

from optimizer.fleet_bound import need_of
from optimizer.fleet_parts import TOLERANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet_bound import Row
    from optimizer.fleet_parts import FleetParts

Put = dict[tuple[int, int], cp_model.IntVar]  # (part, shard) -> whether it is there

UNITS = 2.0**30  # of a need or a limit
COUNT_WORK = 2.0  # deterministic seconds for the counts of each type; the bound is valid whenever it stops


def price_units(price: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """Return whole (Y,) prices and the scale; whole * 1 / scale <= price, equal where prices have few decimals."""
    for decimals in range(7):
        scaled = price * 10**decimals
        if (np.abs(scaled - np.rint(scaled)) <= 1e-9 * scaled).all() and scaled.max() < UNITS:
            return np.rint(scaled).astype(np.int64), float(10**decimals)
    scale = UNITS / float(price.max())
    return np.floor(price * scale).astype(np.int64), scale


def count_types(
    rows: tuple[Row, ...], price: NDArray[np.float64], most: NDArray[np.int64], slack: float
) -> tuple[tuple[int, ...] | None, float]:
    """See `optimizer.fleet_bound.cheapest_counts`."""
    model = cp_model.CpModel()
    units, scale = price_units(price)
    top = [_enough(rows, kind, int(most[kind]), slack) for kind in range(price.size)]
    counts = [model.new_int_var(0, top[kind], f"n{kind}") for kind in range(price.size)]
    for row in rows:
        factor = UNITS / need_of(row, slack)
        weight = [math.ceil(min(share * factor, UNITS) * (1 + 1e-12)) for share in row.weight.tolist()]
        reach = cp_model.LinearExpr.weighted_sum(counts, weight)
        model.add(reach >= int(UNITS * (1 - 1e-9)))
    model.minimize(sum(int(unit) * count for unit, count in zip(units, counts, strict=True)))
    solver = _solver(COUNT_WORK, 60.0, 1)
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None, 0.0
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return tuple(top), 0.0
    return tuple(int(solver.value(count)) for count in counts), math.ceil(solver.best_objective_bound - 1e-6) / scale


def _enough(rows: tuple[Row, ...], kind: int, most: int, slack: float) -> int:
    """Return how many shards of a type satisfy alone every row that they count in: no fleet needs more of it."""
    alone = [need_of(row, slack) / row.weight[kind] for row in rows if row.weight[kind] > 0]
    return min(most, math.ceil(max(alone, default=0.0)) + 1)


@dataclass(frozen=True, eq=False)
class Exact:
    """What CP-SAT proved and found; `counts` (Y,) and `shard_of` (P,) are None where it found none that keeps the limits."""

    price_bound: float
    proven: bool
    impossible: bool
    counts: tuple[int, ...] | None
    shard_of: NDArray[np.int64] | None


def cheapest_fleet(parts: FleetParts, top: tuple[int, ...], wall_s: float, work_s: float, seed: int) -> Exact:
    """Return the cheapest fleet with at most `top` (Y,) shards of each type.

    Args:
        parts: a small problem whose loads are certain: a boolean per part and shard.
        top: no cheaper fleet has more shards of a type.
        wall_s: most seconds.
        work_s: most deterministic seconds.
        seed: of the solver.
    """
    model = cp_model.CpModel()
    kind = np.repeat(np.arange(len(top)), top)
    used = [model.new_bool_var(f"y{shard}") for shard in range(kind.size)]
    put = {
        (part, shard): model.new_bool_var(f"x{part},{shard}")
        for part in range(parts.count)
        for shard in range(kind.size)
        if parts.fits[part, kind[shard]]
    }
    _add_rules(model, parts, kind, used, put)
    _add_limits(model, parts, kind, used, put)
    units, scale = price_units(parts.price)
    model.minimize(sum(int(units[kind[shard]]) * used[shard] for shard in range(kind.size)))
    solver = _solver(work_s, wall_s, seed)
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return Exact(0.0, proven=True, impossible=True, counts=None, shard_of=None)
    if status == cp_model.UNKNOWN:
        return Exact(0.0, proven=False, impossible=False, counts=None, shard_of=None)
    price_bound = math.ceil(solver.best_objective_bound - 1e-6) / scale
    counts, shard_of = _read(solver, parts, kind, put)
    proven = status == cp_model.OPTIMAL and counts is not None
    return Exact(price_bound, proven=proven, impossible=False, counts=counts, shard_of=shard_of)


def _add_rules(
    model: cp_model.CpModel,
    parts: FleetParts,
    kind: NDArray[np.int64],
    used: list[cp_model.IntVar],
    put: Put,
) -> None:
    """Each part is once; groups are spread; shards of one type are used from the front (they are alike)."""
    for part in range(parts.count):
        model.add_exactly_one([put[part, shard] for shard in range(kind.size) if (part, shard) in put])
    for group in range(parts.start.size - 1):
        members = parts.member[parts.start[group] : parts.start[group + 1]].tolist()
        for shard in range(kind.size):
            model.add_at_most_one([put[part, shard] for part in members if (part, shard) in put])
    for (_, shard), here in put.items():
        model.add_implication(here, used[shard])
    for shard in range(1, kind.size):
        if kind[shard] == kind[shard - 1]:
            model.add_implication(used[shard], used[shard - 1])


def _add_limits(
    model: cp_model.CpModel,
    parts: FleetParts,
    kind: NDArray[np.int64],
    used: list[cp_model.IntVar],
    put: Put,
) -> None:
    load = np.floor(parts.alone * UNITS).astype(np.int64)
    for shard in range(kind.size):
        here = [part for part in range(parts.count) if (part, shard) in put]
        for column, limit in enumerate(parts.limit[kind[shard]].tolist()):
            total = int(load[here, column].sum())
            if np.isfinite(limit):
                room = min(math.floor(limit * UNITS * (1 + TOLERANCE)) + 1, total)
                model.add(sum(int(load[part, column]) * put[part, shard] for part in here) <= room * used[shard])


def _read(
    solver: cp_model.CpSolver, parts: FleetParts, kind: NDArray[np.int64], put: Put
) -> tuple[tuple[int, ...] | None, NDArray[np.int64] | None]:
    shard_of = np.full(parts.count, -1, dtype=np.int64)
    for (part, shard), here in put.items():
        if solver.boolean_value(here):
            shard_of[part] = shard
    use = np.zeros((kind.size, parts.alone.shape[1]))
    np.add.at(use, shard_of, parts.alone)
    if (use > parts.limit[kind] * (1 + TOLERANCE / 2)).any():
        return None, None  # the units' rounding let something through
    filled, dense = np.unique(shard_of, return_inverse=True)
    counts = np.bincount(kind[filled], minlength=parts.price.size)
    return tuple(counts.tolist()), dense.astype(np.int64)


def _solver(work_s: float, wall_s: float, seed: int) -> cp_model.CpSolver:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = work_s
    solver.parameters.max_time_in_seconds = max(wall_s, 0.01)
    return solver
