"""Retraining jobs in API v1: start, list, look at, cancel. Their calls block, so FastAPI runs these routes in threads."""

from __future__ import annotations

from typing import Annotated, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status

from plb_ray.cluster.retrain_port import Retrainings
from plb_ray.cluster.retraining import RetrainRequest
from service.api import examples, retrain_schemas
from service.api.deps import NowDep
from service.api.retrain_schemas import (
    RetrainDetail,
    Retraining,
    RetrainList,
    RetrainStart,
    retraining_detail,
    retraining_out,
)

router = APIRouter(prefix="/v1", tags=["retrain"])

LOG_TAIL = 20


async def _retrainings_of(request: Request) -> Retrainings:
    return cast("Retrainings", request.app.state.retrainings)


RetrainingsDep = Annotated[Retrainings, Depends(_retrainings_of)]
RetrainingId = Annotated[str, Path(examples=["retrain-5f0c8a1d3b2e"])]


@router.post(
    "/retrainings",
    summary="Train networks anew",
    status_code=status.HTTP_202_ACCEPTED,
    responses=examples.accepted(retrain_schemas.EXAMPLE, "malformed", "invalid", "busy"),
)
def post_retraining(retrainings: RetrainingsDep, now_s: NowDep, response: Response, body: RetrainStart) -> Retraining:
    """Starts a job that trains networks on the Ray cluster beside the balancer, and returns at once; follow it at Location.

    Safe to repeat: the same request within the period `forecast.retrain_every_s` joins the job that runs, returns the one
    that is done, or lets one that broke off go on with what is left.
    """
    request = RetrainRequest(tuple(body.groups), tuple(body.horizons), body.since, body.again)
    record = retrainings.start(request)
    response.headers["Location"] = f"/v1/retrainings/{quote(record.retraining_id, safe='')}"
    return retraining_out(record, now_s)


@router.get(
    "/retrainings",
    summary="List retrainings",
    responses=examples.ok(retrain_schemas.LIST_EXAMPLE, "busy"),
)
def get_retrainings(retrainings: RetrainingsDep, now_s: NowDep) -> RetrainList:
    """All that are remembered, newest first, with how far each part is."""
    return RetrainList(items=[retraining_out(record, now_s) for record in retrainings.recent()])


@router.get(
    "/retrainings/{retraining_id}",
    summary="One retraining with its log",
    responses=examples.ok(retrain_schemas.DETAIL_EXAMPLE, "unknown", "invalid", "busy"),
)
def get_retraining(
    retrainings: RetrainingsDep,
    now_s: NowDep,
    retraining_id: RetrainingId,
    log_from: Annotated[int | None, Query(ge=0, description="first line of the log to show; none: the last 20")] = None,
) -> RetrainDetail:
    """How far a retraining is, in all and part by part, when it will end, and the end of its log."""
    record = retrainings.find(retraining_id)
    return retraining_detail(record, retrainings.log(retraining_id), log_from, LOG_TAIL, now_s)


@router.delete(
    "/retrainings/{retraining_id}",
    summary="Cancel a retraining",
    responses=examples.ok(retrain_schemas.CANCELLED_EXAMPLE, "unknown", "invalid", "busy"),
)
def delete_retraining(retrainings: RetrainingsDep, now_s: NowDep, retraining_id: RetrainingId) -> Retraining:
    """Ends a job, and answers when it has ended. Networks that it has trained stay; asking again goes on with the rest.

    Harmless when it is over.
    """
    return retraining_out(retrainings.cancel(retraining_id), now_s)
