"""The part of the `Balancer` port for those who give orders: standing ones, and plans that wait for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from plb_ray.control.orders import OrdersChange, OrdersView
    from plb_ray.control.saved_plans import PlanState, SavedPlan


@dataclass(frozen=True)
class PlanQuery:
    """Which plans are asked for, newest first: those in these states; none named: in any."""

    states: tuple[PlanState, ...] = ()
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True)
class PlanSave:
    """A plan to keep: what a tick would do now.

    Attributes:
        who: asks for it.
        note: for people.
        expires_s: seconds from now after which it is over.
    """

    who: str
    note: str
    expires_s: float


@dataclass(frozen=True)
class PlanAct:
    """Something done to a plan, and by whom."""

    plan_id: str
    who: str


class OrderKeeping(Protocol):
    """What the service asks about orders; mixed into `Balancer`. Everything changed is durable on return."""

    async def orders(self) -> OrdersView: ...
    async def change_orders(self, change: OrdersChange) -> OrdersView:
        """Change the standing orders; they count from the next decision on. The same change again changes nothing.

        Raises:
            UnknownOrderParamError, UnknownShardError: it names one that there is not; taking back an order never does.
            BadInputError: the orders would contradict each other.
        """
        ...

    async def plans(self, query: PlanQuery) -> tuple[SavedPlan, ...]: ...
    async def plan(self, plan_id: str) -> SavedPlan:
        """Return one plan. Raises UnknownPlanError."""
        ...

    async def save_plan(self, save: PlanSave) -> SavedPlan:
        """Keep what a tick would do now.

        Raises:
            NoForecastError: there is nothing to plan on yet.
            NoPlanError: nothing needs to move, so there is nothing to keep.
        """
        ...

    async def approve_plan(self, act: PlanAct) -> SavedPlan:
        """Approve a plan; one that a tick or a run has put before people is carried out at once. Again changes nothing.

        Raises:
            UnknownPlanError.
            PlanConflictError: it has ended otherwise, or the balancer is paused.
        """
        ...

    async def execute_plan(self, act: PlanAct) -> SavedPlan:
        """Carry a plan out; while approval is ordered, one that is not approved is put before people. Again changes nothing.

        It is held against the situation as it is now; if it does not hold, it is refused, and nothing is sent. What does not
        fit into one tick's budgets, or has to wait for other moves, is sent with the next ticks.

        Raises:
            UnknownPlanError.
            PlanConflictError: it has ended otherwise, or the balancer is paused.
        """
        ...

    async def cancel_plan(self, act: PlanAct) -> SavedPlan:
        """End a plan; migrations that it has started go on. Again changes nothing. Raises as `execute_plan`."""
        ...
