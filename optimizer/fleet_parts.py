"""A fleet problem as arrays: order params split into parts, loads in shares of the largest limit, groups as compressed rows.

Columns in which nothing can overload (no load, or no limit in any type) are dropped. What lives here is data and arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet_pool import least, shared, summands, used

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet_problem import FleetProblem

TOLERANCE = 1e-9  # relative: a limit is kept if it is exceeded by no more than this share of it
SAFE = 1 - 2 * TOLERANCE  # loads times this, allowed by the tolerance, keep the limits exactly, float errors included
UNLIMITED = 2**62  # stands for "any number of shards"


@dataclass(frozen=True)
class Leftover:
    """An order param that fits no shard type, and why."""

    order_param: str
    reason: str


@dataclass(frozen=True, eq=False)
class FleetParts:
    """P parts, Y types, D columns.

    Attributes:
        load: (P, D, M) summands (`optimizer.fleet_pool`) in shares of the largest finite limit of the column.
        limit: (Y, D) likewise; infinite where a type has no limit.
        fits: (P, Y) whether a part fits an empty shard of a type.
        group: (P,) spread group from 0, or -1.
        start, member: (G + 1,), (M,) members of each group, as compressed rows.
        origin: (P,) index of the order param.
        column: (D,) step x R + resource.
        resources: R.
        price: (Y,).
        most: (Y,) `UNLIMITED` for any number.
        leftovers: order params that are no parts.
    """

    load: NDArray[np.float64]
    limit: NDArray[np.float64]
    fits: NDArray[np.bool_]
    group: NDArray[np.int64]
    start: NDArray[np.int64]
    member: NDArray[np.int64]
    origin: NDArray[np.int64]
    column: NDArray[np.int64]
    resources: int
    price: NDArray[np.float64]
    most: NDArray[np.int64]
    leftovers: tuple[Leftover, ...]

    @property
    def count(self) -> int:
        """P."""
        return int(self.load.shape[0])

    @cached_property
    def least(self) -> NDArray[np.float64]:
        """(P, D) what each part adds at least to the load of its shard."""
        return np.ascontiguousarray(least(self.load))

    @cached_property
    def alone(self) -> NDArray[np.float64]:
        """(P, D) the load of a shard that holds nothing else."""
        return used(self.load)

    @property
    def certain(self) -> bool:
        """Whether loads add up."""
        return bool(self.load.shape[2] == 1)

    @property
    def inverse(self) -> NDArray[np.float64]:
        """(Y, D): 1 / limit; 0 where there is none, or where it is 0 (only parts without such load fit there)."""
        bounded = np.isfinite(self.limit) & (self.limit > 0)
        return np.divide(1.0, self.limit, out=np.zeros_like(self.limit), where=bounded)


def parts_of(problem: FleetProblem) -> FleetParts:
    """Return the arrays of a fleet problem that `optimizer.fleet_check` found sound."""
    count, steps, resources = problem.load.shape
    sums = summands(problem)
    sums = sums.reshape(count, steps * resources, sums.shape[3])  # (K, D, M)
    flat = used(sums)
    limit = np.tile(np.array([kind.capacity for kind in problem.types], dtype=np.float64) * problem.headroom, (1, steps))
    ratio = _ratio(flat, limit)
    parts = _part_counts(ratio, problem.segments, problem.split_above)
    origin = np.repeat(np.arange(count), parts)
    group, start, member = _groups(problem, origin, parts)
    finite = np.where(np.isfinite(limit), limit, 0.0).max(axis=0)
    column = np.flatnonzero((finite > 0) & (flat[parts > 0] > 0).any(axis=0))
    split = np.maximum(parts, 1)[origin]
    return FleetParts(
        load=np.ascontiguousarray(shared(in_shares(sums[origin][:, column], finite[column]), split)),
        limit=np.ascontiguousarray(limit[:, column] / finite[column]),
        fits=np.ascontiguousarray(ratio[origin] / split[:, None] <= 1 + TOLERANCE),
        group=group,
        start=start,
        member=member,
        origin=origin,
        column=column,
        resources=resources,
        price=np.array([kind.price for kind in problem.types], dtype=np.float64),
        most=np.array([UNLIMITED if kind.most is None else kind.most for kind in problem.types], dtype=np.int64),
        leftovers=tuple(_leftover(problem, flat, limit, ratio, row) for row in np.flatnonzero(parts == 0).tolist()),
    )


def in_shares(sums: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return summands (P, D, M) in other units (D,)."""
    return np.asarray(sums / unit[:, None] ** np.array([1.0, 1.0, 2.0])[: sums.shape[-1]])


def _ratio(flat: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (K, Y): the largest share of a type's limits that each order param takes; infinite where a limit is 0."""
    ratio = np.zeros((flat.shape[0], limit.shape[0]))
    for kind, row in enumerate(limit):
        share = np.divide(flat, row, out=np.where(flat > 0, np.inf, 0.0), where=row > 0)
        ratio[:, kind] = share.max(axis=1, initial=0.0)
    return ratio


def _part_counts(ratio: NDArray[np.float64], segments: int, split_above: float) -> NDArray[np.int64]:
    """Return (K,): parts of each order param, 0 for one that fits no type."""
    least = ratio.min(axis=1, initial=np.inf) * (1 - TOLERANCE)
    wanted = np.maximum(1, np.ceil(np.minimum(least, 2.0**40) / split_above))
    needed = np.maximum(1, np.ceil(np.minimum(least, 2.0**40)))
    return np.where(needed > segments, 0, np.minimum(wanted, segments)).astype(np.int64)


def _leftover(
    problem: FleetProblem, flat: NDArray[np.float64], limit: NDArray[np.float64], ratio: NDArray[np.float64], row: int
) -> Leftover:
    """Say what the order param would need of the type that it fits best."""
    kind = int(ratio[row].argmin())
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(flat[row] > 0, flat[row] / limit[kind], 0.0)
    worst = int(share.argmax())
    resource = problem.resources[worst % len(problem.resources)]
    where = f"{resource} of one shard of type {problem.types[kind].name} at step {worst // len(problem.resources)}"
    allowed = f"may be split over {problem.segments} at most" if problem.segments > 1 else "may not be split"
    needs = f"needs {share[worst]:.3g} x the usable" if np.isfinite(share[worst]) else "needs, but no type has,"
    return Leftover(problem.order_params[row], f"{needs} {where}, the best type for it, and {allowed}")


def _groups(
    problem: FleetProblem, origin: NDArray[np.int64], parts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return group (P,) and its members; the parts of one order param are a group, or belong to that of the order param."""
    count = len(parts)
    given = problem.spread_group if problem.spread_group is not None else np.full(count, -1, dtype=np.int64)
    own = np.where((given < 0) & (parts > 1), given.max(initial=-1) + 1 + np.arange(count), given)
    group = own[origin]
    members = np.flatnonzero(group >= 0)
    names, dense = np.unique(group[members], return_inverse=True)
    group[members] = dense
    start = np.concatenate([[0], np.cumsum(np.bincount(dense, minlength=names.size))]).astype(np.int64)
    return group, start, members[np.argsort(dense, kind="stable")].astype(np.int64)
