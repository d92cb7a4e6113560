"""The orders' part of the `Balancer` port, over whatever passes questions on to the loop; see `service.deployments`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from service.asks import Asks

if TYPE_CHECKING:
    from plb_ray.control.orders import OrdersChange, OrdersView
    from plb_ray.control.orders_port import PlanAct, PlanQuery, PlanSave
    from plb_ray.control.saved_plans import SavedPlan


class OrderAsks(Asks):
    """A part of the adapter of the control actor."""

    async def orders(self) -> OrdersView:
        """See `Balancer`."""
        return cast("OrdersView", await self._ask("orders"))

    async def change_orders(self, change: OrdersChange) -> OrdersView:
        """See `Balancer`."""
        doing = "while orders were being changed; repeat the request"
        return cast("OrdersView", await self._act("change_orders", change, doing=doing))

    async def plans(self, query: PlanQuery) -> tuple[SavedPlan, ...]:
        """See `Balancer`."""
        return cast("tuple[SavedPlan, ...]", await self._ask("plans", query))

    async def plan(self, plan_id: str) -> SavedPlan:
        """See `Balancer`."""
        return cast("SavedPlan", await self._ask("plan", plan_id))

    async def save_plan(self, save: PlanSave) -> SavedPlan:
        """See `Balancer`."""
        doing = "while a plan was being saved; GET /v1/plans tells whether it is kept"
        return cast("SavedPlan", await self._act("save_plan", save, doing=doing))

    async def approve_plan(self, act: PlanAct) -> SavedPlan:
        """See `Balancer`."""
        return await self._done("approve_plan", act)

    async def execute_plan(self, act: PlanAct) -> SavedPlan:
        """See `Balancer`."""
        return await self._done("execute_plan", act)

    async def cancel_plan(self, act: PlanAct) -> SavedPlan:
        """See `Balancer`."""
        return await self._done("cancel_plan", act)

    async def _done(self, method: str, act: PlanAct) -> SavedPlan:
        doing = f"while plan {act.plan_id!r} was being changed; repeat the request"
        return cast("SavedPlan", await self._act(method, act, doing=doing))
