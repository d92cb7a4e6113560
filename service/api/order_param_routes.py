"""Order params in API v1: search among all, and look at one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Response

from plb_ray.domain.load import RESOURCES
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import NotReadyError, UnknownOrderParamError
from service.api import examples, read_schemas
from service.api.deps import ReadsDep
from service.api.out import as_json, utc
from service.api.read_routes import HISTORY_STEPS_MAX, OrderParamPath, rate_points
from service.api.read_schemas import LearnedCost, OrderParamDetail, OrderParamPage, PlacedSince

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.order_param_table import OrderParamTable
    from plb_ray.control.views import Balancer
    from plb_ray.domain.migration import MigrationRecord

router = APIRouter(prefix="/v1", tags=["observe"])

PAGE_MAX = 1000
MIGRATIONS_MAX = 1000


@router.get(
    "/order-params",
    summary="Search order params",
    response_model=OrderParamPage,
    responses=examples.ok(read_schemas.ORDER_PARAMS, "invalid", "busy"),
)
async def get_order_params(
    balancer: ReadsDep,
    *,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    contains: Annotated[str, Query(description="only those whose name holds this, in any case")] = "",
    shard: Annotated[str | None, Query(description="only those with a segment on this shard")] = None,
    sort: Annotated[
        Literal["name", "rate", "backlog", "cpu"], Query(description="name: A to Z; the others: highest first, then by name")
    ] = "name",
) -> Response:
    """Arrival rate, load, backlog and shards of each, one page at a time. The filters combine."""
    table = await balancer.order_params()
    rows = _matching(table, getattr(table, f"by_{sort}"), contains.casefold(), shard)
    items = _items(table, rows[offset : offset + limit])
    return as_json({"items": items, "total": len(rows), "limit": limit, "offset": offset, "at": utc(table.at_s)})


@router.get(
    "/order-params/{order_param:path}",
    summary="One order param",
    response_model=OrderParamDetail,
    responses=examples.ok(read_schemas.ORDER_PARAM_DETAIL, "unknown", "invalid", "busy"),
)
async def get_order_param(
    balancer: ReadsDep,
    order_param: OrderParamPath,
    history_steps: Annotated[int, Query(ge=0, le=HISTORY_STEPS_MAX, description="observed steps to add")] = 144,
) -> Response:
    """Rate, load and backlog now, the recent history, what a message costs, and where it was moved to before.

    The forecast is at GET /v1/forecasts/{order_param}.
    """
    table = await balancer.order_params()
    row = table.index.get(order_param)
    if row is None:
        raise UnknownOrderParamError(order_param)
    history, cost, migrations = await asyncio.gather(
        _history(balancer, order_param, history_steps), _cost(balancer, order_param), balancer.migrations(MIGRATIONS_MAX)
    )
    return as_json(
        {
            **_items(table, np.array([row]))[0],
            "at": utc(table.at_s),
            "history": rate_points(history),
            "cost": cost,
            "placements": [_placed(each) for each in migrations if _arrived(each, order_param)],
        }
    )


async def _history(balancer: Balancer, order_param: str, steps: int) -> tuple[tuple[float, float], ...]:
    """Return what was observed; nothing where no message has come yet."""
    try:
        return await balancer.history(order_param, steps) if steps else ()
    except UnknownOrderParamError:
        return ()


async def _cost(balancer: Balancer, order_param: str) -> LearnedCost | None:
    try:
        return LearnedCost.model_validate(await balancer.cost(order_param))
    except (UnknownOrderParamError, NotReadyError):
        return None


def _arrived(migration: MigrationRecord, order_param: str) -> bool:
    return migration.order_param == order_param and migration.step is MigrationStep.DONE


def _placed(migration: MigrationRecord) -> PlacedSince:
    since_s = migration.finished_s if migration.finished_s is not None else migration.started_s
    return PlacedSince(shard=migration.destination, since=since_s, migration_id=migration.migration_id)


def _matching(table: OrderParamTable, rows: NDArray[np.int64], wanted: str, shard: str | None) -> NDArray[np.int64]:
    """Return those of the rows that are asked for, in their order; without a filter these are all."""
    if not wanted and shard is None:
        return rows
    found = [
        row
        for row in rows.tolist()
        if wanted in table.names[row].casefold() and (shard is None or shard in table.shards[row])
    ]
    return np.array(found, dtype=np.int64)


def _items(table: OrderParamTable, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return these rows as `OrderParam` has them."""
    columns = zip(
        rows.tolist(),
        table.epochs[rows].tolist(),
        table.messages_per_s[rows].tolist(),
        table.load[rows].tolist(),
        table.backlog[rows].tolist(),
        table.oldest_age_s[rows].tolist(),
        strict=True,
    )
    return [
        {
            "order_param": table.names[row],
            "shards": table.shards[row],
            "epoch": epoch,
            "messages_per_s": rate,
            "load": dict(zip(RESOURCES, load, strict=True)),
            "backlog": backlog,
            "oldest_age_s": age_s,
        }
        for row, epoch, rate, load, backlog, age_s in columns
    ]
