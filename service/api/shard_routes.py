"""Shards in API v1: a page of them, and one with its past and future."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path, Query

from plb_ray.errors import UnknownShardError
from service.api import examples, read_schemas
from service.api.deps import ReadsDep
from service.api.read_schemas import ShardPage, ShardRow
from service.api.schemas import Shard

if TYPE_CHECKING:
    from plb_ray.control.views import ShardView

router = APIRouter(prefix="/v1", tags=["observe"])

PAGE_MAX = 1000
NEVER = float("inf")


@router.get("/shards", summary="Shards", responses=examples.ok(read_schemas.SHARDS, "invalid", "busy"))
async def get_shards(
    balancer: ReadsDep,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    contains: Annotated[str, Query(description="only shards whose name holds this, in any case")] = "",
    sort: Annotated[
        Literal["queue", "name", "utilisation", "peak", "backlog", "congestion"],
        Query(
            description="queue: as the queue lists them; congestion: soonest first; the others: highest first, names A to Z"
        ),
    ] = "queue",
) -> ShardPage:
    """Load now, highest load foreseen and next congestion of each shard. GET /v1/shards/{shard_id} has the rest."""
    status = await balancer.status()
    found = [shard for shard in status.shards if contains.casefold() in shard.shard_id.casefold()]
    if sort != "queue":
        found.sort(key=_KEYS[sort])
    items = [_row(shard) for shard in found[offset : offset + limit]]
    return ShardPage(items=items, total=len(found), limit=limit, offset=offset, at=status.at_s)


@router.get(
    "/shards/{shard_id:path}", summary="One shard", responses=examples.ok(read_schemas.SHARD, "unknown", "invalid", "busy")
)
async def get_shard(
    balancer: ReadsDep, shard_id: Annotated[str, Path(examples=["shard-3"], description="It may hold slashes.")]
) -> Shard:
    """Load now, its past of a day, and the forecast of each resource step by step."""
    found = next((shard for shard in (await balancer.status()).shards if shard.shard_id == shard_id), None)
    if found is None:
        raise UnknownShardError(shard_id)
    return Shard.model_validate(found)


def _peak(shard: ShardView) -> dict[str, float]:
    return {resource: max(band.target, default=0.0) for resource, band in shard.bands.items()}


def _row(shard: ShardView) -> ShardRow:
    return ShardRow(
        shard_id=shard.shard_id,
        endpoint=shard.endpoint,
        capacity=shard.capacity,
        utilisation=shard.utilisation,
        arrival_messages_per_s=shard.arrival_messages_per_s,
        served_messages_per_s=shard.served_messages_per_s,
        backlog=shard.backlog,
        oldest_age_s=shard.oldest_age_s,
        order_params=shard.order_params,
        peak=_peak(shard),
        congestion_at=shard.congestion_at_s,
        draining=shard.draining,
        error=shard.error,
    )


_KEYS = {
    "name": lambda shard: shard.shard_id,
    "utilisation": lambda shard: -max(shard.utilisation.values(), default=0.0),
    "peak": lambda shard: -max(_peak(shard).values(), default=0.0),
    "backlog": lambda shard: -shard.backlog,
    "congestion": lambda shard: NEVER if shard.congestion_at_s is None else shard.congestion_at_s,
}
