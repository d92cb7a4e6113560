"""The checker's replay of a plan, wave by wave, with both copies counted: what is on its way loads source and destination.

In its wave an order param loads its source as before, and its destination too; after it, only its destination. By way of a
third shard it goes in two hops, each in a wave of its own. A fault is a shard that arrivals push, or push further, over its
limit in a wave; one that the plan leaves over its limit may be filled up to what the plan leaves there. Where more cannot be
helped the plan says so: a sentence of `unresolved` that names the order param and contains "over the limit on its way"
excuses the shard it arrives on, in its wave.

Spread groups hold between waves too: where an order param arrives in a wave, no other member of its group may be after it,
unless such a sentence excuses it, or it broke a rule before the plan already, so that no more rules are broken than then.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.checker_state import limits, tolerance
from plb_ray.domain.plan import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from optimizer.checker_moves import Moves
    from optimizer.checker_state import State
    from plb_ray.domain.plan import Plan, PlanProblem

EXCUSE = "over the limit on its way"


@dataclass(frozen=True, eq=False)
class _Hops:
    """H hops, by wave. Each (H,): order param, its share of the load in parts, from (-1 for no shard), to, wave."""

    row: NDArray[np.int64]
    parts: NDArray[np.int64]
    source: NDArray[np.int64]
    destination: NDArray[np.int64]
    wave: NDArray[np.int64]

    def waves(self) -> list[slice]:
        """Return where each wave's hops are, in order."""
        starts = np.flatnonzero(np.diff(self.wave, prepend=0)).tolist()
        return [slice(first, last) for first, last in zip(starts, [*starts[1:], self.wave.size], strict=True)]


def wave_faults(problem: PlanProblem, plan: Plan, moves: Moves, before: State, after: State) -> Iterator[str]:
    """Yield a sentence for each shard and wave in which arrivals are over the limit and nothing excuses it."""
    if plan.moves:
        hops = _hops(moves)
        yield from _load_faults(problem, plan, hops, before, after)
        broke = [row for row, _ in before.misplaced] + [row for rows, _ in before.crowds for row in rows]
        yield from _resting_faults(problem, hops, _excused(problem, plan, hops) | np.isin(hops.row, broke))


def _load_faults(problem: PlanProblem, plan: Plan, hops: _Hops, before: State, after: State) -> Iterator[str]:
    use = before.use.copy()
    top = np.maximum(limits(problem), after.use) + tolerance(problem)
    excused = _excused(problem, plan, hops)
    flat = problem.load.reshape(len(problem.order_params), use.shape[1])
    for now in hops.waves():
        load = flat[hops.row[now]] / hops.parts[now, None]
        arrived, at = np.unique(hops.destination[now], return_inverse=True)
        more = np.zeros((arrived.size, flat.shape[1]))
        np.add.at(more, at, load)
        use[arrived] += more
        beyond = (more > 0) & (use[arrived] > top[arrived])
        pardoned = np.bincount(at, weights=excused[now], minlength=arrived.size) > 0
        for position in np.flatnonzero(beyond.any(axis=1) & ~pardoned).tolist():
            yield _sentence(problem, int(arrived[position]), int(hops.wave[now][0]), int(np.argmax(beyond[position])))
        leaves = hops.source[now] != NOWHERE
        np.subtract.at(use, hops.source[now][leaves], load[leaves])


def _sentence(problem: PlanProblem, shard: int, wave: int, column: int) -> str:
    step, resource = divmod(column, len(problem.resources))
    return (
        f"in wave {wave} shard {problem.shards[shard]} is over its limit of {problem.resources[resource]}"
        f" at step {step + 1} while order params are on their way"
    )


def _resting_faults(problem: PlanProblem, hops: _Hops, excused: NDArray[np.bool_]) -> Iterator[str]:
    group = problem.rules.spread_group
    members = np.flatnonzero((group >= 0) & (problem.current != NOWHERE))
    at = Counter(zip(group[members].tolist(), problem.current[members].tolist(), strict=True))
    for now in hops.waves():
        grouped = np.flatnonzero(group[hops.row[now]] >= 0) + now.start
        numbers = group[hops.row[grouped]].tolist()
        arrivals = list(zip(numbers, hops.destination[grouped].tolist(), strict=True))
        at.update(arrivals)
        at.subtract(zip(numbers, hops.source[grouped].tolist(), strict=True))
        for hop, place in zip(grouped.tolist(), arrivals, strict=True):
            if at[place] > 1 and not excused[hop]:
                yield (
                    f"order param {problem.order_params[hops.row[hop]]} rests on {problem.shards[place[1]]} after wave"
                    f" {hops.wave[now][0]} beside another member of its spread group"
                )


def _hops(moves: Moves) -> _Hops:
    by = np.flatnonzero(moves.via != NOWHERE)
    start = np.where(moves.via != NOWHERE, moves.via, moves.source)
    row, parts = np.concatenate([moves.row[by], moves.row]), np.concatenate([moves.parts[by], moves.parts])
    source = np.concatenate([moves.source[by], start])
    destination = np.concatenate([moves.via[by], moves.destination])
    wave = np.concatenate([moves.via_wave[by], moves.wave])
    order = np.argsort(wave, kind="stable")
    return _Hops(row[order], parts[order], source[order], destination[order], wave[order])


def _excused(problem: PlanProblem, plan: Plan, hops: _Hops) -> NDArray[np.bool_]:
    """Return (H,): a sentence says that the hop's order param must be over the limit on its way."""
    said = "\n".join(sentence for sentence in plan.unresolved if EXCUSE in sentence)
    words = set(re.split(r"[\s\"'`,;:()]+", said)) if said else set()
    names = (problem.order_params[row] for row in hops.row.tolist()) if said else ()
    found = [name in words or (" " in name and name in said) for name in names]
    return np.array(found, dtype=np.bool_) if said else np.zeros(hops.row.size, dtype=np.bool_)
