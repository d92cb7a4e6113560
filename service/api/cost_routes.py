"""What messages cost, as learned so far, in API v1."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from service.api import examples, record_examples
from service.api.deps import BalancerDep
from service.api.read_routes import OrderParamPath
from service.api.record_query import NAME_MAX, Limit
from service.api.record_schemas import CostItem, Costs

router = APIRouter(prefix="/v1", tags=["observe"])


@router.get("/costs", summary="What messages cost", responses=examples.ok(record_examples.COSTS, "invalid", "busy"))
async def get_costs(
    balancer: BalancerDep,
    *,
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    contains: Annotated[str, Query(max_length=NAME_MAX, description="only names that hold this, in any case")] = "",
) -> Costs:
    """One page of the costs per message, sorted by order param, with the band that each lies in nine times in ten."""
    page = await balancer.costs(contains, limit, offset)
    return Costs(items=[CostItem.model_validate(each) for each in page.items], total=page.total, limit=limit, offset=offset)


@router.get(
    "/costs/{order_param:path}",
    summary="What a message of one order param costs",
    responses=examples.ok(record_examples.COST, "unknown", "invalid", "busy"),
)
async def get_cost(balancer: BalancerDep, order_param: OrderParamPath) -> CostItem:
    """CPU, memory and I/O of a message, learned from what its shards report. One that is new costs what all do."""
    return CostItem.model_validate(await balancer.cost(order_param))
