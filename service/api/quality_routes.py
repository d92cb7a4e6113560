"""How good the forecasts have been, in API v1."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from plb_ray.domain.outcomes import Distance
from service.api import examples
from service.api.deps import BalancerDep
from service.api.schemas import Out, UtcTime

router = APIRouter(prefix="/v1", tags=["observe"])

_SHORT = {
    "horizon": "short",
    "forecaster": "champion",
    "pairs": 451_020,
    "since": "2013-11-21T00:10:00Z",
    "until": "2013-11-27T14:00:00Z",
    "coverage_80": 0.806,
    "coverage_95": 0.948,
    "loss": 0.139,
    "seasonal_naive_loss": 0.312,
}
OUTCOMES_EXAMPLE: dict[str, Any] = {
    "order_param": "JFK-LAX",
    "horizon": "short",
    "levels": [0.025, 0.1, 0.5, 0.9, 0.975],
    "coverage_80": 0.81,
    "coverage_95": 0.94,
    "items": [
        {
            "at": "2013-11-27T14:00:00Z",
            "ahead_s": 600,
            "messages_per_s": 4.7,
            "foreseen_messages_per_s": [3.4, 4.0, 4.9, 6.0, 7.1],
            "source": "ensemble",
        }
    ],
}
STEPS_MAX = 10_000
EXAMPLE = {"items": [_SHORT, {**_SHORT, "horizon": "medium", "pairs": 141_900, "loss": 0.171}]}


class ForecastQuality(Out):
    """What one forecaster foresaw at one horizon, compared with what came, over the last seven UTC days."""

    horizon: str
    forecaster: str = Field(
        description="champion, or baseline: what was foreseen of order params and at times for which no champion answered"
    )
    pairs: int = Field(description="how many forecasts of one order param and step were compared")
    since: UtcTime = Field(validation_alias="since_s", description="when the first of them was known")
    until: UtcTime = Field(validation_alias="until_s", description="when the last of them was known")
    coverage_80: float = Field(
        description="share of what came within the quantiles 0.1 to 0.9; a rate that meets quantiles, as 0 often does, "
        "counts for a share of itself, so that 0.8 is right for idle order params too"
    )
    coverage_95: float = Field(description="the same within 0.025 to 0.975")
    loss: float | None = Field(
        description="2 x mean quantile loss at 0.025, 0.1, 0.5, 0.9, 0.975, relative to what came; null if nothing came"
    )
    seasonal_naive_loss: float | None = Field(description="the same of the rate at the same time the day before")


class ForecastQualityList(Out):
    """By horizon and forecaster; a forecaster that was not compared yet is left out."""

    items: list[ForecastQuality]


@router.get(
    "/forecast-quality",
    summary="How good the forecasts have been",
    responses=examples.ok(EXAMPLE, "busy"),
)
async def get_forecast_quality(balancer: BalancerDep) -> ForecastQualityList:
    """Coverage and loss of the last seven days, per horizon, beside the loss of the seasonal naive.

    A champion is demoted when it is worse than the seasonal naive, or when a coverage is more than 5 points off.
    """
    return ForecastQualityList(items=[ForecastQuality.model_validate(each) for each in await balancer.forecast_quality()])


class OutcomeStep(Out):
    """One step that has come."""

    at: UtcTime = Field(validation_alias="end_s", description="end of the step")
    ahead_s: int = Field(description="how long before that it was foreseen")
    messages_per_s: float = Field(validation_alias="observed", description="what came")
    foreseen_messages_per_s: list[float] = Field(validation_alias="quantiles", description="at `levels`")
    source: str = Field(description="which forecaster foresaw it")


class OrderParamOutcomes(Out):
    """What was foreseen of one order param, beside what came."""

    order_param: str
    horizon: str
    levels: list[float] = Field(description="quantile levels, ascending")
    coverage_80: float | None = Field(
        description="share of what came within the quantiles 0.1 to 0.9; null: nothing to compare"
    )
    coverage_95: float | None = Field(description="the same within 0.025 to 0.975")
    items: list[OutcomeStep] = Field(description="oldest first")


@router.get(
    "/forecast-outcomes/{order_param:path}",
    summary="Forecasts of one order param against what came",
    responses=examples.ok(OUTCOMES_EXAMPLE, "unknown", "invalid", "busy"),
)
async def get_forecast_outcomes(
    balancer: BalancerDep,
    order_param: Annotated[str, Path(openapi_examples=examples.ORDER_PARAMS)],
    horizon: Annotated[Literal["short", "medium"], Query(description="short: 15 minutes; medium: 24 hours")] = "short",
    distance: Annotated[
        Distance, Query(description="how far ahead: the next step, or the end of the horizon")
    ] = Distance.NEXT,
    steps: Annotated[int, Query(ge=1, le=STEPS_MAX, description="how far back, in steps of the history")] = 144,
) -> OrderParamOutcomes:
    """Each step that has come, beside the quantiles that were foreseen of it, and how often the bands held it.

    Empty for an order param that is not followed: of very many, the busiest are.
    """
    return OrderParamOutcomes.model_validate(await balancer.outcomes(order_param, horizon, steps, distance))
