"""Decisions and what came of their moves, in API v1."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query

from plb_ray.control.views import Admission
from plb_ray.domain.audit import DecisionQuery
from plb_ray.domain.effects import EffectQuery
from service.api import examples, record_examples
from service.api.deps import BalancerDep
from service.api.record_convert import detail_out, effect_out, head_out
from service.api.record_query import NUMBER_MAX, PAGE_MAX, Before, Limit, Name, Since, Until, next_before, seconds_of
from service.api.record_schemas import DecisionDetail, Decisions, Effects

router = APIRouter(prefix="/v1", tags=["record"])


@router.get(
    "/decisions",
    summary="What was decided, and why",
    responses=examples.ok(record_examples.DECISIONS, "invalid", "busy"),
)
async def get_decisions(
    balancer: BalancerDep,
    *,
    limit: Limit = 50,
    before: Before = None,
    since: Since = None,
    until: Until = None,
    order_param: Name = None,
    admission: Annotated[Admission | None, Query(description="only those in which a move met this")] = None,
    moves: Annotated[bool, Query(description="only those that planned a move")] = False,
) -> Decisions:
    """One page of the decisions, newest first, without their inputs. The filters combine, on one and the same move."""
    query = DecisionQuery(
        limit=limit,
        before=before,
        since_s=seconds_of(since),
        until_s=seconds_of(until),
        order_param=order_param,
        admission=admission.value if admission is not None else None,
        with_moves=moves,
    )
    items = [head_out(document) for document in await balancer.decisions(query)]
    return Decisions(items=items, next_before=next_before([each.number for each in items], limit))


@router.get(
    "/decisions/{number}",
    summary="One decision with all that was written down of it",
    responses=examples.ok(record_examples.DECISION, "unknown_decision", "invalid", "busy"),
)
async def get_decision(
    balancer: BalancerDep, number: Annotated[int, Path(ge=0, le=NUMBER_MAX, description="as GET /v1/decisions gives it")]
) -> DecisionDetail:
    """What it was made from, what was planned, what became of each move, and what the moves promised and kept."""
    query = EffectQuery(limit=PAGE_MAX, decision=number)
    document, effects = await asyncio.gather(balancer.decision_of(number), balancer.effects(query))
    return detail_out(document, effects)


@router.get(
    "/effects",
    summary="What moves promised, and what came of them",
    responses=examples.ok(record_examples.EFFECTS, "invalid", "busy"),
)
async def get_effects(balancer: BalancerDep, *, limit: Limit = 100, order_param: Name = None) -> Effects:
    """The moves that were sent, newest first. One whose horizon is not over is `pending`, and grows with every tick."""
    found = await balancer.effects(EffectQuery(limit=limit, order_param=order_param))
    return Effects(items=[effect_out(each) for each in found], limit=limit)
