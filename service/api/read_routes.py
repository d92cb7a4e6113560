"""The reading half of API v1: status, forecasts and allocations."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response

from service.api import examples
from service.api.deps import ReadsDep
from service.api.out import as_json, utc
from service.api.schemas import Allocation, AllocationPage, Forecast, Status

if TYPE_CHECKING:
    from plb_ray.domain.mapping import Placement
    from plb_ray.domain.rates import OrderParamForecast

router = APIRouter(prefix="/v1", tags=["observe"])

PAGE_MAX = 1000
HISTORY_STEPS_MAX = 10_000

OrderParamPath = Annotated[
    str,
    Path(
        description="Name of the order param; it may hold any characters, also slashes (percent-encoded or plain).",
        openapi_examples=examples.ORDER_PARAMS,
    ),
]


@router.get("/status", summary="The whole at a glance", responses=examples.ok(examples.STATUS, "busy"))
async def get_status(balancer: ReadsDep) -> Status:
    """Mode, readiness, training, and every shard: load now, forecast band, backlog, time of the next congestion."""
    return Status.model_validate(await balancer.status())


@router.get(
    "/forecasts/{order_param:path}",
    summary="Forecast of one order param",
    response_model=Forecast,
    responses=examples.ok(examples.FORECAST, "unknown", "invalid", "busy"),
)
async def get_forecast(
    balancer: ReadsDep,
    order_param: OrderParamPath,
    horizon: Annotated[Literal["short", "medium"], Query(description="short: 15 minutes; medium: 24 hours")] = "short",
    history_steps: Annotated[int, Query(ge=0, le=HISTORY_STEPS_MAX, description="observed steps to add")] = 144,
) -> Response:
    """Quantiles of the arrival rate over the horizon, and the recent history on the control loop's own step."""
    found, history = await asyncio.gather(
        balancer.forecast(order_param, horizon), balancer.history(order_param, history_steps)
    )
    return as_json(_forecast(found, horizon, history if history_steps else ()))


def _forecast(found: OrderParamForecast, horizon: str, history: tuple[tuple[float, float], ...]) -> dict[str, Any]:
    """Return it as `Forecast` has it."""
    series = found.forecast
    return {
        "order_param": found.order_param,
        "horizon": horizon,
        "source": found.source,
        "step_s": series.step_s,
        "levels": series.levels,
        "steps": [
            {"at": utc(series.start_s + row * series.step_s), "messages_per_s": values}
            for row, values in enumerate(series.values.tolist())  # (H, Q)
        ],
        "history": rate_points(history),
    }


def rate_points(history: tuple[tuple[float, float], ...]) -> list[dict[str, Any]]:
    """Return what was observed as `RatePoint` has it."""
    return [{"at": utc(at_s), "messages_per_s": rate} for at_s, rate in history]


@router.get(
    "/allocations",
    summary="Which shards hold which order param",
    responses=examples.ok(examples.ALLOCATIONS, "invalid", "busy"),
)
async def get_allocations(
    balancer: ReadsDep,
    *,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    shard: Annotated[str | None, Query(description="only order params with a segment on this shard")] = None,
    prefix: Annotated[str, Query(description="only order params whose name begins so")] = "",
    contains: Annotated[str, Query(description="only order params whose name holds this, in any case")] = "",
) -> AllocationPage:
    """One page of the mapping, sorted by order param. The filters combine."""
    mapping = await balancer.mapping()

    def wanted(placement: Placement) -> bool:
        name = placement.order_param
        return (
            (shard is None or shard in placement.shards)
            and name.startswith(prefix)
            and contains.casefold() in name.casefold()
        )

    found = sorted((each for each in mapping.placements.values() if wanted(each)), key=lambda each: each.order_param)
    items = [Allocation.model_validate(each) for each in found[offset : offset + limit]]
    return AllocationPage(items=items, total=len(found), limit=limit, offset=offset, generation=mapping.generation)
