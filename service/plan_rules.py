"""The rules in a plan folder's files: zones, forbidden shards, spread groups, pins. Contradictions are refused.

A rule that is broken now, but that a plan could mend, is no contradiction. How cells are read is in `service.plan_cells`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from plb_ray.domain.plan import NOWHERE, PlacementRules

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.plan_cells import Sheet


def read_rules(
    shards: Sheet, sheet: Sheet, names: tuple[str, ...], current: NDArray[np.int64], draining: NDArray[np.bool_]
) -> PlacementRules:
    """Return the rules of both files.

    Args:
        shards: shards.csv.
        sheet: order_params.csv.
        names: (S,) of the shards.
        current: (K,) position of each order param's shard, or -1.
        draining: (S,).

    Raises:
        BadInputError: a rule names what does not exist, or no allocation can keep the rules.
    """
    zone_names, zone = np.unique(np.array(shards.text("zone").to_pylist(), dtype=object).astype(str), return_inverse=True)
    zone_set, zone_sets = _zone_sets(sheet, {name: number for number, name in enumerate(zone_names.tolist())})
    rules = PlacementRules(
        pinned=sheet.flags("pinned"),
        draining=draining,
        closed=np.zeros(shards.rows, dtype=np.bool_),
        zone=zone.astype(np.int64),
        zone_sets=zone_sets,
        zone_set=zone_set,
        forbidden=_forbidden(sheet, names),
        spread_group=_spread_group(sheet),
    )
    _refuse_contradictions(sheet, names, current, rules)
    return rules


def _zone_sets(sheet: Sheet, zones: dict[str, int]) -> tuple[NDArray[np.int64], tuple[frozenset[int], ...]]:
    codes, lists = sheet.lists("zones")
    for code, listed in enumerate(lists):
        for zone in (each for each in listed if each not in zones):
            known = ", ".join(each for each in zones if each) or "none: shards.csv states no zones"
            what = f"names the unknown zone {zone!r}; correct it, or add it to shards.csv (known: {known})"
            sheet.refuse(int(np.argmax(codes == code)), "zones", what)
    sets = [frozenset(zones[each] for each in listed) for listed in lists]
    distinct = tuple(dict.fromkeys(each for each in sets if each))
    number = np.array([distinct.index(each) if each else NOWHERE for each in sets] or [NOWHERE], dtype=np.int64)
    return number[codes], distinct


def _forbidden(sheet: Sheet, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return (F, 2) pairs (order param, shard)."""
    codes, lists = sheet.lists("forbidden")
    position = {name: number for number, name in enumerate(names)}
    for code, listed in enumerate(lists):
        for name in (each for each in listed if each not in position):
            what = f"names the unknown shard {name!r}; add it to shards.csv or correct it"
            sheet.refuse(int(np.argmax(codes == code)), "forbidden", what)
    sets = [tuple(position[name] for name in dict.fromkeys(listed)) for listed in lists]
    sizes = np.array([len(each) for each in sets], dtype=np.int64)
    listed = np.array([shard for each in sets for shard in each], dtype=np.int64)
    rows = np.repeat(np.arange(codes.size), sizes[codes])
    nth = np.arange(rows.size) - np.repeat(np.cumsum(sizes[codes]) - sizes[codes], sizes[codes])  # place in its own list
    return np.stack([rows, listed[(np.cumsum(sizes) - sizes)[codes[rows]] + nth]], axis=1).astype(np.int64)


def _spread_group(sheet: Sheet) -> NDArray[np.int64]:
    codes, lists = sheet.lists("spread_group")
    number = np.array([code if names else NOWHERE for code, names in enumerate(lists)] or [NOWHERE], dtype=np.int64)
    return number[codes]


def _refuse_contradictions(sheet: Sheet, names: tuple[str, ...], current: NDArray[np.int64], rules: PlacementRules) -> None:
    """Refuse rules that no allocation can keep."""
    _refuse_homeless(sheet, rules)
    pinned = rules.pinned & (current >= 0)
    home = np.maximum(current, 0)
    zone_ok = _zone_ok(rules)
    wrong_zone = ~zone_ok[rules.zone_set, rules.zone[home]] if names else np.zeros(len(current), dtype=np.bool_)
    there = np.zeros(len(current), dtype=np.bool_)
    there[rules.forbidden[current[rules.forbidden[:, 0]] == rules.forbidden[:, 1], 0]] = True
    draining = rules.draining[home] if len(names) else wrong_zone
    for broken, what in (
        (draining, "which is draining"),
        (wrong_zone, "which is in none of its zones"),
        (there, "which is forbidden to it"),
    ):
        if (pinned & broken).any():
            row = int(np.argmax(pinned & broken))
            sheet.refuse(
                row, "pinned", f"pins the order param to shard {names[current[row]]!r}, {what}; drop one of the two rules"
            )
    _refuse_groups(sheet, names, current, rules)


def _zone_ok(rules: PlacementRules) -> NDArray[np.bool_]:
    """Return (Z + 1, zones): which zones a set of zones allows; the last row, for any zone (-1), allows all."""
    allowed = np.zeros((len(rules.zone_sets) + 1, int(rules.zone.max(initial=-1)) + 1), dtype=np.bool_)
    allowed[-1] = True
    for number, zones in enumerate(rules.zone_sets):
        allowed[number, sorted(zones)] = True
    return allowed


def _refuse_homeless(sheet: Sheet, rules: PlacementRules) -> None:
    """Refuse an order param that zones and forbidden shards leave no shard."""
    if not rules.zone.size:
        return
    zone_ok = _zone_ok(rules)
    usable = zone_ok @ np.bincount(rules.zone, minlength=zone_ok.shape[1])  # (Z + 1,) shards
    rows, shards = rules.forbidden[:, 0], rules.forbidden[:, 1]
    counted = rows[zone_ok[rules.zone_set[rows], rules.zone[shards]]]
    left = usable[rules.zone_set] - np.bincount(counted, minlength=rules.zone_set.size)
    if (left <= 0).any():
        row = int(np.argmax(left <= 0))
        sheet.refuse(row, "forbidden", "together with zones leaves the order param no shard at all; allow it one")


def _refuse_groups(sheet: Sheet, names: tuple[str, ...], current: NDArray[np.int64], rules: PlacementRules) -> None:
    group = rules.spread_group
    members = np.flatnonzero(group >= 0)
    sizes = np.bincount(group[members]) if members.size else np.zeros(0, dtype=np.int64)
    if names and (sizes > len(names)).any():
        largest = int(np.argmax(sizes))
        row = int(np.flatnonzero(group == largest)[len(names)])
        what = f"the group has {sizes[largest]} members, there are only {len(names)} shards to spread them over"
        sheet.refuse(row, "spread_group", f"{what}; make the group smaller")
    fixed = members[rules.pinned[members] & (current[members] >= 0)]
    _, first, inverse = np.unique(group[fixed] * max(1, len(names)) + current[fixed], return_index=True, return_inverse=True)
    again = np.flatnonzero(first[inverse] != np.arange(fixed.size))
    if again.size:
        row, other = int(fixed[again[0]]), int(fixed[first[inverse[again[0]]]])
        what = f"pins a second member of its spread group to shard {names[current[row]]!r}"
        sheet.refuse(row, "pinned", f"{what} (the other is in row {sheet.line(other)}); unpin one of them")
