"""Plans in API v1: the latest one, and one on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from plb_ray.control.views import Mode
from plb_ray.errors import NoPlanError, NotReadyError, PlbError
from service.api import examples
from service.api.deps import BalancerDep
from service.api.schemas import Plan, PlannedMove

if TYPE_CHECKING:
    from plb_ray.control.views import Balancer, Decision

router = APIRouter(prefix="/v1", tags=["act"])


@router.get(
    "/plans/latest", summary="The latest plan, with reasons", responses=examples.ok(examples.PLAN, "unknown", "busy")
)
async def get_latest_plan(balancer: BalancerDep) -> Plan:
    """What the last tick decided: moves with their reasons, what became of each, cost, proven bound and gap."""
    decision = await balancer.latest_decision()
    if decision is None:
        raise await _why_no_plan(balancer)
    return plan_out(decision)


async def _why_no_plan(balancer: Balancer) -> PlbError:
    if (await balancer.status()).mode is Mode.STATIC:
        return NoPlanError("there is no plan: in mode static the balancer only observes; POST /v1/plans:dry-run makes one")
    return NotReadyError("there is no plan yet: the first tick with enough history to forecast from is outstanding")


@router.post(
    "/plans:dry-run", summary="Plan now, act on nothing", responses=examples.ok(examples.DRY_RUN, "unknown", "busy")
)
async def post_dry_run(balancer: BalancerDep) -> Plan:
    """Makes the plan that a tick would make from what is known now. No migration is started."""
    return plan_out(await balancer.dry_run())


def plan_out(decision: Decision) -> Plan:
    """Return a decision and its plan as the API shows them."""
    plan = decision.plan
    moves = [PlannedMove(**vars(each.move), admission=each.admission, until=each.until_s) for each in decision.moves]
    shown = {**vars(plan), "gap": plan.gap, "moves": moves, "unresolved": list(plan.unresolved)}
    about = {"number": decision.number, "at": decision.at_s, "mode": decision.mode, "tick_s": decision.tick_s}
    found = {"faults": list(decision.faults), "sources": decision.sources, "notes": list(decision.notes)}
    return Plan.model_validate({**shown, **about, **found, "basis": decision.basis, "loads": decision.loads})
