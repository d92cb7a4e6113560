"""The orders of the fake balancer: the real desks over stores in memory; moves arrive as soon as they are sent."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from plb_ray.control.memory_orders import MemoryOrders, MemoryPlans
from plb_ray.control.order_desk import OrderDesk
from plb_ray.control.plan_clerk import Carried, PlanClerk
from plb_ray.control.plan_desk import PlanDesk
from plb_ray.control.views import Mode
from plb_ray.domain.load import ResourceVector, Shard
from plb_ray.domain.mapping import Mapping, Placement

NOW_S = 1_385_560_800.0  # 2013-11-27 14:00 UTC


class _Known:
    """The part of a queue that an order desk asks: which order params and shards there are."""

    def __init__(self, balancer):
        self._balancer = balancer

    async def mapping(self):
        return self._balancer.placements

    async def shards(self):
        views = self._balancer.status_now.shards
        return tuple(Shard(view.shard_id, view.endpoint, ResourceVector(1.0)) for view in views)


class FakeOrders:
    """A base of `FakeBalancer`, which has `_maybe_fail`, `placements`, `status_now` and `dry_run`."""

    @cached_property
    def order_desk(self):
        return OrderDesk(MemoryOrders(), _Known(self), lambda: NOW_S, Mode.AUTO)

    @cached_property
    def plan_desk(self):
        return PlanDesk(MemoryPlans(), lambda: NOW_S)

    @cached_property
    def clerk(self):
        return PlanClerk(self.plan_desk, self.order_desk, self._carry, 3600.0)

    async def _carry(self, saved):
        """Let what is on its source arrive; whatever is elsewhere is a fault."""
        left = [move for move in saved.plan.moves if self._known(move.order_param).owner != move.destination]
        faults = tuple(
            f"order param {move.order_param} is on {self._known(move.order_param).owner}, not on {move.source}"
            for move in left
            if self._known(move.order_param).owner != move.source
        )
        if not faults:
            arrived = {move.order_param: Placement(move.order_param, (move.destination,), 9) for move in left}
            self.placements = Mapping(self.placements.generation + len(left), {**self.placements.placements, **arrived})
        return Carried(len(left), faults)

    async def orders(self):
        self._maybe_fail("orders")
        return self.order_desk.view

    async def change_orders(self, change):
        self._maybe_fail("change_orders")
        return await self.order_desk.change(change)

    async def plans(self, query):
        self._maybe_fail("plans")
        return await self.plan_desk.find(query)

    async def plan(self, plan_id):
        self._maybe_fail("plan")
        return await self.plan_desk.get(plan_id)

    async def save_plan(self, save):
        self._maybe_fail("save_plan")
        decision = await self.dry_run()
        moves = tuple(
            replace(move, source=self._known(move.order_param).owner)
            for move in decision.plan.moves
            if self._known(move.order_param).owner != move.destination
        )
        moved = tuple(replace(each, move=move) for each, move in zip(decision.moves, moves, strict=False))
        return await self.clerk.save(save, replace(decision, plan=replace(decision.plan, moves=moves), moves=moved))

    async def approve_plan(self, act):
        self._maybe_fail("approve_plan")
        return await self.clerk.approve(act)

    async def execute_plan(self, act):
        self._maybe_fail("execute_plan")
        return await self.clerk.execute(act)

    async def cancel_plan(self, act):
        self._maybe_fail("cancel_plan")
        return await self.clerk.cancel(act)
