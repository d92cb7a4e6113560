"""What people may do with plans: save, approve, run, cancel; and what a tick does with those that wait for them.

Deciding and sending are the loop's. One at a time does either: a tick, or a plan that people run; `turn` says whose it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plb_ray.control.saved_plans import PlanState
from plb_ray.control.views import Admission
from plb_ray.domain.audit import BALANCER
from plb_ray.errors import NoPlanError, PlanConflictError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from plb_ray.control.order_desk import OrderDesk
    from plb_ray.control.orders_port import PlanAct, PlanSave
    from plb_ray.control.plan_desk import PlanDesk
    from plb_ray.control.saved_plans import SavedPlan
    from plb_ray.control.views import Decision


@dataclass(frozen=True)
class Carried:
    """What came of carrying a plan on: its moves that have not arrived yet, and why it does not hold; empty if it does."""

    left: int
    faults: tuple[str, ...] = ()


class PlanClerk:
    """See the module. Use from one event loop.

    Args:
        plans: where they are kept.
        orders: that stand.
        carry: sends what may be sent now of a plan's moves.
        approval_expires_s: how long a tick's plan waits for approval.

    Attributes:
        turn: held by whoever decides and sends.
    """

    def __init__(
        self,
        plans: PlanDesk,
        orders: OrderDesk,
        carry: Callable[[SavedPlan], Awaitable[Carried]],
        approval_expires_s: float,
    ) -> None:
        self.turn = asyncio.Lock()
        self._plans = plans
        self._orders = orders
        self._carry = carry
        self._approval_expires_s = approval_expires_s

    async def save(self, save: PlanSave, decision: Decision) -> SavedPlan:
        """See `OrderKeeping.save_plan`; the decision is that of a dry run."""
        if decision.faults:
            raise NoPlanError(f"the plan does not pass the check, so it is not kept: {'; '.join(decision.faults)}")
        if not decision.moves:
            raise NoPlanError("there is nothing to save: no shard is or will be over its limit, and no rule is broken")
        begins = self._plans.event(PlanState.SAVED, save.who)
        return await self._plans.keep(decision, begins, save.expires_s, save.note)

    async def approve(self, act: PlanAct) -> SavedPlan:
        """See `OrderKeeping.approve_plan`."""
        async with self.turn:
            await self._plans.expire()
            plan = await self._plans.get(act.plan_id)
            if plan.state in (PlanState.APPROVED, PlanState.EXECUTING, PlanState.EXECUTED):
                return plan
            waits = plan.state is PlanState.AWAITING
            if waits:
                self._refuse_paused(plan)
            plan = await self._plans.step(plan, PlanState.APPROVED, act.who)
            return await self._run(plan, act.who) if waits else plan

    async def execute(self, act: PlanAct) -> SavedPlan:
        """See `OrderKeeping.execute_plan`."""
        async with self.turn:
            await self._plans.expire()
            plan = await self._plans.get(act.plan_id)
            if plan.state in (PlanState.EXECUTING, PlanState.EXECUTED):
                return plan
            if plan.state is PlanState.AWAITING:
                raise PlanConflictError(f"plan {plan.plan_id!r} waits for approval; approve it, and it is sent")
            self._refuse_paused(plan)
            if plan.state is PlanState.SAVED and self._orders.view.orders.approval:
                return await self._plans.step(plan, PlanState.AWAITING, act.who, "approval is ordered")
            return await self._run(plan, act.who)

    async def cancel(self, act: PlanAct) -> SavedPlan:
        """See `OrderKeeping.cancel_plan`."""
        async with self.turn:
            plan = await self._plans.get(act.plan_id)
            return plan if plan.state is PlanState.CANCELLED else await self._plans.step(plan, PlanState.CANCELLED, act.who)

    # ---- of a tick, which has the turn

    async def carry_on(self) -> None:
        """End what is overdue, and carry on with the plans that are being carried out."""
        await self._plans.expire()
        if self._orders.view.orders.paused:
            return
        for plan in self._plans.executing:
            await self._carry_on(plan)

    async def put_before_people(self, decision: Decision) -> None:
        """Let the decision's plan wait for approval, if that holds it; an earlier tick's plan that differs is over."""
        if self._orders.view.orders.paused:
            return
        before = self._plans.of_a_tick
        asks = {each.admission for each in decision.moves} == {Admission.AWAITS_APPROVAL}
        ways = frozenset((each.move.order_param, each.move.source, each.move.destination) for each in decision.moves)
        if before is not None and not (asks and ways == before.ways):
            why = "a newer plan has taken its place" if asks else "nothing of it waits for approval any more"
            await self._plans.step(before, PlanState.EXPIRED, BALANCER, why)
            before = None
        if asks and before is None:
            begins = self._plans.event(PlanState.AWAITING, BALANCER, "approval is ordered")
            await self._plans.keep(decision, begins, self._approval_expires_s)

    async def _run(self, plan: SavedPlan, who: str) -> SavedPlan:
        return await self._carry_on(await self._plans.step(plan, PlanState.EXECUTING, who))

    async def _carry_on(self, plan: SavedPlan) -> SavedPlan:
        carried = await self._carry(plan)
        if carried.faults:
            return await self._plans.step(plan, PlanState.REFUSED, BALANCER, "; ".join(carried.faults))
        return plan if carried.left else await self._plans.step(plan, PlanState.EXECUTED, BALANCER)

    def _refuse_paused(self, plan: SavedPlan) -> None:
        if self._orders.view.orders.paused:
            raise PlanConflictError(f"plan {plan.plan_id!r} is not sent: the balancer is paused; resume it first")
