"""The checker's replay of a plan, wave by wave, with both copies counted: what is on its way loads source and destination.

In its wave an order param loads its source as before, and its destination too; after it, only its destination. By way of a
third shard it goes in two hops, each in a wave of its own. A fault is a shard that arrivals push, or push further, over its limit
in a wave. Where that cannot be helped the plan says so: a sentence of `unresolved` that names the order param and contains
"over the limit on its way" excuses the shard it arrives on, in its wave.
"""

from __future__ import annotations

import re
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


def wave_faults(problem: PlanProblem, plan: Plan, moves: Moves, before: State) -> Iterator[str]:
    """Yield a sentence for each shard and wave in which arrivals are over the limit and nothing excuses it."""
    hops, use, top = _hops(moves), before.use.copy(), limits(problem) + tolerance(problem)
    excused = _excused(problem, plan, hops)
    flat = problem.load.reshape(len(problem.order_params), -1)
    starts = np.flatnonzero(np.diff(hops.wave, prepend=0))
    for first, last in zip(starts.tolist(), [*starts[1:].tolist(), hops.wave.size], strict=True):
        now = slice(first, last)
        load = flat[hops.row[now]] / hops.parts[now, None]
        arrived, at = np.unique(hops.destination[now], return_inverse=True)
        more = np.zeros((arrived.size, flat.shape[1]))
        np.add.at(more, at, load)
        use[arrived] += more
        beyond = (more > 0) & (use[arrived] > top[arrived])
        pardoned = np.bincount(at, weights=excused[now], minlength=arrived.size) > 0
        for position in np.flatnonzero(beyond.any(axis=1) & ~pardoned).tolist():
            yield _sentence(problem, int(arrived[position]), int(hops.wave[first]), int(np.argmax(beyond[position])))
        leaves = hops.source[now] != NOWHERE
        np.subtract.at(use, hops.source[now][leaves], load[leaves])


def _sentence(problem: PlanProblem, shard: int, wave: int, column: int) -> str:
    step, resource = divmod(column, len(problem.resources))
    return (
        f"in wave {wave} shard {problem.shards[shard]} is over its limit of {problem.resources[resource]}"
        f" at step {step + 1} while order params are on their way"
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
