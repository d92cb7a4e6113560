"""How good the forecasts have been, in API v1."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field

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
