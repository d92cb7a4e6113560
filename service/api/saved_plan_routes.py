"""Plans that wait for people, in API v1: save, list, approve, run, cancel. The latest one is in `plan_routes`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from plb_ray.control.orders_port import PlanAct, PlanQuery, PlanSave
from plb_ray.control.saved_plans import PlanState
from service.api import examples
from service.api.deps import BalancerDep, WhoDep
from service.api.order_examples import CANCELLED, EXECUTING, SAVED_PLAN, SAVED_PLANS
from service.api.order_schemas import PlanPut, SavedPlanList, SavedPlanOut, saved_plan_head, saved_plan_out

router = APIRouter(prefix="/v1/plans", tags=["act"])

PAGE_MAX = 500
OFFSET_MAX = 10**9
PlanId = Annotated[str, Path(description="As GET /v1/plans shows it.", examples=["plan-17"])]


@router.get("", summary="Plans that wait or have ended", responses=examples.ok(SAVED_PLANS, "invalid", "busy"))
async def get_plans(
    balancer: BalancerDep,
    state: Annotated[list[PlanState] | None, Query(description="only in these states; may be given several times")] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX)] = 0,
) -> SavedPlanList:
    """Those that people have saved, and a tick's that wait for approval: newest first, with all that happened to each.

    What a plan does to the load of each shard is in GET /v1/plans/{plan_id} alone.
    """
    found = await balancer.plans(PlanQuery(tuple(state or ()), limit, offset))
    return SavedPlanList(items=[saved_plan_head(each) for each in found], limit=limit, offset=offset)


@router.post("", summary="Save a plan", responses=examples.ok(SAVED_PLAN, "no_plan", "invalid", "busy"))
async def post_plan(balancer: BalancerDep, who: WhoDep, response: Response, body: PlanPut) -> SavedPlanOut:
    """Keeps what a tick would do now, to be looked at and run later. 404: nothing needs to move, so there is no plan."""
    saved = await balancer.save_plan(PlanSave(who, body.note, body.expires_s))
    response.headers["Location"] = f"/v1/plans/{saved.plan_id}"
    return saved_plan_out(saved)


@router.get("/{plan_id}", summary="One plan", responses=examples.ok(SAVED_PLAN, "unknown_plan", "invalid", "busy"))
async def get_plan(balancer: BalancerDep, plan_id: PlanId) -> SavedPlanOut:
    """Its moves with their reasons, what it was to do, and all that happened to it."""
    return saved_plan_out(await balancer.plan(plan_id))


@router.post(
    "/{plan_id}/approve",
    summary="Approve a plan",
    responses=examples.ok(EXECUTING, "unknown_plan", "plan_over", "invalid", "busy"),
)
async def post_approve(balancer: BalancerDep, who: WhoDep, plan_id: PlanId) -> SavedPlanOut:
    """One that waits for approval is sent, if it still holds: the answer says `refused` and why if it does not.

    One that people have saved is approved for a later run. Repeating it changes nothing.
    """
    return saved_plan_out(await balancer.approve_plan(PlanAct(plan_id, who)))


@router.post(
    "/{plan_id}/execute",
    summary="Run a plan",
    responses=examples.ok(EXECUTING, "unknown_plan", "plan_over", "invalid", "busy"),
)
async def post_execute(balancer: BalancerDep, who: WhoDep, plan_id: PlanId) -> SavedPlanOut:
    """Sends its moves, if it still holds: what does not fit into one tick's budgets follows with the next ticks.

    While approval is ordered, a plan that is not approved comes to wait for it. Running a plan again changes nothing.
    """
    return saved_plan_out(await balancer.execute_plan(PlanAct(plan_id, who)))


@router.post(
    "/{plan_id}/cancel",
    summary="Cancel a plan",
    responses=examples.ok(CANCELLED, "unknown_plan", "plan_over", "invalid", "busy"),
)
async def post_cancel(balancer: BalancerDep, who: WhoDep, plan_id: PlanId) -> SavedPlanOut:
    """Ends it; migrations that it has started go on. Repeating it changes nothing."""
    return saved_plan_out(await balancer.cancel_plan(PlanAct(plan_id, who)))
