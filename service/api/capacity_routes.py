"""Capacity questions in API v1. The answer is computed in this process, off the event loop, one question at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter, Request

from plb_ray.clock import monotonic_s
from plb_ray.errors import RetryableError
from service.api import examples
from service.api.capacity_schemas import ANSWER, CapacityAnswer, CapacityQuestion
from service.api.deps import BalancerDep
from service.api.fleet_schemas import EXAMPLE, Fleet

if TYPE_CHECKING:
    from plb_ray.control.capacity_basis import CapacityBasis
    from service.capacity_ask import CapacityAsk

router = APIRouter(prefix="/v1", tags=["act"])


@router.get(
    "/capacity",
    tags=["observe"],
    summary="How many shards there should be, now and in the coming day",
    responses=examples.ok(EXAMPLE, "busy"),
)
async def get_capacity(balancer: BalancerDep) -> Fleet:
    """Advice over time: how many shards the load measured and foreseen needs at each step, and what is done about it.

    Where the balancer starts and drains shards itself (`elastic.enabled`) this is what it goes by.
    """
    return Fleet.model_validate(await balancer.fleet())


@router.post(
    "/capacity:what-if",
    summary="How many shards are needed, and what if",
    responses=examples.ok(ANSWER, "bad_question", "unknown", "invalid", "busy"),
)
async def post_what_if(request: Request, balancer: BalancerDep, body: CapacityQuestion) -> CapacityAnswer:
    """The cheapest fleet for the hour, day or week to come, with a proven lower bound, what binds, and how to get there.

    What if: order params grow, a campaign comes on top, a tenant like others joins, a zone is lost, other shard types can be
    had. Nothing is started or moved. One question is answered at a time; another one meanwhile gets 503 and Retry-After.
    """
    asked = body.asked()
    gate = cast("asyncio.Lock", request.app.state.capacity_gate)
    if gate.locked():
        raise RetryableError("another capacity question is being answered; ask again in a moment")
    async with gate:
        basis = await balancer.capacity_basis()
        return CapacityAnswer.model_validate(await asyncio.to_thread(_answer, basis, asked))


def _answer(basis: CapacityBasis, asked: CapacityAsk) -> dict[str, Any]:
    """Answer; the solver is imported at the first question, so that the service starts without it."""
    from service.capacity import capacity  # noqa: PLC0415
    from service.capacity_document import document  # noqa: PLC0415

    return document(capacity(basis, asked, monotonic_s))
