"""What a plan does to the load of each shard, so that people see what they approve. Pure.

    now     as measured
    before  the highest of now and all steps that the plan was made on, as order params are or are heading
    after   the same when all moves of the plan have arrived

All three come from the one course of load that the planner was given, so the highest share after is the plan's own
`max_utilisation`. Shards are kept as columns, of bounded number, by the rule of `plb_ray.control.inputs`.

Axes: S shards, N of them kept, R resources, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plb_ray.control.inputs import DIGITS, fullest
from plb_ray.domain.load import RESOURCES
from plb_ray.domain.sums import per_shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from plb_ray.control.stating import Course
    from plb_ray.domain.plan import Move

SIGNIFICANT = 5
"""Digits of a load that are kept."""

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ShardLoads:
    """Loads are in units of their resource.

    Attributes:
        headroom: usable share of every capacity.
        resources: (R,) names.
        shard_ids: (N,) the fullest, before or after, first.
        capacity: (N, R); 0 where a shard states no limit.
        now, before, after: (N, R) see the module.
        left_out: how many shards are not among them; none of these is touched by a move.
        left_out_peak: the highest share of capacity of those; 0 if there are none.
    """

    headroom: float
    resources: tuple[str, ...]
    shard_ids: tuple[str, ...]
    capacity: Table
    now: Table
    before: Table
    after: Table
    left_out: int = 0
    left_out_peak: float = 0.0


def shard_loads(course: Course, moves: Sequence[Move], headroom: float) -> ShardLoads:
    """Return what moves do to the load of each shard; one that names what there is not any more changes nothing.

    Args:
        course: the load that was planned on.
        moves: of the plan.
        headroom: usable share of capacity.
    """
    ids = [shard.shard_id for shard in course.situation.shards]
    capacity = course.situation.capacity  # (S, R)
    before = course.total.max(axis=1, initial=0.0)  # (S, R)
    after = _after(course, moves).max(axis=1, initial=0.0)
    peaks = (np.maximum(before, after) / capacity).max(axis=1, initial=0.0)  # (S,)
    rows, left_out = fullest(peaks, ids, {shard_id for move in moves for shard_id in (move.source, move.destination)})
    return ShardLoads(
        headroom=headroom,
        resources=RESOURCES,
        shard_ids=tuple(ids[row] for row in rows.tolist()),
        capacity=_table(np.where(np.isfinite(capacity), capacity, 0.0)[rows]),
        now=_table(course.total[rows, 0]),
        before=_table(before[rows]),
        after=_table(after[rows]),
        left_out=len(left_out),
        left_out_peak=round(float(peaks[left_out].max(initial=0.0)), DIGITS),
    )


def loads_of(document: Mapping[str, Any]) -> ShardLoads:
    """Return what a journal gives back of `ShardLoads`: its lists are tuples again."""
    return ShardLoads(**{name: _frozen(value) for name, value in document.items()})


def _after(course: Course, moves: Sequence[Move]) -> NDArray[np.float64]:
    """Return (S, T, R) the load with all moves arrived: what they carry is taken from one side and put on the other."""
    if not moves:
        return course.total
    column_of = {shard.shard_id: at for at, shard in enumerate(course.situation.shards)}
    to = {move.order_param: column_of[move.destination] for move in moves if move.destination in column_of}
    rows = np.array([at for at, name in enumerate(course.situation.order_params) if name in to], dtype=np.int64)
    arrives = np.array([to[course.situation.order_params[row]] for row in rows.tolist()], dtype=np.int64)
    load, shards = course.load[rows], len(column_of)
    moved = per_shard(load, arrives, shards) - per_shard(load, course.heading[rows], shards)
    return np.maximum(0.0, course.total + moved)


def _table(values: NDArray[np.float64]) -> Table:
    return tuple(tuple(float(f"{value:.{SIGNIFICANT}g}") for value in row) for row in values.tolist())


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value
