"""The balancer's wiring of a Prometheus: it is followed while the balancer runs, and let go of afterwards."""

import asyncio

from fastapi import FastAPI

from plb_ray.clock import WallClock
from plb_ray.domain.samples import PushOutcome
from plb_ray.settings import HistorySettings, PrometheusSettings, Settings
from service.local_http import serving
from service.wiring import _followed

SERIES = {"metric": {"queue": "a"}, "values": [[1_385_560_800, "2"]]}
ANSWER = {"status": "success", "data": {"resultType": "matrix", "result": [SERIES]}}


class Loop:
    """Takes what the control loop takes."""

    def __init__(self):
        self.taken, self.errors = asyncio.Queue(), asyncio.Queue()

    async def push_samples(self, batch):
        self.taken.put_nowait(batch)
        return PushOutcome()

    def note_source_error(self, why):
        self.errors.put_nowait(why)


def following(loop, url, label="queue"):
    asked = PrometheusSettings(url, "x", label, "counter", every_s=3600.0, backfill_days=0.01)
    return _followed(Settings(history=HistorySettings(prometheus=asked)), loop, WallClock())


async def test_samples_reach_the_loop_and_failures_its_status():
    """By the settings alone a Prometheus is asked, its samples are pushed, its errors told; nothing stays behind."""
    app, loop = FastAPI(), Loop()
    app.add_api_route("/api/v1/query_range", lambda: ANSWER, methods=["POST"])
    tasks = asyncio.all_tasks()
    async with serving(app) as url:
        async with following(loop, url):
            batch = await loop.taken.get()
            assert (batch.kind.value, batch.series[0].order_param, batch.series[0].values.tolist()) == (
                "counter",
                "a",
                [2.0],
            )
            assert await loop.errors.get() == ""
        async with following(loop, url, label="order_param"):
            assert "they have: queue; set history.prometheus.label" in await loop.errors.get()
    assert asyncio.all_tasks() == tasks
