"""Why each move, in words for people. Decides nothing.

A reason says what is wrong where the order param is, why it is this one that goes, and what becomes of its destination:

    p90 at 22:30 would put shard shard-0 at 120 % of CPU (limit 80 %): it is the cheapest that brings it under;
    shard-1 stays at 45 %

Why some overload stays is said by `optimizer.explain_stays`; why an order param is not moved and what binds each shard, by
`optimizer.explain_kept`. Per shard everything is worked out once; a move costs some dictionary look-ups.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from optimizer.explain_kept import Binding, ReasonKept, what_binds, why_kept
from optimizer.explain_stays import unresolved
from optimizer.explain_story import Story, percent, share_of
from plb_ray.domain.plan import Move, PlanMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.sequencing import Step

__all__ = ["Binding", "ReasonKept", "Story", "moves", "unresolved", "what_binds", "why_kept"]

EQUAL = 1e-9  # relative: costs that differ by less are equal
SMALL = 0.01  # shares below are told with two digits more
NO_COLUMN = -1  # the reason speaks of no resource


def moves(story: Story, steps: tuple[Step, ...]) -> tuple[Move, ...]:
    """Return the moves of these steps, in their order, each with its reason; a step to no shard is no move."""
    steps = tuple(step for step in steps if story.shard_of[step.row] != story.home[step.row])
    if not steps:
        return ()
    reasons = _Reasons(story, np.array([step.row for step in steps], dtype=np.int64))
    return tuple(_move(story, reasons, step) for step in steps)


def _move(story: Story, reasons: _Reasons, step: Step) -> Move:
    source = int(story.home[step.row])
    return Move(
        order_param=story.order_param(step.row),
        source="" if source == story.packing.nowhere else story.name(source),
        destination=story.name(int(story.shard_of[step.row])),
        reason=reasons.of(step),
        wave=step.wave,
        segment=int(story.segment[step.row]),
        via=story.name(step.via) if step.via >= 0 else "",
        via_wave=step.via_wave,
    )


class _Reasons:
    """The reasons of one plan's moves; holds what moves of the same shard share."""

    def __init__(self, story: Story, rows: NDArray[np.int64]) -> None:
        self.story, self.rows = story, rows  # rows: those that move
        self.worst_before = story.before.argmax(axis=1).tolist()  # (S,) columns
        self.worst_after = story.after.argmax(axis=1).tolist()
        self._where: dict[tuple[int, int], str] = {}
        self._overload: dict[int, str] = {}
        self._lowered: dict[int, str] = {}

    def of(self, step: Step) -> str:
        """Return the reason of one step in words."""
        why, column = self._why(step.row)
        return f"{why}; {self._there(int(self.story.shard_of[step.row]), column)}{self._way(step)}"

    def _way(self, step: Step) -> str:
        if step.forced and not self.story.stays_hot[self.story.shard_of[step.row]]:
            return "; it passes over the limit on its way: no wave was found with room for both copies"
        if step.via >= 0:
            return f"; it goes by {self.story.name(step.via)}, as its destination has no room until others have left"
        return ""

    # ---- why it leaves

    def _why(self, row: int) -> tuple[str, int]:
        """Return why a row leaves its shard, and the column that this speaks of."""
        story, source = self.story, int(self.story.home[row])
        if source == story.packing.nowhere:
            return "first placement: it has no shard yet", NO_COLUMN
        broken = self._broken(row, source)
        if broken:
            return broken, NO_COLUMN
        if story.packing.current[row] != source:
            return f"leaves shard {story.name(source)}: all order params that are not pinned are placed anew", NO_COLUMN
        if story.hot[source]:
            return f"{self._overloads(source)}: {self._why_this(row, source)}", self.worst_before[source]
        return self._without_need(source)

    def _broken(self, row: int, source: int) -> str:
        """Return the rule that a row breaks where it is, or nothing."""
        story, k = self.story, int(self.story.packing.origin[row])
        rules, name = story.problem.rules, story.name(source)
        if source in story.emptied:
            return f"empties shard {name}, which is no longer needed"
        if rules.draining[source]:
            return f"leaves shard {name}, which is draining"
        if rules.zone_set[k] >= 0 and int(rules.zone[source]) not in rules.zone_sets[rules.zone_set[k]]:
            return f"leaves shard {name}, which is in a zone that is not allowed to it"
        if (k, source) in self._forbidden:
            return f"leaves shard {name}, which is forbidden to it"
        return self._shared(row, source)

    @cached_property
    def _forbidden(self) -> frozenset[tuple[int, int]]:
        return frozenset(map(tuple, self.story.problem.rules.forbidden.tolist()))

    def _shared(self, row: int, source: int) -> str:
        packing, group = self.story.packing, int(self.story.packing.group[row])
        if group < 0:
            return ""
        members = packing.group_member[packing.group_start[group] : packing.group_start[group + 1]]
        origins = packing.origin[members[self.story.home[members] == source]]
        others = origins[origins != packing.origin[row]]
        if others.size == 0:
            return ""
        names = self.story.problem.order_params
        return f"shares its shard {self.story.name(source)} with {names[int(others[0])]} of its spread group"

    def _overloads(self, source: int) -> str:
        if source not in self._overload:
            story, column = self.story, self.worst_before[source]
            how_far = story.over_limit(source, story.before[source, column], column)
            load = f"{story.problem.words.load} {story.when(column)}"
            self._overload[source] = f"{load} would put shard {story.name(source)} at {how_far}"
        return self._overload[source]

    def _why_this(self, row: int, source: int) -> str:
        """Return why it is this one that leaves a shard that overloads."""
        parts = int(self.story.parts[row])
        if parts > 1:
            return f"it is too large for one shard and is split over {parts}"
        if self._cheapest[source]:
            return "it is the cheapest that brings it under" if self._leaving[source] == 1 else self._one_of(source)
        packing, column = self.story.packing, self.worst_before[source]
        share = float(share_of(packing.load[row, column], packing.capacity[source, column]))
        freed = percent(share, 0 if share >= SMALL else 2)
        return f"it frees {freed} of the {self.story.resource(column)} at a cost of {packing.cost[row]:.6g}"

    def _one_of(self, source: int) -> str:
        return f"it is part of the cheapest set that brings it under ({self._leaving[source]} order params)"

    @cached_property
    def _leaving(self) -> NDArray[np.int64]:
        """(S + 1,) how many of the moves leave each shard."""
        return np.bincount(self.story.home[self.rows], minlength=self.story.packing.shards)

    @cached_property
    def _cheapest(self) -> NDArray[np.bool_]:
        """(S,) what leaves the shard is proven to be the cheapest that ends its overload."""
        story, eviction = self.story, self.story.solution.eviction
        if story.problem.mode in (PlanMode.BALANCE, PlanMode.ADD):  # their evictions are for lower limits
            return np.zeros(len(story.problem.shards), dtype=np.bool_)
        cost = np.bincount(story.home[self.rows], weights=story.packing.cost[self.rows], minlength=story.packing.shards)
        proven = (cost <= eviction.lower * (1 + EQUAL)) & ~eviction.cannot
        return np.asarray(proven[:-1] & ~story.stays_hot)

    def _without_need(self, source: int) -> tuple[str, int]:
        """Explain a move away from a shard that neither overloads nor breaks a rule."""
        column = self.worst_before[source]
        balancing = self.story.problem.mode in (PlanMode.BALANCE, PlanMode.ADD)
        if balancing and self.story.before[source, column] > self.story.after.max(initial=0.0):
            return self._lowers(source), column
        guest = self._guest(source)
        if guest >= 0:
            origin = int(self.story.home[guest])
            from_where = "has no shard yet" if origin == self.story.packing.nowhere else f"leaves {self.story.name(origin)}"
            name = self.story.order_param(guest)
            return f"makes room on {self.story.name(source)} for order param {name}, which {from_where}", NO_COLUMN
        return (
            (self._lowers(source), column) if balancing else (f"takes load off shard {self.story.name(source)}", NO_COLUMN)
        )

    def _lowers(self, source: int) -> str:
        if source not in self._lowered:
            story, column = self.story, self.worst_before[source]
            before, after = story.before[source, column], story.after[source].max()
            highest = ", the highest utilisation" if before == story.before.max() else ""
            of_what = f"{story.resource(column)}{highest}"
            self._lowered[source] = (
                f"lowers shard {story.name(source)} from {percent(before)} to {percent(after)} of {of_what}"
            )
        return self._lowered[source]

    def _guest(self, shard: int) -> int:
        """Return the heaviest row that comes to a shard, or -1."""
        start, arriving = self._arriving
        rows = arriving[start[shard] : start[shard + 1]]
        if rows.size == 0:
            return -1
        heaviest = (self.story.packing.load[rows] / np.maximum(1.0, self.story.packing.capacity[shard])).max(axis=1)
        return int(rows[np.argmax(heaviest)])

    @cached_property
    def _arriving(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(S + 2,) start and (n,) rows: those that come to shard s are rows[start[s]:start[s + 1]]."""
        shards = self.story.shard_of[self.rows]
        counts = np.bincount(shards, minlength=self.story.packing.shards)
        return np.concatenate([[0], np.cumsum(counts)]), self.rows[np.argsort(shards, kind="stable")]

    # ---- why there

    def _there(self, shard: int, column: int) -> str:
        """Return what becomes of the destination; `column` is what the reason has spoken of."""
        key = shard, column % self.story.packing.resources if column != NO_COLUMN else NO_COLUMN
        if key not in self._where:
            self._where[key] = self._place(shard, column)
        return self._where[key]

    def _place(self, shard: int, column: int) -> str:
        story, worst = self.story, self.worst_after[shard]
        if np.isinf(story.packing.capacity[shard]).all():
            return f"{story.name(shard)} states no limit"
        same = column != NO_COLUMN and story.resource(column) == story.resource(worst)
        of_what = "" if same else f" of {story.resource(worst)}"
        if story.stays_hot[shard]:
            return f"{story.name(shard)} is at {percent(story.after[shard, worst])}{of_what} then, over its limit"
        return f"{story.name(shard)} stays at {percent(story.after[shard, worst])}{of_what}"
