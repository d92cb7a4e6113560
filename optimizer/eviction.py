"""What must leave each shard, at the least: the cheapest eviction per hot shard, and LB0, a proven lower bound on the cost.

Mathematics
    Let s have  excess(c) = use_now(s, c) - limit(s, c) > 0  in some column, and let M(s) be the movable order params on s.
                A plan
    that leaves neither overload nor avoidable broken rules moves a set L of M(s) away with

        L holds every order param of s that must leave (draining shard, wrong zone, forbidden, nowhere)
        sum of load[k, c] over k in L  >=  excess(c)  in every column c                (what comes in only adds load)
        of each spread group with m members on s, L holds at least m - 1

    so its cost on s is at least
        forced(s)  =  cost of what must leave
        LB(s)      =  forced(s) + max( cover of what excess is left then,  of each group all but its dearest member )
    where `cover` is the covering knapsack of `optimizer.cover`, all columns at once. An order param leaves one shard
    only, so

        cost  >=  LB0  =  sum over s of LB(s).

LB0 speaks only of plans that end *all* overload and break no rule that can be kept. `cannot` marks shards where even all of
M(s) does not cover: then no such plan exists, and LB0 says nothing about plans that leave some overload.
Cost: O(K x D) and one knapsack per hot shard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.cover import cover, cover_split
from optimizer.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing

NODES_MAX = 300_000  # of one knapsack's search: some milliseconds


@dataclass(frozen=True, eq=False)
class Eviction:
    """What leaves each shard in the cheapest way, and what is proven about it.

    Attributes:
        leaves: (K,) the chosen order params.
        forced: (K,) those of them that leave whatever the load: they must not stay.
        lower: (S,) proven least cost of what leaves each shard; 0 where nothing must.
        cannot: (S,) hot shards that stay over their limit with every movable order param gone.
        undecided: (S,) shards whose cheapest eviction is not proven the cheapest; `settle` works on them.
    """

    leaves: NDArray[np.bool_]
    forced: NDArray[np.bool_]
    lower: NDArray[np.float64]
    cannot: NDArray[np.bool_]
    undecided: NDArray[np.bool_]

    @property
    def bound(self) -> float:
        """LB0: proven lower bound on the cost of a plan without overload and avoidable broken rules; 0 if there is none."""
        return 0.0 if self.cannot.any() else float(self.lower.sum())


def members_of(shard_of: NDArray[np.int64], shards: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (S + 1,) start and (K,) item: the order params of shard s are item[start[s]:start[s + 1]], ascending."""
    start = np.concatenate([[0], np.cumsum(np.bincount(shard_of, minlength=shards))])
    return start.astype(np.int64), np.argsort(shard_of, kind="stable").astype(np.int64)


def evict(packing: Packing) -> Eviction:
    """Return the cheapest eviction of every shard, with its bound."""
    forced, group_lower = _forced(packing)
    bound_forced = _must_leave(packing)
    start, item = members_of(packing.current, packing.shards)
    leaves, lower, cannot, undecided = _evict_all(
        packing.load,
        packing.use_now,
        packing.limit,
        packing.cost,
        packing.movable,
        forced,
        bound_forced,
        group_lower,
        start,
        item,
        packing.grain,
    )
    return Eviction(leaves, forced, lower, cannot, undecided)


def settle(packing: Packing, eviction: Eviction, shard: int) -> Eviction:
    """Return the eviction with an undecided shard's knapsack split: mostly milliseconds, up to half a second."""
    leaves, lower, undecided = eviction.leaves.copy(), eviction.lower.copy(), eviction.undecided.copy()
    rows = np.flatnonzero(packing.current == shard)
    lower[shard] = max(lower[shard], _decide(packing, rows, eviction.forced, _must_leave(packing), leaves))
    undecided[shard] = False
    return Eviction(leaves, eviction.forced, lower, eviction.cannot, undecided)


def _must_leave(packing: Packing) -> NDArray[np.bool_]:
    """Return (K,): what any plan moves that breaks no rule without need, groups apart."""
    return packing.must_leave & packing.movable & packing.has_place


def _decide(
    packing: Packing,
    rows: NDArray[np.int64],
    forced: NDArray[np.bool_],
    bound_forced: NDArray[np.bool_],
    leaves: NDArray[np.bool_],
) -> float:
    """Solve one shard's knapsack by splitting: mark the cheapest eviction in `leaves`; return the shard's lower bound."""
    shard = packing.current[rows[0]]
    lower = 0.0
    for gone in (bound_forced, forced):  # the second, which may take more, decides what leaves
        left = packing.use_now[shard] - packing.load[rows[gone[rows]]].sum(axis=0)
        items = rows[packing.movable[rows] & ~gone[rows]]
        excess = np.minimum(left - packing.limit[shard], packing.load[items].sum(axis=0))
        _, least, chosen = cover_split(packing.cost[items], packing.load[items], excess, NODES_MAX, packing.grain)
        leaves[items] = chosen
        if gone is bound_forced:
            lower = least + float(packing.cost[rows[bound_forced[rows]]].sum())
    return lower


def _forced(packing: Packing) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return (K,) what leaves whatever the load, and (S,) what the members too many of spread groups cost at the least."""
    forced = _must_leave(packing)
    group_lower = np.zeros(packing.shards)
    member = packing.group_member[packing.current[packing.group_member] != packing.nowhere]
    if member.size == 0:
        return forced, group_lower
    place = packing.group[member] * packing.shards + packing.current[member]
    _, inverse, count = np.unique(place, return_inverse=True, return_counts=True)
    for crowd in np.flatnonzero(count > 1):
        rows = member[inverse == crowd]
        staying = rows[~forced[rows]]
        may_go = staying[packing.movable[staying] & packing.has_place[staying]]
        if staying.size < 2 or may_go.size == 0:
            continue
        dearest_last = may_go[np.argsort(packing.cost[may_go], kind="stable")]
        goes = dearest_last if may_go.size < staying.size else dearest_last[:-1]
        forced[goes] = True
        group_lower[packing.current[rows[0]]] += float(packing.cost[goes].sum())
    return forced, group_lower


@kernel
def _evict_all(
    load: NDArray[np.float64],
    use: NDArray[np.float64],
    limit: NDArray[np.float64],
    cost: NDArray[np.float64],
    movable: NDArray[np.bool_],
    forced: NDArray[np.bool_],
    bound_forced: NDArray[np.bool_],
    group_lower: NDArray[np.float64],
    start: NDArray[np.int64],
    item: NDArray[np.int64],
    grain: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Evict from every shard: for the plan (`forced` leaves), and for the bound where that differs (`bound_forced`)."""
    shards = limit.shape[0]
    leaves, lower = forced.copy(), np.zeros(shards)
    cannot, undecided = np.zeros(shards, dtype=np.bool_), np.zeros(shards, dtype=np.bool_)
    for shard in range(shards):
        rows = item[start[shard] : start[shard + 1]]
        hot = (use[shard] > limit[shard]).any()
        crowded = False
        for row in rows:
            if bound_forced[row]:
                lower[shard] += cost[row]
            crowded = crowded or forced[row] != bound_forced[row]
        if not hot:
            lower[shard] += group_lower[shard]
            continue
        value, least, possible = _evict_one(
            rows, load, use[shard], limit[shard], cost, movable, bound_forced, grain, leaves, crowded
        )
        cannot[shard], undecided[shard] = not possible, least < value
        lower[shard] += max(least, group_lower[shard])
        if crowded:
            _evict_one(rows, load, use[shard], limit[shard], cost, movable, forced, grain, leaves, False)
    return leaves, lower, cannot, undecided


@kernel
def _evict_one(
    rows: NDArray[np.int64],
    load: NDArray[np.float64],
    use: NDArray[np.float64],
    limit: NDArray[np.float64],
    cost: NDArray[np.float64],
    movable: NDArray[np.bool_],
    gone: NDArray[np.bool_],
    grain: float,
    leaves: NDArray[np.bool_],
    bound_only: bool,
) -> tuple[float, float, bool]:
    """Cover what excess is left without `gone`; mark the chosen in `leaves`. Return (cost, lower bound, possible)."""
    excess = use - limit
    for row in rows:
        if gone[row]:
            excess -= load[row]
    items = np.array([row for row in rows if movable[row] and not gone[row]], dtype=np.int64)
    hot = np.flatnonzero(excess > 0)
    if hot.size == 0:
        return 0.0, 0.0, True
    available = np.zeros(excess.size)
    for row in items:
        available += load[row]
    possible = bool((available >= excess).all())
    wanted = np.minimum(excess, available)[hot].copy()
    part = np.empty((items.size, hot.size))
    for q in range(items.size):
        for j in range(hot.size):
            part[q, j] = load[items[q], hot[j]]
    chosen = np.zeros(items.size, dtype=np.bool_)
    value, least = cover(cost[items], part, wanted, NODES_MAX, grain, chosen)
    if not bound_only:
        for q in range(items.size):
            if chosen[q]:
                leaves[items[q]] = True
    return value, least, possible
