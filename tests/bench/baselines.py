"""Balancers as they are commonly built, to measure the planner against; compiled, so that none is slow for being Python.

All go through the overloaded shards, the fullest first, and move one order param after another away until the shard is under
its limits; each goes to the shard that has room for it and whose highest utilisation stays least. They differ in what goes:
    cost-ratio       the least cost per unit of what it relieves, sorted once
    adaptive-ratio   the same, looked up again after every move: a better greedy than most
    largest          the largest first
    random           any that relieves
None of them takes back a move, moves anything onto an overloaded shard, or knows a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.jit import kernel
from plb_ray.clock import monotonic_s
from tests.bench.instances import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES = ("adaptive-ratio", "cost-ratio", "largest", "random")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a balancer or a model answered.

    Attributes:
        owner: (K,) shard of each order param; None if it found nothing.
        bound: proven lower bound on the cost; 0 = none.
        status: in the solver's words.
        elapsed_s: from the problem to the answer, building included.
    """

    owner: NDArray[np.int64] | None
    bound: float
    status: str
    elapsed_s: float


def balance(problem, rule: str, rng) -> Answer:
    """Return the answer of one of `RULES`; `rng` orders those of "random"."""
    began_s = monotonic_s()
    count = len(problem.order_params)
    load = problem.load.reshape(count, -1)
    limit = np.tile(problem.capacity * problem.headroom[:, None], (1, problem.load.shape[1]))
    hidden = rng.random(count) if rule == "random" else np.zeros(count)
    start, member = rows_of(problem.rules.spread_group)
    owner = _greedy(
        np.ascontiguousarray(load),
        limit * (1 + 1e-9),
        problem.current,
        problem.move_cost,
        ~problem.rules.pinned,
        open_to(problem),
        problem.rules.zone_set,
        problem.rules.spread_group,
        start,
        member,
        hidden,
        RULES.index(rule),
    )
    return Answer(owner, 0.0, "done", monotonic_s() - began_s)


def open_to(problem):
    """Return (Z + 1, S): the shards open to each zone set, the last row to those in any zone (set -1)."""
    rules = problem.rules
    zone_ok = [np.isin(rules.zone, list(zones)) for zones in rules.zone_sets]
    return np.array([*zone_ok, np.ones(len(rules.zone), dtype=np.bool_)]) & ~rules.draining & ~rules.closed


@kernel
def _greedy(load, limit, current, cost, movable, opened, zone_set, group, start, member, drawn, rule):
    """Return (K,): the new owners; `rule` is the position in `RULES`."""
    shards = limit.shape[0]
    owner = current.copy()
    use = np.zeros(limit.shape)
    for k in range(load.shape[0]):
        use[owner[k]] += load[k]
    by_shard = np.argsort(current, kind="mergesort")
    first = np.searchsorted(current[by_shard], np.arange(shards + 1))
    fullness = np.zeros(shards)
    for s in range(shards):
        fullness[s] = (use[s] / limit[s]).max()
    for s in np.argsort(-fullness):
        if fullness[s] <= 1:
            break
        here = by_shard[first[s] : first[s + 1]]
        here = here[movable[here]]
        worth = np.empty(here.size)
        for place in range(here.size):
            worth[place] = _worth(here[place], s, load, limit, use, cost, drawn, rule)
        order = np.argsort(worth)
        for turn in range(here.size):
            if not (use[s] > limit[s]).any():
                break
            place = order[turn] if rule > 0 else _best(here, s, worth, load, limit, use, cost, drawn)
            if worth[place] == np.inf:
                continue
            k = here[place]
            worth[place] = np.inf
            onto = _coldest(k, s, load, limit, use, opened, zone_set, group, start, member, owner)
            if onto >= 0:
                use[s] -= load[k]
                use[onto] += load[k]
                owner[k] = onto
    return owner


@kernel
def _worth(k, s, load, limit, use, cost, drawn, rule):
    """Return what the order param is sorted by, the least first; infinite if it relieves nothing."""
    relief, size = 0.0, 0.0
    for column in range(load.shape[1]):
        excess = use[s, column] - limit[s, column]
        size = max(size, load[k, column] / limit[s, column])
        if excess > 0:
            relief += min(load[k, column], excess) / excess
    if relief == 0:
        return np.inf
    if rule == 2:
        return -size
    return drawn[k] if rule == 3 else cost[k] / relief


@kernel
def _best(here, s, worth, load, limit, use, cost, drawn):
    """Return the place of the least ratio as things are now; what was tried before (infinite) stays out."""
    best, least = 0, np.inf
    for place in range(here.size):
        if worth[place] < np.inf:
            ratio = _worth(here[place], s, load, limit, use, cost, drawn, 0)
            if ratio < least:
                best, least = place, ratio
    return best


@kernel
def _coldest(k, s, load, limit, use, opened, zone_set, group, start, member, owner):
    """Return the shard with room whose highest utilisation stays least, or -1."""
    best, lowest = -1, np.inf
    for t in range(limit.shape[0]):
        if t == s or not opened[zone_set[k], t]:
            continue
        highest = 0.0
        for column in range(load.shape[1]):
            highest = max(highest, (use[t, column] + load[k, column]) / limit[t, column])
        if highest <= 1 and highest < lowest:
            free = True
            if group[k] >= 0:
                for m in range(start[group[k]], start[group[k] + 1]):
                    free = free and owner[member[m]] != t
            if free:
                best, lowest = t, highest
    return best
