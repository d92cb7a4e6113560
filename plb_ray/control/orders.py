"""What the operator has ordered: it stands until it is withdrawn, and every decision keeps to it. Plain values, no IO.

Orders         what a decision keeps to
OrdersChange   what an operator asks for; `Orders.changed_by` applies it
OrdersView     what is shown: the orders in force, who gave the last one, and what the mode comes to
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from plb_ray.control.views import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    Sets = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Orders:
    """Standing orders.

    Attributes:
        mode: what the balancer may do; never AUTO, which is ordered, but comes to another one.
        paused: nothing is planned or sent until the operator resumes; migrations under way go on.
        approval: moves wait until the operator approves the plan they are of.
        pinned: order params that stay where they are.
        forbidden: shards that an order param may not be on, by order param.
        spread_groups: sets of order params of which no two may share a shard, by the group's name.
        draining: shards that are to be emptied and take nothing.
        filling: if there are any, order params are moved onto these shards only, until they have their share of the load.
    """

    mode: Mode = Mode.PREDICTIVE
    paused: bool = False
    approval: bool = False
    pinned: frozenset[str] = frozenset()
    forbidden: Sets = field(default_factory=dict)
    spread_groups: Sets = field(default_factory=dict)
    draining: frozenset[str] = frozenset()
    filling: frozenset[str] = frozenset()

    def changed_by(self, change: OrdersChange) -> Orders:
        """Return the orders after a change; its mode is not looked at here."""
        return replace(
            self,
            paused=self.paused if change.paused is None else change.paused,
            approval=self.approval if change.approval is None else change.approval,
            pinned=_with_members(self.pinned, change.pins),
            forbidden=_with_sets(self.forbidden, change.forbidden),
            spread_groups=_with_sets(self.spread_groups, change.spread_groups),
            draining=_with_members(self.draining, change.draining),
            filling=_with_members(self.filling, change.filling),
        )


@dataclass(frozen=True)
class OrdersChange:
    """A change of the standing orders; what it does not name stays as it is. The same change again changes nothing.

    Attributes:
        who: gives it.
        mode: of the balancer; None: stays.
        as_configured: take back an ordered mode, so that the one of the settings counts.
        paused, approval: None: stay.
        pins: order params that are pinned from now on (True), or are not any more (False).
        forbidden: shards that an order param may not be on, in place of those so far; an empty set: none.
        spread_groups: members of a group, in place of those so far; an empty set: the group is dissolved.
        draining, filling: shards that are emptied, or filled, from now on (True), or are not any more (False).
    """

    who: str
    mode: Mode | None = None
    as_configured: bool = False
    paused: bool | None = None
    approval: bool | None = None
    pins: Mapping[str, bool] = field(default_factory=dict)
    forbidden: Sets = field(default_factory=dict)
    spread_groups: Sets = field(default_factory=dict)
    draining: Mapping[str, bool] = field(default_factory=dict)
    filling: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class OrdersView:
    """The standing orders as they are shown.

    Attributes:
        ordered: mode as ordered, or as configured; maybe AUTO.
        why: why `orders.mode` is what it is, in a sentence.
        orders: in force; their mode is what the ordered one comes to now.
        changed_at_s: when the last order was given, in the loop's clock; None if none ever was.
        changed_by: who gave it.
    """

    ordered: Mode
    why: str
    orders: Orders
    changed_at_s: float | None = None
    changed_by: str = ""


def orders_document(orders: Orders) -> dict[str, object]:
    """Return the orders as plain JSON values, names sorted; the mode is left out."""
    return {each.name: _plain(getattr(orders, each.name)) for each in fields(orders) if each.name != "mode"}


def orders_of(document: Mapping[str, object]) -> Orders:
    """Return what `orders_document` gave; a field that an older release did not write has its default.

    Raises:
        TypeError, ValueError, AttributeError: it is something else.
    """
    kinds = {"paused": bool, "approval": bool, "pinned": frozenset, "draining": frozenset, "filling": frozenset}
    found = {name: kind(document[name]) for name, kind in kinds.items() if name in document}
    for name in ("forbidden", "spread_groups"):
        if name in document:
            found[name] = {key: frozenset(values) for key, values in document[name].items()}  # type: ignore[attr-defined]
    return Orders(**found)


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {key: sorted(names) for key, names in sorted(value.items())}
    return value


def _with_members(names: frozenset[str], change: Mapping[str, bool]) -> frozenset[str]:
    return names.difference(change).union(name for name, member in change.items() if member)


def _with_sets(sets: Sets, change: Sets) -> Sets:
    return {name: members for name, members in {**sets, **change}.items() if members}
