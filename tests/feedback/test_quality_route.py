from __future__ import annotations

import math

import httpx
import pytest
from fastapi import FastAPI

from plb_ray.control.forecast_quality import ForecastQuality
from service.api import quality_routes

GOOD = ForecastQuality("short", "champion", 451_020, 1_385_000_000.0, 1_385_560_800.0, 0.806, 0.948, 0.139, 0.312)
IDLE = ForecastQuality("medium", "baseline", 10, 1_385_000_000.0, 1_385_560_800.0, 0.8, 0.95, math.nan, math.nan)


class Judged:
    async def forecast_quality(self):
        return (GOOD, IDLE)


@pytest.fixture
async def http():
    app = FastAPI()
    app.state.balancer = Judged()
    app.include_router(quality_routes.router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://plb") as client:
        yield client


async def test_quality_comes_as_json_with_times_in_utc(http):
    """One item per horizon and forecaster; a loss that is not known is null."""
    items = (await http.get("/v1/forecast-quality")).json()["items"]
    assert items[0] == {
        "horizon": "short",
        "forecaster": "champion",
        "pairs": 451_020,
        "since": "2013-11-21T02:13:20Z",
        "until": "2013-11-27T14:00:00Z",
        "coverage_80": 0.806,
        "coverage_95": 0.948,
        "loss": 0.139,
        "seasonal_naive_loss": 0.312,
    }
    assert (items[1]["forecaster"], items[1]["loss"], items[1]["seasonal_naive_loss"]) == ("baseline", None, None)


async def test_the_example_has_the_fields_of_the_answer(http):
    """Whoever writes a client from the document gets what is answered."""
    items = (await http.get("/v1/forecast-quality")).json()["items"]
    assert [set(item) for item in quality_routes.EXAMPLE["items"]] == [set(item) for item in items]
