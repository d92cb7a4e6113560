"""Where standing orders are kept and changed. What they make of a decision is in `control.aims` and `control.stating`.

The mode has three sources: an order; without one the settings; and where that is `auto`, what the forecasts have shown.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from plb_ray.control.auto_mode import proof, what_is_missing
from plb_ray.control.orders import Orders, OrdersView, orders_document, orders_of
from plb_ray.control.views import Mode
from plb_ray.errors import BadInputError, UnknownOrderParamError, UnknownShardError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.orders import OrdersChange
    from plb_ray.control.ports import OrdersStore, Queue
    from plb_ray.domain.champions import ChampionStanding

LOG = logging.getLogger("plb.control")
CONFIGURED = "as set by balancer.mode"


@dataclass(frozen=True)
class _Standing:
    """What is kept.

    Attributes:
        orders: their mode means nothing here.
        mode: as ordered; None: as configured.
        proved: by what the forecasts have proved themselves; empty if they have not.
    """

    orders: Orders = field(default_factory=Orders)
    mode: Mode | None = None
    proved: str = ""
    changed_at_s: float | None = None
    changed_by: str = ""


class OrderDesk:
    """See the module. Use from one event loop; `open` comes first.

    Args:
        store: where the orders are kept.
        queue: knows which order params and shards there are.
        now_s: the loop's clock.
        configured: mode of the settings.

    Attributes:
        error: why the orders of before are not in force, in a sentence; empty if they are.
    """

    def __init__(self, store: OrdersStore, queue: Queue, now_s: Callable[[], float], configured: Mode) -> None:
        self._store = store
        self._queue = queue
        self._now_s = now_s
        self._configured = configured
        self._standing = _Standing()
        self._missing = "nothing could be foreseen yet"
        self.error = ""

    async def open(self) -> None:
        """Read what was ordered before. What cannot be read might forbid anything, so then the balancer is paused."""
        document = await self._store.read()
        if document is None:
            return
        try:
            self._standing = _standing_of(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.error = f"the standing orders cannot be read ({error!r}): the balancer is paused; give them anew and resume"
            LOG.error("%s", self.error)  # noqa: TRY400  the sentence says it
            self._standing = _Standing(Orders(paused=True))

    @property
    def view(self) -> OrdersView:
        """The orders as they stand now."""
        at = self._standing
        ordered = at.mode or self._configured
        mode, why = self._comes_to(ordered)
        return OrdersView(ordered, why, replace(at.orders, mode=mode), at.changed_at_s, at.changed_by)

    async def learn(self, standing: ChampionStanding, quality: Iterable[ForecastQuality]) -> str:
        """Look whether the forecasts have proved themselves, which is kept; return by what, if that is new."""
        if self._standing.proved:
            return ""
        quality = tuple(quality)
        proved = proof(standing, quality)
        self._missing = "" if proved else what_is_missing(standing, quality)
        if proved:
            await self._keep(replace(self._standing, proved=proved))
        return proved

    async def change(self, change: OrdersChange) -> OrdersView:
        """See `OrderKeeping.change_orders`."""
        at, orders = self._standing, self._standing.orders.changed_by(change)
        await self._refuse_unfit(change, orders)
        mode = None if change.as_configured else change.mode or at.mode
        if (orders, mode) != (at.orders, at.mode):
            await self._keep(replace(at, orders=orders, mode=mode, changed_at_s=self._now_s(), changed_by=change.who))
        return self.view

    def _comes_to(self, ordered: Mode) -> tuple[Mode, str]:
        at = self._standing
        by = f"ordered by {at.changed_by}" if at.mode is not None else CONFIGURED
        if ordered is not Mode.AUTO:
            return ordered, by
        if at.proved:
            return Mode.PREDICTIVE, f"auto, {by}: {at.proved}"
        return Mode.FORECAST_ONLY, f"auto, {by}: the backtest has not passed yet: {self._missing}"

    async def _keep(self, standing: _Standing) -> None:
        await self._store.write(_document_of(standing))
        self._standing, self.error = standing, ""

    async def _refuse_unfit(self, change: OrdersChange, orders: Orders) -> None:
        """Refuse what the change orders, if it cannot be meant; what stood before, and a pause, ask nobody anything."""
        named = _wanted(change.draining) | _wanted(change.filling)
        order_params = _wanted(change.pins).union(*change.spread_groups.values())
        order_params |= {name for name, forbidden in change.forbidden.items() if forbidden}
        if order_params:
            _refuse_unknown(order_params, (await self._queue.mapping()).placements, UnknownOrderParamError)
        if named or order_params:
            shards = {shard.shard_id for shard in await self._queue.shards()}
            _refuse_unknown(named.union(*change.forbidden.values()), shards, UnknownShardError)
            _refuse_contradictions(change, orders, shards)


def _wanted(flags: Mapping[str, bool]) -> set[str]:
    return {name for name, wanted in flags.items() if wanted}


def _refuse_unknown(
    names: Iterable[str], known: Collection[str], error: type[UnknownShardError | UnknownOrderParamError]
) -> None:
    for name in sorted(names):
        if name not in known:
            raise error(name)


def _refuse_contradictions(change: OrdersChange, orders: Orders, shards: set[str]) -> None:
    """Refuse to order what no allocation can keep, whatever the load. Raises BadInputError."""
    if both := orders.draining & orders.filling & (_wanted(change.draining) | _wanted(change.filling)):
        raise BadInputError(f"shard {min(both)!r} cannot be drained and filled at once; take one of the two back first")
    if _wanted(change.draining) and shards <= orders.draining:
        raise BadInputError("every shard would be draining; at least one must keep taking order params")
    for name, forbidden in sorted(change.forbidden.items()):
        if shards <= forbidden:
            raise BadInputError(f"order param {name!r} would be forbidden on every shard; leave it at least one")
    for group, members in sorted(change.spread_groups.items()):
        if len(members) > len(shards):
            raise BadInputError(f"group {group!r} has {len(members)} order params, but there are {len(shards)} shards")
        for name in sorted(members):
            others = {other for other, theirs in orders.spread_groups.items() if name in theirs} - {group}
            if others:
                raise BadInputError(f"order param {name!r} is in group {min(others)!r} already; it can be in one only")


def _document_of(standing: _Standing) -> dict[str, Any]:
    at = standing
    about = {"proved": at.proved, "changed_at_s": at.changed_at_s, "changed_by": at.changed_by}
    return {"orders": orders_document(at.orders), "mode": at.mode.value if at.mode else None, **about}


def _standing_of(document: dict[str, Any]) -> _Standing:
    mode = document["mode"]
    return _Standing(
        orders=orders_of(document["orders"]),
        mode=None if mode is None else Mode(mode),
        proved=str(document["proved"]),
        changed_at_s=document["changed_at_s"],
        changed_by=str(document["changed_by"]),
    )
