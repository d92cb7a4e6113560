"""What the checker makes of a plan's moves: arrays, and a fault for each move that makes no sense or breaks a rule.

Segments. The moves of an order param that is split carry its parts' numbers, from 1. Each part carries an equal share of its
load. A part that stays on the current shard has no move; parts that stay have the lowest numbers, so an order param has as
many parts as its highest number says: moves of segments 2 and 3 alone are two parts of three, and the first one stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.checker_state import closing, forbidden, shares_after, zone_ok
from plb_ray.domain.plan import NOWHERE, PlanMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from plb_ray.domain.plan import Move, Plan, PlanProblem


@dataclass(frozen=True, eq=False)
class Moves:
    """A plan's moves as arrays, each (M,): positions of order params and shards (-1 for none), and numbers.

    Attributes:
        row, source, destination, via: positions; `via` -1 for the straight way.
        parts: how many parts the order param has; 1 if it is not split.
        wave, via_wave: as in the plan.
    """

    row: NDArray[np.int64]
    source: NDArray[np.int64]
    destination: NDArray[np.int64]
    via: NDArray[np.int64]
    parts: NDArray[np.int64]
    wave: NDArray[np.int64]
    via_wave: NDArray[np.int64]


def read_moves(problem: PlanProblem, plan: Plan) -> tuple[Moves, tuple[str, ...]]:
    """Return the moves as arrays, and the faults found; the arrays mean something only if there is none."""
    faults = list(_plain_faults(problem, plan))
    rows = dict(zip(problem.order_params, range(len(problem.order_params)), strict=True)) if plan.moves else {}
    shards = {name: position for position, name in enumerate(problem.shards)}
    for move in plan.moves:
        faults += _name_faults(problem, move, rows, shards)
    if faults:
        return _arrays((), rows, shards), tuple(faults)
    faults += _repeat_faults(problem, plan)
    moves = _arrays(plan.moves, rows, shards)
    faults += _rule_faults(problem, plan, moves)
    if not faults:
        faults += _group_faults(problem, plan, moves)
    return moves, tuple(faults)


def _what(move: Move) -> str:
    return f"move of order param {move.order_param} from {move.source or 'no shard'} to {move.destination}"


def _plain_faults(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    if len(plan.moves) > problem.budget.moves:
        yield f"the plan has {len(plan.moves)} moves, the budget is {problem.budget.moves}"
    for move in plan.moves:
        if not move.reason.strip():
            yield f"{_what(move)}: no reason is given"
        if move.wave < 1:
            yield f"{_what(move)}: its wave is {move.wave}, waves count from 1"
        if move.via and not 1 <= move.via_wave < move.wave:
            yield f"{_what(move)}: it is to be on {move.via} in wave {move.via_wave}, but to go on in wave {move.wave}"


def _name_faults(problem: PlanProblem, move: Move, rows: dict[str, int], shards: dict[str, int]) -> Iterator[str]:
    row = rows.get(move.order_param)
    if row is None:
        yield f"{_what(move)}: there is no such order param"
    else:
        current = int(problem.current[row])
        owner = "" if current == NOWHERE else problem.shards[current]
        if owner != move.source:
            yield f"{_what(move)}: it is on {owner or 'no shard'}"
    if move.destination not in shards:
        yield f"{_what(move)}: there is no such destination"
    if move.source == move.destination:
        yield f"{_what(move)}: source and destination are the same"
    if move.via and move.via not in shards:
        yield f"{_what(move)}: there is no shard {move.via} to go by"
    if move.via and move.via in {move.source, move.destination}:
        yield f"{_what(move)}: it is to go by {move.via}, which is one of the two"


def _repeat_faults(problem: PlanProblem, plan: Plan) -> Iterator[str]:
    """Find order params moved twice, and segments that are no split."""
    whole = Counter(move.order_param for move in plan.moves if move.segment == 0)
    split: dict[str, list[Move]] = defaultdict(list)
    for move in plan.moves:
        if move.segment != 0:
            split[move.order_param].append(move)
    for name, times in whole.items():
        if times > 1 or name in split:
            yield f"order param {name} is moved {times + len(split.get(name, ()))} times in one plan"
    for name, moves in split.items():
        yield from _split_faults(problem, name, moves)


def _split_faults(problem: PlanProblem, name: str, moves: list[Move]) -> Iterator[str]:
    numbers = [move.segment for move in moves]
    if min(numbers) < 1 or len(set(numbers)) < len(numbers):
        yield f"order param {name} is split into segments {sorted(numbers)}; each needs a number of its own, from 1"
    if not 2 <= max(numbers) <= problem.segments:
        yield f"order param {name} is split into {max(numbers)} segments; 2 to {problem.segments} are allowed"
    if len({move.destination for move in moves}) < len(moves):
        yield f"order param {name} is split, but two of its segments go to the same shard"


def _arrays(moves: tuple[Move, ...], rows: dict[str, int], shards: dict[str, int]) -> Moves:
    highest: Counter[str] = Counter()
    for move in moves:
        highest[move.order_param] = max(1, move.segment, highest[move.order_param])
    table = [
        (
            rows[move.order_param],
            shards.get(move.source, NOWHERE),
            shards[move.destination],
            shards[move.via] if move.via else NOWHERE,
            highest[move.order_param],
            move.wave,
            move.via_wave,
        )
        for move in moves
    ]
    return Moves(*np.array(table, dtype=np.int64).reshape(-1, 7).T)


def _rule_faults(problem: PlanProblem, plan: Plan, moves: Moves) -> Iterator[str]:
    for at in np.flatnonzero(problem.rules.pinned[moves.row] & (moves.source != NOWHERE)).tolist():
        yield f"{_what(plan.moves[at])}: it is pinned to its shard"
    straight = np.arange(moves.row.size)
    yield from _place_faults(problem, plan, straight, moves.row, moves.destination)
    by = np.flatnonzero(moves.via != NOWHERE)
    yield from _place_faults(problem, plan, by, moves.row[by], moves.via[by])


def _place_faults(
    problem: PlanProblem, plan: Plan, at: NDArray[np.int64], row: NDArray[np.int64], shard: NDArray[np.int64]
) -> Iterator[str]:
    """Find arrivals where they may not be. `at`, `row`, `shard`: (N,)."""
    focus = np.isin(np.arange(len(problem.shards)), problem.focus)
    outside = ~focus if problem.mode is PlanMode.ADD else np.zeros_like(focus)
    checks = (
        ("is to be emptied", closing(problem)[shard]),
        ("takes no order params now", problem.rules.closed[shard]),
        ("is none of the added shards", outside[shard]),
        ("is in a zone that it may not be in", ~zone_ok(problem, row, shard)),
        ("is forbidden to it", forbidden(problem, row, shard)),
    )
    for why, bad in checks:
        for position in np.flatnonzero(bad).tolist():
            yield f"{_what(plan.moves[int(at[position])])}: shard {problem.shards[int(shard[position])]} {why}"


def _group_faults(problem: PlanProblem, plan: Plan, moves: Moves) -> Iterator[str]:
    """Find arrivals beside another member of the spread group, as things stand after the plan."""
    shares = shares_after(problem, moves)
    first = len(problem.order_params) - np.unique(moves.row).size  # after those that are not moved
    for at in np.flatnonzero(shares.crowded()[first : first + moves.row.size]).tolist():
        yield f"{_what(plan.moves[at])}: another member of its spread group is there after the plan"
