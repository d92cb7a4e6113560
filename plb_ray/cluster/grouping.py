"""Which order params share a network. Pure: names and loads in, groups out.

Each group has one network per horizon and lives on one actor. An order param stays in its group for good, so that the
artifact of a group goes on fitting its members; only new ones are placed. The hottest ones may each get a group of their
own, whose network goes on from that of a shared group, its parent, and learns nothing but them from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SHARED = "group-"
DEDICATED = "hot-"


def assign_groups(loads: Mapping[str, float], shared: int, dedicated: int, previous: Mapping[str, str]) -> dict[str, str]:
    """Return order param -> group for everything in `loads` and `previous`.

    Args:
        loads: order param -> its mean rate; decides who is hot and balances the groups.
        shared: number of shared groups, >= 1.
        dedicated: how many of the hottest get a group of their own, decided when nothing was assigned before.
        previous: assignment to keep.
    """
    assigned = dict(previous)
    new = sorted((name for name in loads if name not in assigned), key=lambda name: (-loads[name], name))
    if not previous:
        # one order param at least is left for the shared groups, or newcomers would find no network there
        hottest = new[: max(0, min(dedicated, len(new) - 1))]
        assigned.update({name: f"{DEDICATED}{rank}" for rank, name in enumerate(hottest)})
        new = new[len(hottest) :]
    _spread(new, loads, [f"{SHARED}{i}" for i in range(shared)], assigned)
    return assigned


def _spread(names: list[str], loads: Mapping[str, float], groups: list[str], assigned: dict[str, str]) -> None:
    """Add `names`, hottest first, each to the group with the least load among those that are not yet full."""
    count = dict.fromkeys(groups, 0)
    load = dict.fromkeys(groups, 0.0)
    for name, group in assigned.items():
        if group in count:
            count[group] += 1
            load[group] += loads.get(name, 0.0)
    full = -(-(sum(count.values()) + len(names)) // len(groups))
    for name in names:
        group = min((g for g in groups if count[g] < full), key=lambda g: (load[g], count[g], g))
        assigned[name] = group
        count[group] += 1
        load[group] += loads[name]


def actor_of(group: str, actors: int) -> int:
    """Return the index of the actor that hosts a group; dedicated groups begin at the far end."""
    if group.startswith(SHARED):
        return int(group.removeprefix(SHARED)) % actors
    return actors - 1 - int(group.removeprefix(DEDICATED)) % actors


def parent_of(group: str, groups: Collection[str]) -> str:
    """Return the shared group whose network a dedicated group's goes on from; empty for a shared one, or without any.

    Args:
        group: of `groups`.
        groups: all there are. With as many shared ones as actors the parent is on the same actor, which trains it first.
    """
    shared = sorted(name for name in groups if name.startswith(SHARED))
    if not group.startswith(DEDICATED) or not shared:
        return ""
    return min(shared, key=lambda name: (actor_of(name, len(shared)) != actor_of(group, len(shared)), name))
