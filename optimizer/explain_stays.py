"""What a plan leaves unresolved, in words: shards over their limit, broken rules, moves over a limit on their way.

A sentence says what stays, how far it goes, when, and why: the first of the known reasons that holds. Facts of the problem
(an order param that no shard can hold, not enough of a resource in all shards together) come before limits of planning
(moves used up, time used up). Of each of the three kinds at most `SENTENCES_MAX` are told in full; a last sentence
then names the rest, so that nothing is left out. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from optimizer.explain_story import percent, share_of
from optimizer.modes import with_rules
from plb_ray.domain.plan import Termination

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.explain_story import Story
    from optimizer.sequencing import Step

SENTENCES_MAX = 60  # of each kind
MISSING_MIN = 1e-9  # relative: less missing than this is rounding
HELD = "(pinned, in migration or cooling down)"


def unresolved(story: Story, steps: tuple[Step, ...] = ()) -> tuple[str, ...]:
    """Return one sentence per shard that stays over its limit, per broken rule that stays, and per forced step."""
    return (*_overloads(story), *_broken_rules(story), *_ways(story, [step for step in steps if step.forced]))


def _overloads(story: Story) -> list[str]:
    over = np.flatnonzero(story.stays_hot)
    if over.size == 0:
        return []
    units = (story.packing.over(story.packing.use(story.shard_of)) * story.packing.weight)[over].sum(axis=1)
    worst_first = over[np.argsort(-units, kind="stable")].tolist()
    reasons = _Overloads(story)
    rest = [story.name(shard) for shard in worst_first[SENTENCES_MAX:]]
    return [reasons.of(shard) for shard in worst_first[:SENTENCES_MAX]] + _and_more(rest, "shards stay over their limit")


def _broken_rules(story: Story) -> list[str]:
    broken = _broken(story)
    rest = [story.order_param(row) for row, _ in broken[SENTENCES_MAX:]]
    told = [
        f"order param {story.order_param(row)} {what}: {_why_broken(story, row)}" for row, what in broken[:SENTENCES_MAX]
    ]
    return list(dict.fromkeys(told)) + _and_more(rest, "order params stay where a rule forbids it")  # segments say the same


def _ways(story: Story, forced: list[Step]) -> list[str]:
    rest = [story.order_param(step.row) for step in forced[SENTENCES_MAX:]]
    told = [_over_on_its_way(story, step) for step in forced[:SENTENCES_MAX]]
    return told + _and_more(rest, "order params, each over the limit on its way")


def _and_more(names: list[str], what: str) -> list[str]:
    return [f"and {len(names)} more {what}: {', '.join(names)}"] if names else []


def _over_on_its_way(story: Story, step: Step) -> str:
    source, shard = int(story.home[step.row]), int(story.shard_of[step.row])
    origin = "" if source == story.packing.nowhere else f" from {story.name(source)}"
    stays = bool(story.stays_hot[shard])
    why = (
        "its destination stays over its limit"
        if stays
        else "no wave or third shard was found that has room for both copies and no member of its spread group"
    )
    return f"order param {story.order_param(step.row)} goes over the limit on its way{origin} to {story.name(shard)}: {why}"


class _Overloads:
    """Why shards stay over their limit; holds what the sentences share."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.start = np.concatenate([[0], np.cumsum(np.bincount(story.shard_of, minlength=story.packing.shards))])
        self.item = np.argsort(story.shard_of, kind="stable")
        self.receives = np.asarray(story.packing.allowed.any(axis=0))[:-1]  # (S,)

    def of(self, shard: int) -> str:
        """Return the sentence for one shard."""
        story = self.story
        over = story.use_after[shard] > story.packing.limit[shard]
        column = int(np.argmax(np.where(over, story.after[shard], -1.0)))
        how_far = story.over_limit(shard, float(story.after[shard, column]), column)
        what = f"shard {story.name(shard)} stays at {how_far} {story.when(column)}"
        checks = (
            self._migrations,
            self._giant,
            self._none_movable,
            self._nowhere_to_go,
            self._no_volume,
            self._moves_used_up,
        )
        why = next((reason for check in checks if (reason := check(shard, column))), None)
        return f"{what}: {why or _last_reason(story)}"

    def _rows(self, shard: int, column: int) -> NDArray[np.int64]:
        """Return the rows on a shard that load a column."""
        rows = self.item[self.start[shard] : self.start[shard + 1]]
        loaded = np.asarray(self.story.packing.load[rows, column] > 0)
        return np.asarray(rows[loaded])

    def _migrations(self, shard: int, column: int) -> str | None:
        packing = self.story.packing
        if packing.base[shard, column] <= packing.limit[shard, column]:
            return None
        alone = percent(float(share_of(packing.base[shard], packing.capacity[shard])[column]))
        return f"running migrations alone hold {alone} of its {self.story.resource(column)}"

    def _giant(self, shard: int, column: int) -> str | None:
        """Name an order param that no shard which it may be on can hold."""
        story, packing, rows = self.story, self.story.packing, self._rows(shard, column)
        if rows.size == 0:
            return None
        row = int(rows[np.argmax(packing.load[rows, column])])
        may = packing.allowed[packing.rule[row], :-1] | (np.arange(len(story.problem.shards)) == shard)
        limit, capacity = packing.limit[:-1, column], packing.capacity[:-1, column]
        if packing.load[row, column] <= limit[may].max():
            return None
        anywhere = packing.load[row, column] > limit.max()
        largest = int(np.argmax(limit)) if anywhere else int(np.argmax(np.where(may, limit, -1.0)))
        which = "the largest shard" if anywhere else "the largest shard that it may be on"
        name, needs = (
            story.order_param(row),
            percent(packing.load[row, column] / capacity[largest] if capacity[largest] else np.inf),
        )
        alone = f"order param {name} alone needs {needs} of the {story.resource(column)} of {which}"
        if not anywhere or limit[largest] <= 0:
            return f"{alone}; it needs a larger one"
        return f"{alone}; it needs {np.ceil(packing.load[row, column] / limit[largest]):.0f} shards or a larger one"

    def _none_movable(self, shard: int, column: int) -> str | None:
        if self.story.packing.movable[self._rows(shard, column)].any():
            return None
        return f"none of its order params with load may move now {HELD}"

    def _nowhere_to_go(self, shard: int, column: int) -> str | None:  # noqa: ARG002 - one of a row of checks
        others = self.receives.copy()
        others[shard] = False
        return None if others.any() else "there is no other shard that takes order params"

    def _no_volume(self, shard: int, column: int) -> str | None:
        """Say how much of a resource all shards together lack, if they do where this shard is over its limit."""
        story, volume = self.story, self._volume
        over = story.use_after[shard] > story.packing.limit[shard]
        lacking = np.where(over, volume.share, 0.0)
        if not lacking.max() > 0:
            return None
        worst = int(np.argmax(lacking))
        when = "" if worst // story.packing.resources == column // story.packing.resources else f" {story.when(worst)}"
        count = volume.shards[worst]
        more = "" if count == 0 else f"; about {count:.0f} more shard{'' if count == 1 else 's'} needed"
        name = story.problem.resources[worst % story.packing.resources]
        return (
            f"{volume.which} lack {percent(volume.share[worst])} of {story.resource(worst)}{when}{more}"
            f" ({volume.missing[worst]:.4g} {name} missing)"
        )

    @cached_property
    def _volume(self) -> _Volume:
        return _volume(self.story)

    def _moves_used_up(self, shard: int, column: int) -> str | None:  # noqa: ARG002 - one of a row of checks
        if not self.story.moves_used_up:
            return None
        return f"this plan may have only {self.story.packing.moves_max} moves and uses them all"


@dataclass(frozen=True, eq=False)
class _Volume:
    """What the shards together lack, in the problem's own units; (D,) each, 0 where they do not.

    Attributes:
        missing: load that finds no room under the limits even if it could be cut at will.
        share: of the total capacity.
        shards: how many of the largest shards that is.
        which: the shards meant, in words.
    """

    missing: NDArray[np.float64]
    share: NDArray[np.float64]
    shards: NDArray[np.float64]
    which: str


def _volume(story: Story) -> _Volume:
    """Compare the total load with the limits: of a shard that takes nothing, only as much as it may keep."""
    problem, rules = story.problem, with_rules(story.problem).rules
    count, steps, _ = problem.load.shape
    load = problem.load.reshape(count, -1)  # (K, D)
    base = np.zeros((len(problem.shards), load.shape[1]))
    if problem.in_flight is not None:
        base = problem.in_flight.reshape(base.shape)
    limit = np.tile(problem.capacity * problem.headroom[:, None], (1, steps))  # (S, D)
    draining = rules.draining.copy()
    draining[list(story.drained)] = True
    stays = (problem.current >= 0) & (rules.pinned | ~draining[problem.current])
    kept = base.copy()
    np.add.at(kept, problem.current[stays], load[stays])
    room = np.where((draining | rules.closed)[:, None], np.minimum(limit, kept), limit).sum(axis=0)
    total = load.sum(axis=0) + base.sum(axis=0)
    missing = np.where(total - room > MISSING_MIN * total, total - room, 0.0)
    capacity = np.tile(problem.capacity.sum(axis=0), steps)
    share = np.divide(missing, capacity, out=np.where(missing > 0, np.inf, 0.0), where=capacity > 0)
    largest = limit.max(axis=0)
    shards = np.divide(missing, largest, out=np.zeros_like(missing), where=largest > 0)
    takes_all = not (draining | rules.closed).any()
    return _Volume(
        missing,
        share,
        np.ceil(shards - MISSING_MIN),
        "all shards together" if takes_all else "the shards that take order params",
    )


def _last_reason(story: Story) -> str:
    if story.solution.least_overload:
        return "no allocation of the order params that may move leaves less overload (proven)"
    return f"{_not_found(story)}; it is not proven that there is none"


def _not_found(story: Story) -> str:
    termination, budget = story.solution.termination, story.problem.budget
    if termination is Termination.DEADLINE:
        return f"no better plan was found in {budget.wall_s:g} s"
    if termination is Termination.WORK:
        return f"no better plan was found in {budget.work} steps of work"
    return "no better plan was found"


# ---- rules that stay broken


def _broken(story: Story) -> list[tuple[int, str]]:
    """Return (row, what stays broken): rows where they must not be, and those beside a member of their group except one."""
    wrong = np.flatnonzero(story.stated.must_leave & (story.shard_of == story.home))
    return [(row, _rule(story, row)) for row in wrong.tolist()] + _crowded(story)


def _rule(story: Story, row: int) -> str:
    shard, k = int(story.shard_of[row]), int(story.packing.origin[row])
    if shard == story.packing.nowhere:
        return "stays without a shard"
    rules, name = story.problem.rules, story.name(shard)
    if shard in story.emptied:
        return f"stays on shard {name}, which is to be emptied"
    if rules.draining[shard]:
        return f"stays on shard {name}, which is draining"
    if rules.zone_set[k] >= 0 and int(rules.zone[shard]) not in rules.zone_sets[rules.zone_set[k]]:
        return f"stays on shard {name}, which is in a zone that is not allowed to it"
    return f"stays on shard {name}, which is forbidden to it"


def _crowded(story: Story) -> list[tuple[int, str]]:
    """Return those beside a member of their group: all but one, and that is one which may not move if there is any."""
    packing = story.packing
    members = packing.group_member[story.shard_of[packing.group_member] != packing.nowhere]
    place = packing.group[members] * packing.shards + story.shard_of[members]
    order = np.lexsort((packing.movable[members], place))
    members, place = members[order], place[order]
    found, anchor = [], 0
    for position in range(1, members.size):
        if place[position] != place[position - 1]:
            anchor = position
            continue
        row, other = int(members[position]), int(members[anchor])
        shard = story.name(int(story.shard_of[row]))
        found.append((row, f"stays on shard {shard} beside order param {story.order_param(other)} of its spread group"))
    return found


def _why_broken(story: Story, row: int) -> str:
    packing = story.packing
    if not packing.movable[row]:
        return f"it may not move now {HELD}"
    may = packing.allowed[packing.rule[row]].copy()
    may[story.shard_of[row]] = False
    if not may.any():
        return "no other shard that takes order params is allowed to it"
    if _members_everywhere(story, row, may):
        return "every other shard that is allowed to it has a member of its spread group"
    if story.moves_used_up:
        return f"this plan may have only {packing.moves_max} moves and uses them all"
    return _not_found(story)


def _members_everywhere(story: Story, row: int, may: NDArray[np.bool_]) -> bool:
    packing, group = story.packing, int(story.packing.group[row])
    if group < 0:
        return False
    members = packing.group_member[packing.group_start[group] : packing.group_start[group + 1]]
    free = may.copy()
    free[story.shard_of[members]] = False
    return not free.any()
