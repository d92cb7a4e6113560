"""Why an order param is not moved, as a reason code, and what binds each shard. Worked out on demand, not for every plan."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.plan import Termination

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.explain_story import Story


class ReasonKept(StrEnum):
    """Why an order param stays where it is, or that it does not."""

    MOVED = "moved"
    FITS = "fits"  # its shard is within its limits, and no rule forbids it there
    PINNED = "pinned"  # its shard overloads or is forbidden to it, but it may not move now
    NOT_NEEDED = "not_needed"  # its shard overloaded; moving others was cheaper
    NO_ROOM = "no_room"  # its shard stays over its limit, and no other has room for it
    NO_ALLOWED_SHARD = "no_allowed_shard"  # no other shard may take it
    MOVES_USED_UP = "moves_used_up"  # the plan has as many moves as it may have
    TIME_UP = "time_up"  # the budget ended before a better plan was found


CODES = tuple(ReasonKept)


@dataclass(frozen=True)
class Binding:
    """What binds a shard.

    Attributes:
        before, after: highest utilisation; infinite where a capacity of 0 is used.
        resource, step: words for where it is highest after the plan.
    """

    shard: str
    before: float
    after: float
    resource: str
    step: str


def what_binds(story: Story) -> tuple[Binding, ...]:
    """Return what binds each shard, in the order of the problem's shards."""
    before = story.before.max(axis=1, initial=0.0).tolist()
    columns = story.after.argmax(axis=1).tolist()
    return tuple(
        Binding(name, before[s], float(story.after[s, columns[s]]), story.resource(columns[s]), story.step(columns[s]))
        for s, name in enumerate(story.problem.shards)
    )


def why_kept(story: Story) -> NDArray[np.str_]:
    """Return (K,) values of `ReasonKept`; a split order param is MOVED if any segment is, else as its first segment."""
    codes = _codes(story)
    origin, moved = story.packing.origin, CODES.index(ReasonKept.MOVED)
    first = np.searchsorted(origin, np.arange(len(story.problem.order_params)))
    folded = codes[first] if codes.size else codes
    folded[origin[codes == moved]] = moved
    return np.array([code.value for code in CODES])[folded]


def _codes(story: Story) -> NDArray[np.int64]:
    """Return (K',) positions in `CODES`: the first reason that holds."""
    packing = story.packing
    moved = story.home != story.shard_of
    wrong = story.stated.must_leave | _beside(story, story.home)
    stays = (wrong & ~moved) | np.append(story.stays_hot, False)[story.home]
    unsettled = np.flatnonzero(stays & ~moved & packing.movable)
    no_room = np.zeros(moved.size, dtype=np.bool_)
    no_room[unsettled] = _fits_nowhere(story, unsettled)
    ended = story.solution.termination in (Termination.DEADLINE, Termination.WORK) and not story.solution.least_overload
    holds = (
        (moved, ReasonKept.MOVED),
        (~wrong & ~np.append(story.hot, False)[story.home] & ~stays, ReasonKept.FITS),
        (~packing.movable, ReasonKept.PINNED),
        (~_other_shard(story), ReasonKept.NO_ALLOWED_SHARD),
        (~stays, ReasonKept.NOT_NEEDED),
        (~wrong & ~_adds_to_overload(story), ReasonKept.NOT_NEEDED),
        (np.full(moved.size, story.moves_used_up), ReasonKept.MOVES_USED_UP),
        (no_room, ReasonKept.NO_ROOM),
        (np.full(moved.size, ended), ReasonKept.TIME_UP),
    )
    return np.select(
        [which for which, _ in holds], [CODES.index(code) for _, code in holds], CODES.index(ReasonKept.NO_ROOM)
    )


def _beside(story: Story, shard_of: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (K',): on one real shard with another member of its group."""
    packing, beside = story.packing, np.zeros(shard_of.size, dtype=np.bool_)
    members = packing.group_member[shard_of[packing.group_member] != packing.nowhere]
    places = packing.group[members] * packing.shards + shard_of[members]
    _, place, count = np.unique(places, return_inverse=True, return_counts=True)
    beside[members] = count[place] > 1
    return beside


def _other_shard(story: Story) -> NDArray[np.bool_]:
    """Return (K',): some shard but its own may take it."""
    allowed = story.packing.allowed
    return np.asarray(allowed.sum(axis=1)[story.packing.rule] > allowed[story.packing.rule, story.home])


def _adds_to_overload(story: Story) -> NDArray[np.bool_]:
    """Return (K',): it stays and has load in a column in which its shard stays over its limit."""
    packing, adds = story.packing, np.zeros(story.home.size, dtype=np.bool_)
    over = story.use_after > packing.limit[:-1]  # (S, D)
    rows = np.flatnonzero(np.append(story.stays_hot, False)[story.shard_of])
    adds[rows] = ((packing.load[rows] > 0) & over[story.shard_of[rows]]).any(axis=1)
    return adds


def _fits_nowhere(story: Story, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (n,): as things stand after the plan, no other shard that may take it has room for it.

    Cost: O(n x S x D) if nothing fits; rows that fit somewhere are looked at no further.
    """
    packing = story.packing
    left = packing.limit[:-1] - story.use_after  # (S, D)
    taken = np.unique(packing.group[packing.group_member] * packing.shards + story.shard_of[packing.group_member])
    waiting = np.arange(rows.size)
    for shard in np.argsort(-left.min(axis=1), kind="stable").tolist():
        if waiting.size == 0:
            break
        row = rows[waiting]
        may = packing.allowed[packing.rule[row], shard] & (story.home[row] != shard)
        may &= (packing.group[row] < 0) | ~np.isin(packing.group[row] * packing.shards + shard, taken)
        may[may] = (packing.load[row[may]] <= left[shard]).all(axis=1)
        waiting = waiting[~may]
    nowhere = np.zeros(rows.size, dtype=np.bool_)
    nowhere[waiting] = True
    return nowhere
