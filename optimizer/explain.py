"""Why a move, and why some overload stays, in words for people. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.load import RESOURCE_WORDS, RESOURCES
from plb_ray.domain.plan import Move

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.packing import Packing
    from plb_ray.domain.plan import PlanProblem


@dataclass(frozen=True, eq=False)
class Story:
    """A plan problem, its packing, and the allocation that is to be explained ((K,), `shard_of`)."""

    problem: PlanProblem
    packing: Packing
    shard_of: NDArray[np.int64]

    @property
    def level(self) -> str:
        """The quantile level as people say it: p90."""
        return f"p{self.problem.estimate.level * 100:g}"

    def name(self, shard: int) -> str:
        """Return a shard's id."""
        return self.problem.shards[shard].shard_id

    def resource(self, column: int) -> str:
        """Return a column's resource in words."""
        return RESOURCE_WORDS[RESOURCES[column % len(RESOURCES)]]

    def time(self, column: int) -> str:
        """Return a column's start of step, UTC."""
        start_s = int(self.problem.estimate.starts_s[column // len(RESOURCES)])
        return datetime.fromtimestamp(start_s, UTC).strftime("%H:%M")

    def limit(self) -> str:
        """Return the headroom in words."""
        return f"limit {_percent(self.packing.headroom)}"


def moves(story: Story, ordered: list[int]) -> tuple[Move, ...]:
    """Return the moves of these order params, each with its reason."""
    after = story.packing.use(story.shard_of) / story.packing.capacity
    return tuple(_move(story, row, after) for row in ordered)


def _move(story: Story, row: int, after: NDArray[np.float64]) -> Move:
    source, destination = int(story.packing.current[row]), int(story.shard_of[row])
    why = _overload_reason(story, source) if story.packing.hot[source] else _room_reason(story, source)
    column = int(np.argmax(after[destination]))
    where = f"{story.name(destination)} stays at {_percent(after[destination, column])}"
    same = not story.packing.hot[source] or story.resource(column) == story.resource(_worst(story, source))
    names = story.problem.estimate.order_params
    reason = f"{why}; {where}" if same else f"{why}; {where} of {story.resource(column)}"
    return Move(names[row], story.name(source), story.name(destination), reason)


def _worst(story: Story, shard: int) -> int:
    return int(np.argmax(story.packing.utilisation_now[shard]))


def _overload_reason(story: Story, shard: int) -> str:
    column = _worst(story, shard)
    percent = _percent(story.packing.utilisation_now[shard, column])
    return (
        f"{story.level} at {story.time(column)} would put shard {story.name(shard)} at {percent}"
        f" of {story.resource(column)} ({story.limit()})"
    )


def _room_reason(story: Story, shard: int) -> str:
    """Explain a move away from a shard that does not overload: it makes room for somebody."""
    arriving = np.flatnonzero((story.shard_of == shard) & (story.packing.current != shard))
    if arriving.size == 0:
        return f"takes load off shard {story.name(shard)}"
    heaviest = int(arriving[np.argmax(story.packing.load[arriving, :].sum(axis=1))])
    origin = int(story.packing.current[heaviest])
    guest = story.problem.estimate.order_params[heaviest]
    return f"makes room on {story.name(shard)} for order param {guest}, which leaves {story.name(origin)}"


def unresolved(story: Story, *, proven: bool) -> tuple[str, ...]:
    """Return one sentence per shard that stays over its limit: how far, when, and why.

    Args:
        story: what is explained.
        proven: it is proven that no plan leaves less overload.
    """
    utilisation = story.packing.use(story.shard_of) / story.packing.capacity
    shards = np.flatnonzero(story.packing.over(utilisation).any(axis=1)).tolist()
    return tuple(_stays(story, shard, utilisation[shard], proven=proven) for shard in shards)


def _stays(story: Story, shard: int, utilisation: NDArray[np.float64], *, proven: bool) -> str:
    column = int(np.argmax(utilisation))
    what = (
        f"shard {story.name(shard)} stays at {_percent(utilisation[column])} of {story.resource(column)}"
        f" at {story.time(column)} ({story.limit()})"
    )
    checks = (_giant, _none_movable, _nowhere_to_go, _moves_used_up, _no_volume)
    why = next((reason for check in checks if (reason := check(story, shard, column))), None)
    return f"{what}: {why or _last_reason(story, proven=proven)}"


def _giant(story: Story, shard: int, column: int) -> str | None:
    """Name an order param that no shard can hold."""
    packing = story.packing
    rows = np.flatnonzero(story.shard_of == shard)
    largest = packing.capacity[:, column].max()
    shares = packing.load[rows, column] / largest
    if rows.size == 0 or shares.max() <= packing.headroom:
        return None
    name = story.problem.estimate.order_params[int(rows[np.argmax(shares)])]
    return (
        f"order param {name} alone needs {_percent(shares.max())} of the {story.resource(column)} of the largest shard;"
        " it needs several shards or a larger one"
    )


def _none_movable(story: Story, shard: int, column: int) -> str | None:
    here = story.shard_of == shard
    loaded = here & (story.packing.load[:, column] > 0)
    if (loaded & story.packing.movable).any():
        return None
    return "none of its order params with load may move now (pinned, in migration or cooling down)"


def _nowhere_to_go(story: Story, shard: int, column: int) -> str | None:  # noqa: ARG001 - one of a row of checks
    others = story.packing.receives.copy()
    others[shard] = False
    return None if others.any() else "there is no other shard that takes order params"


def _moves_used_up(story: Story, shard: int, column: int) -> str | None:  # noqa: ARG001 - one of a row of checks
    moved = int((story.shard_of != story.packing.current).sum())
    if moved < story.packing.budget_moves:
        return None
    return f"this plan may have only {story.packing.budget_moves} moves and uses them all"


def _no_volume(story: Story, shard: int, column: int) -> str | None:  # noqa: ARG001 - one of a row of checks
    capacity = story.packing.capacity[:, column]
    missing = story.packing.load[:, column].sum() - story.packing.headroom * capacity.sum()
    if not missing > 0:
        return None
    shards = int(np.ceil(missing / (story.packing.headroom * capacity.max())))
    more = "1 more shard" if shards == 1 else f"{shards} more shards"
    return f"all shards together lack {_percent(missing / capacity.sum())} of {story.resource(column)}; about {more} needed"


def _last_reason(story: Story, *, proven: bool) -> str:
    if proven:
        return "no allocation of the order params that may move leaves less overload (proven)"
    return f"no better plan was found in {story.problem.budget_s:g} s"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
