"""How long the journal remembers what is over, and the statements that forget it. Plain functions of a connection.

Only ended migrations are forgotten, with all their records, and never the newest decision nor the newest entry of the audit
log (their numbers continue the count). Effects go with their decision. The audit log is kept by its age alone.
A request id of a forgotten migration is new again. Work is done in chunks of one transaction each, so that the writers of
running migrations, who share the journal's thread, wait for no more than one chunk.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from plb_ray.errors import BadInputError, RetryableError
from plb_ray.journal.records import TERMINAL, forgotten, increase_counter
from plb_ray.journal.tables import audit, decision_moves, decisions, effects, migration_records, migrations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection

    from plb_ray.journal.journal import Journal

log = logging.getLogger(__name__)
DAY_S = 86_400.0


@dataclass(frozen=True)
class Retention:
    """What is kept. A migration or decision goes when it is too old or when there are too many newer ones.

    Attributes:
        keep_s: since the end of a migration, and before the newest decision (whose time may be a replay's), > 0.
        migrations: ended migrations, newest first, 1 or more.
        decisions: newest first, 1 or more.
        chunk: migrations or decisions per transaction, in [1, 10 000]; a migration has some ten records, and who has paused
            an order param may wait for one chunk.
        every_s: between two looks, > 0.
    """

    keep_s: float = 90 * DAY_S
    migrations: int = 100_000
    decisions: int = 100_000
    chunk: int = 20
    every_s: float = 600.0

    def __post_init__(self) -> None:
        for name, ok, want in (
            ("keep_s", self.keep_s > 0, "above 0"),
            ("migrations", self.migrations >= 1, "1 or more"),
            ("decisions", self.decisions >= 1, "1 or more"),
            ("chunk", 1 <= self.chunk <= 10_000, "from 1 to 10000"),
            ("every_s", self.every_s > 0, "above 0"),
        ):
            if not ok:
                raise BadInputError(f"journal retention {name}: must be {want}")


async def keep_pruned(
    journal: Journal,
    retention: Retention,
    now_s: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Prune now and every `every_s`, until cancelled. A journal that does not take it now is asked again next time."""
    while True:
        try:
            gone = await journal.prune(retention, now_s())
        except RetryableError as error:
            log.warning("the journal was not pruned: %s", error)
        else:
            if gone:
                log.info("pruned %d migrations, decisions, effects and audit entries from the journal", gone)
        await sleep(retention.every_s)


def prune_migrations(connection: Connection, retention: Retention, now_s: float) -> int:
    """Forget one chunk of ended migrations, the longest ended first; return how many."""
    last = max(now_s - retention.keep_s, _end_of_newest(connection, retention.migrations))
    found = connection.execute(
        select(migrations.c.migration_id, migrations.c.step)
        .where(migrations.c.finished_s < last, migrations.c.step.in_(TERMINAL))
        .order_by(migrations.c.finished_s)
        .limit(retention.chunk)
    ).all()
    gone = [migration_id for migration_id, _ in found]
    connection.execute(delete(migration_records).where(migration_records.c.migration_id.in_(gone)))
    connection.execute(delete(migrations).where(migrations.c.migration_id.in_(gone)))
    for step in TERMINAL:
        if count := sum(each == step for _, each in found):
            increase_counter(connection, forgotten(step), count)
    return len(gone)


def _end_of_newest(connection: Connection, keep: int) -> float:
    """Return when the oldest of the `keep` that ended last ended; minus infinity if there are no more than these."""
    ends = select(migrations.c.finished_s).where(migrations.c.finished_s.is_not(None))
    found = connection.execute(ends.order_by(migrations.c.finished_s.desc()).limit(2).offset(keep - 1)).scalars().all()
    return found[0] if len(found) == 2 else float("-inf")


def prune_decisions(connection: Connection, retention: Retention) -> int:
    """Forget one chunk of decisions, oldest first; return how many."""
    newest = connection.execute(
        select(decisions.c.number, decisions.c.at_s).order_by(decisions.c.number.desc()).limit(1)
    ).one_or_none()
    if newest is None:
        return 0
    too_old = decisions.c.at_s < newest.at_s - retention.keep_s
    too_many = decisions.c.number <= newest.number - retention.decisions
    first = connection.execute(select(func.min(decisions.c.number))).scalar_one()
    oldest = select(decisions.c.number).where(decisions.c.number < first + retention.chunk, too_old | too_many)
    gone = list(connection.execute(oldest).scalars())
    connection.execute(delete(decision_moves).where(decision_moves.c.number.in_(gone)))
    connection.execute(delete(decisions).where(decisions.c.number.in_(gone)))
    return len(gone)


def prune_effects(connection: Connection) -> int:
    """Forget the effects of the moves of one forgotten decision, oldest first; return how many. Pending ones stay."""
    oldest = connection.execute(select(func.min(decisions.c.number))).scalar_one()
    first = connection.execute(select(func.min(effects.c.decision)).where(~effects.c.pending)).scalar_one()
    if oldest is None or first is None or first >= oldest:
        return 0
    return connection.execute(delete(effects).where(effects.c.decision == first, ~effects.c.pending)).rowcount


def prune_audit(connection: Connection, retention: Retention, now_s: float) -> int:
    """Forget one chunk of entries of the audit log that are too old, oldest first; return how many."""
    bounds = connection.execute(select(func.min(audit.c.number), func.max(audit.c.number))).one()
    if bounds[0] is None:
        return 0
    first, last = bounds
    old = (audit.c.number < min(first + retention.chunk, last), audit.c.at_s < now_s - retention.keep_s)
    return connection.execute(delete(audit).where(*old)).rowcount
