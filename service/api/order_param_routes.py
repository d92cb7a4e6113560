"""Order params in API v1: search among all, and look at one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query

from plb_ray.domain.load import RESOURCES
from plb_ray.domain.migration import MigrationStep
from plb_ray.errors import NotReadyError, UnknownOrderParamError
from service.api import examples, read_schemas
from service.api.deps import ReadsDep
from service.api.read_routes import HISTORY_STEPS_MAX, OrderParamPath
from service.api.read_schemas import LearnedCost, OrderParam, OrderParamDetail, OrderParamPage, PlacedSince
from service.api.schemas import RatePoint, Resources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from plb_ray.control.order_param_table import OrderParamTable
    from plb_ray.control.views import Balancer
    from plb_ray.domain.migration import MigrationRecord

router = APIRouter(prefix="/v1", tags=["observe"])

PAGE_MAX = 1000
MIGRATIONS_MAX = 1000
CPU = RESOURCES.index("cpu_cores")


@router.get(
    "/order-params", summary="Search order params", responses=examples.ok(read_schemas.ORDER_PARAMS, "invalid", "busy")
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
) -> OrderParamPage:
    """Arrival rate, load, backlog and shards of each, one page at a time. The filters combine."""
    table = await balancer.order_params()
    rows = _matching(table, contains.casefold(), shard)
    page = _sorted(table, rows, sort)[offset : offset + limit]
    items = [_row(table, row) for row in page.tolist()]
    return OrderParamPage(items=items, total=len(rows), limit=limit, offset=offset, at=table.at_s)


@router.get(
    "/order-params/{order_param:path}",
    summary="One order param",
    responses=examples.ok(read_schemas.ORDER_PARAM_DETAIL, "unknown", "invalid", "busy"),
)
async def get_order_param(
    balancer: ReadsDep,
    order_param: OrderParamPath,
    history_steps: Annotated[int, Query(ge=0, le=HISTORY_STEPS_MAX, description="observed steps to add")] = 144,
) -> OrderParamDetail:
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
    return OrderParamDetail(
        **_row(table, row).model_dump(),
        at=table.at_s,
        history=history,
        cost=cost,
        placements=[_placed(each) for each in migrations if _arrived(each, order_param)],
    )


async def _history(balancer: Balancer, order_param: str, steps: int) -> list[RatePoint]:
    """Return what was observed; nothing where no message has come yet."""
    try:
        points = await balancer.history(order_param, steps) if steps else ()
    except UnknownOrderParamError:
        points = ()
    return [RatePoint(at=at_s, messages_per_s=rate) for at_s, rate in points]


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


def _matching(table: OrderParamTable, wanted: str, shard: str | None) -> NDArray[np.int64]:
    """Return the rows that are asked for, by name; without a filter the table has them ready."""
    if not wanted and shard is None:
        return table.by_name
    found = [
        row
        for row in table.by_name.tolist()
        if wanted in table.names[row].casefold() and (shard is None or shard in table.shards[row])
    ]
    return np.array(found, dtype=np.int64)


def _sorted(table: OrderParamTable, by_name: NDArray[np.int64], sort: str) -> NDArray[np.int64]:
    """Return rows in the order asked for; those that are equal in it stay in that of their names."""
    if sort == "name":
        return by_name
    columns = {"rate": table.messages_per_s, "backlog": table.backlog, "cpu": table.load[:, CPU]}
    return by_name[np.argsort(-columns[sort][by_name], kind="stable")]


def _row(table: OrderParamTable, row: int) -> OrderParam:
    return OrderParam(
        order_param=table.names[row],
        shards=list(table.shards[row]),
        epoch=int(table.epochs[row]),
        messages_per_s=float(table.messages_per_s[row]),
        load=Resources(**dict(zip(RESOURCES, table.load[row].tolist(), strict=True))),
        backlog=int(table.backlog[row]),
        oldest_age_s=float(table.oldest_age_s[row]),
    )
