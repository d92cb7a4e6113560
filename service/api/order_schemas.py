"""The JSON of orders and saved plans. See `service.api.schemas`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat

from plb_ray.control.saved_plans import PlanState
from plb_ray.control.views import Mode
from plb_ray.domain.plan import PlanStatus, Termination
from service.api import order_examples
from service.api.load_schemas import PlannedLoads
from service.api.schemas import Out, UtcTime, utc

if TYPE_CHECKING:
    from plb_ray.control.orders import OrdersView
    from plb_ray.control.saved_plans import SavedPlan

NAMES_MAX = 10_000
DAY_S = 86_400.0
YEAR_S = 366 * DAY_S

Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=NAMES_MAX)]


class BalancerOrders(Out):
    """The standing orders."""

    mode: Mode = Field(description="as ordered, or as `balancer.mode` is set where nobody ordered one")
    effective_mode: Mode = Field(description="what that comes to now; never auto")
    why: str = Field(description="why, in a sentence")
    paused: bool = Field(description="nothing is planned or sent; migrations under way go on")
    approval: bool = Field(description="a tick's plan waits until somebody approves it")
    pinned: list[str] = Field(description="order params that stay where they are")
    forbidden: dict[str, list[str]] = Field(description="shards that an order param may not be on")
    spread_groups: dict[str, list[str]] = Field(description="order params of which no two may share a shard, by group")
    draining: list[str] = Field(description="shards that are emptied and take nothing")
    filling: list[str] = Field(description="if there are any, moves go onto these shards only")
    changed_at: UtcTime | None = Field(description="when the last order was given; null: none ever was")
    changed_by: str


class BalancerPatch(BaseModel):
    """What is to change; what is left out stays. `mode` null takes an ordered mode back, so that the settings count."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"mode": "relief"}, {"paused": True}, {"approval": False}]}
    )

    mode: Mode | None = None
    paused: StrictBool | None = Field(None, description="null: stays")
    approval: StrictBool | None = Field(None, description="null: stays")


class ForbiddenPut(BaseModel):
    """Where an order param may not be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"shards": ["shard-1"]}]})

    shards: Names


class SpreadGroupPut(BaseModel):
    """Order params of which no two may share a shard."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"order_params": ["EWR-BOS", "JFK-LAX"]}]})

    order_params: Names


class PlanPut(BaseModel):
    """Keep what a tick would do now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [order_examples.SAVE]})

    note: str = Field("", max_length=500, description="for people")
    expires_s: StrictFloat = Field(DAY_S, ge=1, le=YEAR_S, description="seconds until it is over if it was not carried out")


class SavedMove(Out):
    """A move of a saved plan, and its reason when it was made."""

    order_param: str
    source: str
    destination: str
    reason: str
    wave: int = Field(description="moves of one wave may run together")
    via: str
    via_wave: int
    segment: int


class PlanMoment(Out):
    """One step in the life of a plan."""

    at: UtcTime = Field(validation_alias="at_s")
    state: PlanState
    who: str
    why: str


class SavedPlanHead(Out):
    """A plan that is kept, without its loads. Its figures are of the moment it was made."""

    plan_id: str
    state: PlanState
    made_at: UtcTime
    made_by: str = Field(description='"balancer" for a tick\'s plan that waits for approval')
    decision: int
    mode: Mode
    expires_at: UtcTime
    note: str
    moves: list[SavedMove]
    plan_status: PlanStatus
    termination: Termination
    cost: float
    bound: float
    gap: float
    broken_before: int
    broken_after: int
    overload_before: float
    overload_after: float
    max_utilisation: float
    unresolved: list[str]
    solve_s: float
    history: list[PlanMoment] = Field(description="all that happened to it, oldest first")


class SavedPlanOut(SavedPlanHead):
    """A plan that is kept. Its figures are of the moment it was made."""

    loads: PlannedLoads | None = Field(
        description="what it does to the load of each shard; null in plans of earlier releases"
    )


class SavedPlanList(Out):
    """Plans that wait for people or have ended, newest first, without their loads."""

    items: list[SavedPlanHead]
    limit: int
    offset: int


def orders_out(view: OrdersView) -> BalancerOrders:
    """Return the orders as the API shows them, names sorted."""
    orders = view.orders
    return BalancerOrders(
        mode=view.ordered,
        effective_mode=orders.mode,
        why=view.why,
        paused=orders.paused,
        approval=orders.approval,
        pinned=sorted(orders.pinned),
        forbidden=_sorted(orders.forbidden),
        spread_groups=_sorted(orders.spread_groups),
        draining=sorted(orders.draining),
        filling=sorted(orders.filling),
        changed_at=None if view.changed_at_s is None else utc(view.changed_at_s),
        changed_by=view.changed_by,
    )


def saved_plan_out(saved: SavedPlan) -> SavedPlanOut:
    """Return a saved plan as the API shows it."""
    return SavedPlanOut.model_validate({**_fields(saved), "loads": saved.loads})


def saved_plan_head(saved: SavedPlan) -> SavedPlanHead:
    """Return a saved plan as lists show it."""
    return SavedPlanHead.model_validate(_fields(saved))


def _fields(saved: SavedPlan) -> dict[str, Any]:
    plan = saved.plan
    shown = {key: value for key, value in vars(plan).items() if key not in ("status", "moves", "first_sound_s")}
    about: dict[str, Any] = {
        "plan_id": saved.plan_id,
        "state": saved.state,
        "made_at": saved.made.at_s,
        "made_by": saved.made.who,
        "decision": saved.decision,
        "mode": saved.mode,
        "expires_at": saved.expires_s,
        "note": saved.note,
        "plan_status": plan.status,
        "gap": plan.gap,
        "history": [vars(event) for event in saved.history],
        "moves": [vars(move) for move in plan.moves],
        "unresolved": list(plan.unresolved),
    }
    return {**shown, **about}


def _sorted(sets: Any) -> dict[str, list[str]]:
    return {name: sorted(members) for name, members in sorted(sets.items())}
