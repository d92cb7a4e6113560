"""Proven lower bounds on a fleet, and the sizes of fleets worth trying.

Every bound is a row  sum over types y of weight[y] x n[y] >= need  that each fleet which holds the parts satisfies:
    volume      weight = limit[., c], need = sum of load[., c]
    steps       dual-feasible functions (Lueker 1983; Fekete, Schepers 2001): for any a > 0 floor(a x) is superadditive, so
                weight = floor(a x limit[., c]), need = sum of floor(a x load); here a = (k + 1) / limit
    thresholds  loads under e count 0; a load above limit - e leaves no room for any of the others and counts as limit
    conflicts   parts of which no two can share a shard (a spread group; big parts): weight = 1, need = their number
Each row is also made for the parts that fit certain types only, with weight 0 for the other types. One type: the bound is
the highest need / weight, rounded up. Several: the whole-number program  min price x n  under the rows, solved exactly.

Rounding is to the safe side: loads are first multiplied by SAFE (1 - 2e-9), so what the tolerance of 1e-9 allows keeps the
limits exactly, with 1e-9 to spare for errors of float64 (10^6 sums of relative error 10^-16).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.fleet_parts import SAFE, TOLERANCE, UNLIMITED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.fleet_parts import FleetParts

STEPS = 24  # k of the step functions; higher ones look like the volume
THRESHOLDS = 24  # thresholds tried per column
SMALL = 0.02  # no threshold below
COLUMNS = 12  # of each resource; a bound for some of the columns is one for all
CLIQUE = 400  # largest parts among which conflicts are sought


@dataclass(frozen=True, eq=False)
class Row:
    """weight (Y,) x counts >= need. `scales`: to ask for slack, `need` may be multiplied (not so for whole counts)."""

    weight: NDArray[np.float64]
    need: float
    rule: str
    scales: bool


@dataclass(frozen=True, eq=False)
class FleetBound:
    """What every fleet costs at least.

    Attributes:
        rows: what every fleet satisfies; no row follows from another.
        counts: (Y,) the cheapest counts that satisfy the rows.
        price, shards: proven lower bounds.
        rule: the row that the price follows from, in words.
        impossible: in words, if the types' limits exclude every fleet; else empty.
    """

    rows: tuple[Row, ...]
    counts: tuple[int, ...]
    price: float
    shards: int
    rule: str
    impossible: str


def fleet_bound(parts: FleetParts) -> FleetBound:
    """Return the bound on price and number of shards, with the rows it follows from."""
    rows = _undominated(_rows(parts))
    for row in rows:
        reach = float(np.where(row.weight > 0, row.weight * np.minimum(parts.most, 2**40), 0.0).sum())
        if reach < row.need * SAFE:
            reason = f"all shards that may be had fall short of what is needed ({row.rule}): {reach:.4g} of {row.need:.4g}"
            return FleetBound(rows, (0,) * parts.price.size, 0.0, 0, row.rule, reason)
    counts, price = cheapest_counts(rows, parts.price, parts.most)
    _, shards = cheapest_counts(rows, np.ones(parts.price.size), parts.most)
    if counts is None:
        reason = "no numbers of shards within the types' limits have the capacity needed"
        return FleetBound(rows, (0,) * parts.price.size, 0.0, 0, "types' limits", reason)
    tightest = max(rows, key=lambda row: row.need / max(float(row.weight @ np.array(counts)), 1e-300), default=None)
    return FleetBound(rows, counts, price, round(shards), tightest.rule if tightest else "nothing to hold", "")


def cheapest_counts(
    rows: tuple[Row, ...], price: NDArray[np.float64], most: NDArray[np.int64], slack: float = 0.0
) -> tuple[tuple[int, ...] | None, float]:
    """Return the cheapest counts that satisfy the rows with (1 + slack) x need, and a proven bound on their price.

    Counts are None if there are none within `most`.
    """
    if price.size > 1:
        from optimizer.fleet_exact import count_types  # noqa: PLC0415 - loads OR-Tools, which one type does not need

        return count_types(rows, price, most, slack)
    wanted = max((_units(row, slack) for row in rows), default=0)
    return ((wanted,), wanted * float(price[0])) if wanted <= most[0] else (None, 0.0)


def need_of(row: Row, slack: float) -> float:
    """Return what a row asks for with slack."""
    return row.need * (1 + slack) if row.scales else row.need


def _units(row: Row, slack: float) -> int:
    return int(np.ceil(need_of(row, slack) / float(row.weight[0]) * (1 - 1e-12)))


def _rows(parts: FleetParts) -> list[Row]:
    if parts.count == 0:
        return []
    kinds = parts.price.size
    rows: list[Row] = []
    sets = np.unique(parts.fits, axis=0)
    for chosen in np.unique(np.concatenate([sets, np.ones((1, kinds), dtype=np.bool_)]), axis=0):
        inside = ~(parts.fits & ~chosen).any(axis=1)
        named = "" if chosen.all() else " of what fits few types"
        rows += _conflict_rows(parts, inside, chosen, named)
        for column in _scarcest(parts):
            load = parts.least[inside, column] * SAFE
            limit = np.where(chosen, parts.limit[:, column], 0.0)
            if np.isfinite(limit).all() and load.any():
                rows += _column_rows(load, limit, parts.fits[inside], named)
    return rows


def _scarcest(parts: FleetParts) -> list[int]:
    """Return the columns whose total load is nearest to their limit, for each resource."""
    total = parts.least.sum(axis=0) / np.where(np.isfinite(parts.limit), parts.limit, 0.0).max(axis=0)
    resource = parts.column % parts.resources
    order = np.argsort(-total, kind="stable")
    return sorted(each for r in range(parts.resources) for each in order[resource[order] == r][:COLUMNS].tolist())


def _column_rows(load: NDArray[np.float64], limit: NDArray[np.float64], fits: NDArray[np.bool_], named: str) -> list[Row]:
    rows = [Row(limit, float(load.sum()) * (1 - 1e-12), f"volume{named}", scales=True)]
    for scale in np.unique(limit[limit > 0]).tolist():
        big = load[load * (STEPS + 1) >= scale]
        for k in range(1, STEPS + 1):
            factor = (k + 1) / scale
            weight = np.floor(limit * factor * (1 - TOLERANCE / 2))
            rows.append(Row(weight, float(np.floor(big * factor).sum()), f"dual-feasible steps{named}", scales=True))
    return rows + _threshold_rows(load, limit, fits, named)


def _threshold_rows(load: NDArray[np.float64], limit: NDArray[np.float64], fits: NDArray[np.bool_], named: str) -> list[Row]:
    """See the module's mathematics; a part's value is the least over the types that it fits."""
    positive = limit[limit > 0]
    if not positive.size or load.max() <= positive.min() / 2:
        return []
    least, most = SMALL * positive.min(), positive.max() / 2
    sizes = np.unique(np.concatenate([load, positive.max() - load]))
    sizes = sizes[(sizes >= least) & (sizes <= most)]
    if sizes.size > THRESHOLDS:
        sizes = sizes[np.linspace(0, sizes.size - 1, THRESHOLDS).astype(np.int64)]
    kept = np.flatnonzero(load >= least)
    load, fits = load[kept, None], fits[kept]
    rows = []
    for threshold in sizes.tolist():
        value = np.where(load > limit - threshold, limit, load)
        value = np.where(fits, value, np.inf).min(axis=1)
        need = float(value[load[:, 0] >= threshold].sum()) * (1 - 1e-12)
        rows.append(Row(limit, need, f"dual-feasible thresholds{named}", scales=True))
    return rows


def _conflict_rows(parts: FleetParts, inside: NDArray[np.bool_], chosen: NDArray[np.bool_], named: str) -> list[Row]:
    weight = chosen.astype(np.float64)
    members = parts.group[inside]
    largest = int(np.bincount(members[members >= 0]).max(initial=0)) if (members >= 0).any() else 0
    rows = [
        Row(weight, float(inside.any()), f"at least one shard{named}", scales=False),
        Row(weight, float(largest), f"spread group{named}", scales=False),
    ]
    limit = parts.limit[chosen].max(axis=0, initial=0.0)  # (D,) of the roomiest type
    share = np.where(limit > 0, parts.least * SAFE / np.where(limit > 0, limit, 1.0), 0.0)
    order = np.flatnonzero(inside & (share.max(axis=1, initial=0.0) > 0.25))
    order = order[np.argsort(-share[order].max(axis=1, initial=0.0), kind="stable")][:CLIQUE]
    clique: list[int] = []
    for part in order.tolist():
        apart = ((share[clique] + share[part]) > 1.0).any(axis=1) | _together(parts, clique, part)
        if apart.all():
            clique.append(part)
    return [*rows, Row(weight, float(len(clique)), f"parts that cannot share{named}", scales=False)]


def _together(parts: FleetParts, clique: list[int], part: int) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (parts.group[clique] == parts.group[part]) & (parts.group[part] >= 0)
    return same


def _undominated(rows: list[Row]) -> tuple[Row, ...]:
    """Drop rows that follow from others: weight / need nowhere below another's."""
    rows = [row for row in rows if row.need > 0]
    if not rows:
        return ()
    ratio = np.array([row.weight / row.need for row in rows])
    order = np.argsort(ratio.sum(axis=1), kind="stable")
    kept: list[int] = []
    for index in order.tolist():
        if not any((ratio[other] <= ratio[index]).all() and rows[other].scales >= rows[index].scales for other in kept):
            kept.append(index)
    return tuple(rows[index] for index in sorted(kept))


def unlimited(most: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (Y,): whether any number of shards of a type may be had."""
    return most >= UNLIMITED
