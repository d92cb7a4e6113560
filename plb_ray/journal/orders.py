"""The journal's standing orders and saved plans. See the ports."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from plb_ray.journal.tables import saved_plans, standing_orders

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from plb_ray.journal.retention import Retention
    from plb_ray.journal.worker import SqlWorker

THE_ROW = 1


class SqlOrders:
    """Implements `plb_ray.control.ports.OrdersStore`."""

    def __init__(self, worker: SqlWorker) -> None:
        self._worker = worker

    async def read(self) -> dict[str, Any] | None:
        """See the port."""
        return await self._worker.run(_read_orders)

    async def write(self, document: dict[str, Any]) -> None:
        """See the port."""
        await self._worker.run(partial(_write_orders, document=document))


class SqlPlans:
    """Implements `plb_ray.control.ports.PlanStore`."""

    def __init__(self, worker: SqlWorker) -> None:
        self._worker = worker

    async def add(self, state: str, at_s: float, document: dict[str, Any]) -> int:
        """See the port."""
        return await self._worker.run(partial(_add_plan, values=_values(state, at_s, document)))

    async def put(self, number: int, state: str, at_s: float, document: dict[str, Any]) -> None:
        """See the port."""
        await self._worker.run(partial(_put_plan, number=number, values=_values(state, at_s, document)))

    async def get(self, number: int) -> dict[str, Any] | None:
        """See the port."""
        return await self._worker.run(partial(_get_plan, number=number))

    async def find(self, states: Collection[str], limit: int, offset: int) -> tuple[tuple[int, dict[str, Any]], ...]:
        """See the port."""
        return await self._worker.run(partial(_find_plans, states=tuple(states), limit=limit, offset=offset))


def prune_plans(connection: Connection, retention: Retention, open_states: Collection[str]) -> int:
    """Forget one chunk of plans that ended too long before the newest (their time may be a replay's); return how many."""
    newest, newest_s = connection.execute(select(func.max(saved_plans.c.number), func.max(saved_plans.c.at_s))).one()
    if newest is None:
        return 0
    old = (
        select(saved_plans.c.number)
        .where(
            saved_plans.c.state.not_in(open_states),
            saved_plans.c.at_s < newest_s - retention.keep_s,
            saved_plans.c.number != newest,  # its number continues the count
        )
        .order_by(saved_plans.c.number)
        .limit(retention.chunk)
    )
    gone = list(connection.execute(old).scalars())
    connection.execute(delete(saved_plans).where(saved_plans.c.number.in_(gone)))
    return len(gone)


def _read_orders(connection: Connection) -> dict[str, Any] | None:
    document = connection.execute(select(standing_orders.c.document)).scalar_one_or_none()
    return None if document is None else json.loads(document)


def _write_orders(connection: Connection, document: dict[str, Any]) -> None:
    text = json.dumps(document, separators=(",", ":"))
    changed = connection.execute(update(standing_orders).where(standing_orders.c.number == THE_ROW).values(document=text))
    if changed.rowcount == 0:
        connection.execute(insert(standing_orders).values(number=THE_ROW, document=text))


def _values(state: str, at_s: float, document: dict[str, Any]) -> dict[str, Any]:
    return {"state": state, "at_s": at_s, "document": json.dumps(document, separators=(",", ":"))}


def _add_plan(connection: Connection, values: dict[str, Any]) -> int:
    number = connection.execute(select(func.coalesce(func.max(saved_plans.c.number), 0) + 1)).scalar_one()
    connection.execute(insert(saved_plans).values(number=number, **values))
    return int(number)


def _put_plan(connection: Connection, number: int, values: dict[str, Any]) -> None:
    connection.execute(update(saved_plans).where(saved_plans.c.number == number).values(**values))


def _get_plan(connection: Connection, number: int) -> dict[str, Any] | None:
    document = connection.execute(select(saved_plans.c.document).where(saved_plans.c.number == number)).scalar_one_or_none()
    return None if document is None else json.loads(document)


def _find_plans(
    connection: Connection, states: tuple[str, ...], limit: int, offset: int
) -> tuple[tuple[int, dict[str, Any]], ...]:
    query = select(saved_plans.c.number, saved_plans.c.document).order_by(saved_plans.c.number.desc())
    if states:
        query = query.where(saved_plans.c.state.in_(states))
    found = connection.execute(query.limit(limit).offset(offset))
    return tuple((number, json.loads(document)) for number, document in found)
