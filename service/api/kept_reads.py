"""The large pictures of the balancer, kept for a moment: asked for once, then looked at by many different requests.

`Snapshots` keeps whole answers. This keeps what answers are made of. Pictures are frozen, so that sharing them is safe.

    status, mapping, migrations      for `keep_s`
    which look they come from        for `keep_s`
    the table of order params        until there is another look
    histories, forecasts, costs      the same, and not of one order param but of `BLOCK` that stand together in the table:
                                     who asks for hundreds of order params a second asks the control loop for a few blocks

What is of a look never changes, so nothing that is done over HTTP makes it older than it is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, cast

from plb_ray.errors import NotReadyError, UnknownOrderParamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.control.looks_port import Look
    from plb_ray.control.order_param_table import OrderParamTable
    from plb_ray.control.record_port import CostView
    from plb_ray.control.views import Balancer
    from plb_ray.domain.rates import Forecast, OrderParamForecast, RateHistory

KEPT = frozenset({"status", "mapping", "migrations"})
BLOCK = 128
BLOCK_STEPS_MAX = 288  # of a history; who wants more wants it of a few order params only
BLOCKS_MAX = 600  # some 80 kB each
TABLE = ("order_params",)

Key = tuple[Any, ...]


class KeptReads:
    """A `Balancer` whose pictures may be a little old; what is not kept is passed on as it is.

    Args:
        balancer: whom to ask.
        keep_s: how old a picture may be.
        now_s: a clock that only goes forward.
    """

    def __init__(self, balancer: Balancer, keep_s: float, now_s: Callable[[], float]) -> None:
        self._balancer = balancer
        self._keep_s = keep_s
        self._now_s = now_s
        self._kept: dict[Key, tuple[float, asyncio.Task[Any]]] = {}
        self._of_a_look: OrderedDict[Key, tuple[Look, asyncio.Task[Any]]] = OrderedDict()

    def __getattr__(self, method: str) -> Any:
        asked = getattr(self._balancer, method)
        if method not in KEPT or not self._keep_s:
            return asked
        return lambda *args: self._for_a_moment(method, *args)

    async def order_params(self) -> OrderParamTable:
        """See `Balancer`."""
        if not self._keep_s:
            return await self._balancer.order_params()
        return cast("OrderParamTable", await self._for_a_look(TABLE, self._balancer.order_params))

    async def history(self, order_param: str, steps: int) -> tuple[tuple[float, float], ...]:
        """See `Balancer`."""
        names = await self._block(order_param) if 0 < steps <= BLOCK_STEPS_MAX else ()
        if not names:
            return await self._balancer.history(order_param, steps)
        key = ("histories", steps, names[0])
        found: RateHistory = await self._for_a_look(key, lambda: self._balancer.histories(names, steps))
        row = found.index.get(order_param)
        if row is None:
            raise UnknownOrderParamError(order_param)
        starts_s = range(found.start_s, found.end_s, found.step_s)
        return tuple(zip(map(float, starts_s), found.messages_per_s[row].tolist(), strict=True))

    async def forecast(self, order_param: str, horizon: str) -> OrderParamForecast:
        """See `Balancer`."""
        names = await self._block(order_param)
        if not names:
            return await self._balancer.forecast(order_param, horizon)
        key = ("forecasts", horizon, names[0])
        found: Forecast = await self._for_a_look(key, lambda: self._balancer.forecasts(names, horizon))
        return found.of(order_param)

    async def cost(self, order_param: str) -> CostView:
        """See `Balancer`."""
        names = await self._block(order_param)
        if not names:
            return await self._balancer.cost(order_param)
        key = ("costs", names[0])
        found: dict[str, CostView] = await self._for_a_look(key, lambda: self._costs(names))
        if order_param not in found:
            raise UnknownOrderParamError(order_param)
        return found[order_param]

    def forget(self) -> None:
        """Let go of everything that is not of a look: something was changed."""
        self._kept.clear()

    async def _costs(self, names: tuple[str, ...]) -> dict[str, CostView]:
        return {each.order_param: each for each in await self._balancer.costs_of(names)}

    async def _block(self, order_param: str) -> tuple[str, ...]:
        """Return the names of the block that an order param stands in; empty if it stands in none, or none is kept."""
        if not self._keep_s:
            return ()
        try:
            table = await self.order_params()
        except NotReadyError:
            return ()
        row = table.index.get(order_param)
        if row is None:
            return ()
        first = row // BLOCK * BLOCK
        return table.names[first : first + BLOCK]

    async def _for_a_moment(self, method: str, *args: Any) -> Any:
        key, now_s = (method, *args), self._now_s()
        at_s, task = self._kept.get(key, (0.0, None))
        if task is None or now_s - at_s >= self._keep_s or _failed(task):
            task = asyncio.ensure_future(getattr(self._balancer, method)(*args))
            self._kept[key] = (now_s, task)
        return await _of(task)

    async def _for_a_look(self, key: Key, ask: Callable[[], Awaitable[Any]]) -> Any:
        look: Look = await self._for_a_moment("look")
        of, task = self._of_a_look.get(key, (None, None))
        if task is None or of != look or _failed(task):
            task = asyncio.ensure_future(ask())
            self._of_a_look[key] = (look, task)
            if len(self._of_a_look) > BLOCKS_MAX:
                self._of_a_look.popitem(last=False)
        self._of_a_look.move_to_end(key)
        return await _of(task)


async def _of(task: asyncio.Task[Any]) -> Any:
    """Return a task's result. Shielded: one who goes away must not take the picture from the others."""
    return task.result() if task.done() else await asyncio.shield(task)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
