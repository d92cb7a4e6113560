"""Health, readiness that tells the truth, and Prometheus metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from plb_ray.errors import NotReadyError, PlbError
from service.api import examples
from service.api.deps import BalancerDep
from service.api.metrics import Metrics
from service.api.schemas import Health, Readiness

if TYPE_CHECKING:
    from plb_ray.control.forecast_quality import ForecastQuality
    from plb_ray.control.views import BalancerStatus, Decision

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Does the process answer?", responses=examples.ok({"status": "ok"}))
async def get_health() -> Health:
    """Says only that this process answers. Whether the balancer does its work is at /readyz."""
    return Health(status="ok")


@router.get("/readyz", summary="Does the balancer do its work?", responses=examples.ok(examples.READY, "busy"))
async def get_readiness(balancer: BalancerDep) -> Readiness:
    """200 when the mapping is recovered, a first tick is done and a shard answers; else 503 with the reason."""
    status = await balancer.status()
    answering = sum(not shard.error for shard in status.shards)
    if reason := _why_not_ready(status, answering):
        raise NotReadyError(reason)
    return Readiness(status="ready", shards_answering=answering, shards=len(status.shards))


def _why_not_ready(status: BalancerStatus, answering: int) -> str:
    if not status.ready:
        why = f": {status.last_error}" if status.last_error else ""
        return f"the control loop is starting: the mapping is being recovered and the first tick is not done{why}"
    if answering:
        return ""
    if not status.shards:
        return "the queue reports no shards; check that it runs"
    first = status.shards[0]
    return f"none of {len(status.shards)} shards answers; the first says: {first.error}"


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses=examples.text(examples.METRICS))
async def get_metrics(request: Request, balancer: BalancerDep) -> Response:
    """Metrics per shard, and of the busiest order params alone. `plb_up 0` says that the control loop does not answer."""
    status: BalancerStatus | None = None
    decision: Decision | None = None
    quality: tuple[ForecastQuality, ...] = ()
    try:
        status, decision = await balancer.status(), await balancer.latest_decision()
        quality = await balancer.forecast_quality()
    except PlbError:
        status = None
    metrics: Metrics = request.app.state.metrics
    # With 1,000 shards this takes a quarter of a second, during which others are answered.
    text = await asyncio.to_thread(metrics.render, status, decision, quality)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
