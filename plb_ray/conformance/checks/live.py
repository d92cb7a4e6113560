"""Group "traffic": migrations while producers send and a consumer consumes, judged by the order checker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plb_ray.conformance.flows import chained, moved
from plb_ray.conformance.registry import TWO, Table
from plb_ray.conformance.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.conformance.case import Case

TABLE = Table("traffic", TWO)
COPY, CHAIN = moved, chained
BETWEEN = 30  # messages acknowledged between two migrations


@TABLE.check("standing")
async def standing(case: Case) -> None:
    """Without a migration every message is consumed once and in order."""
    await _migrated_under_traffic(case, ())


@TABLE.check("copy")
async def copy(case: Case) -> None:
    """Migrations by copy, there and back, lose, double and reorder nothing, and pause for a moment only."""
    await _migrated_under_traffic(case, [COPY] * 6)


@TABLE.check("chain")
async def chain(case: Case) -> None:
    """Chained migrations, there and back, lose, double and reorder nothing."""
    await _migrated_under_traffic(case, [CHAIN] * 6)


@TABLE.check("mixed")
async def mixed(case: Case) -> None:
    """Migrations by copy of an order param whose earlier segments are still elsewhere keep order too."""
    await _migrated_under_traffic(case, [CHAIN, COPY, COPY, CHAIN, CHAIN, COPY])


async def _migrated_under_traffic(case: Case, migrations: Sequence[object]) -> None:
    name, (source, destination) = case.name(), (case.a, case.b)
    await source.open(name)
    async with Traffic(name, (source, destination)).running() as traffic:
        for number, migrate in enumerate(migrations, start=1):
            await migrate(case, name, source, destination, epoch=number, number=number)
            source, destination = destination, source
            await traffic.more(BETWEEN)
