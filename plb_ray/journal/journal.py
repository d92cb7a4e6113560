"""The journal: one database that holds the migrations, the mapping and the decisions of one balancer.

    journal = await open_journal(state_dir / "journal.db")
    journal            JournalPort      journal.mapping    MappingPort
    journal.decisions  DecisionLog      journal.effects    EffectLog
    journal.audit      AuditLog         journal.takeovers  owners before this one
    journal.orders     OrdersStore      journal.plans      PlanStore

SQLite in WAL mode with synchronous=FULL: a write that has returned survives a power cut. Nothing but `_sqlite_engine` and
the owner lock is about SQLite.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from plb_ray.control.saved_plans import OPEN
from plb_ray.errors import BadInputError
from plb_ray.journal import records
from plb_ray.journal.orders import SqlOrders, SqlPlans, prune_plans
from plb_ray.journal.owner_lock import OwnerLock
from plb_ray.journal.record import DecisionLog, SqlAudit, SqlEffects
from plb_ray.journal.retention import prune_audit, prune_decisions, prune_effects, prune_migrations
from plb_ray.journal.upgrade import upgrade_schema
from plb_ray.journal.worker import SqlWorker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from plb_ray.domain.mapping import Mapping, Placement
    from plb_ray.domain.migration import MigrationRecord, MigrationStep
    from plb_ray.journal.retention import Retention
    from plb_ray.migration.ports import SealRecord

CACHE_KIB = 8 * 1024


class SqlMapping:
    """The mapping in the journal's database; see `MappingPort`."""

    def __init__(self, worker: SqlWorker) -> None:
        self._worker = worker

    async def load(self) -> Mapping:
        return await self._worker.run(records.load_mapping)

    async def create(self, placement: Placement) -> Placement:
        return await self._worker.run(partial(records.create_placement, placement=placement))

    async def compare_and_set(self, order_param: str, expected_epoch: int, placement: Placement) -> Placement:
        assert order_param == placement.order_param, "a placement is stored under its own order param"
        operation = partial(records.compare_and_set_placement, expected_epoch=expected_epoch, placement=placement)
        return await self._worker.run(operation)

    async def reshape(self, placement: Placement) -> Placement:
        return await self._worker.run(partial(records.reshape_placement, placement=placement))

    async def surveyed(self) -> frozenset[str]:
        return await self._worker.run(records.read_surveyed)

    async def note_surveyed(self, shards: frozenset[str]) -> None:
        await self._worker.run(partial(records.note_surveyed, shards=shards))


class Journal:
    """See the module; made by `open_journal`. Implements `JournalPort`.

    Attributes:
        mapping: the durable mapping.
        decisions: the control loop's decisions.
        effects: what its moves promised, and what came of them.
        audit: who did what.
        orders: the operator's standing orders.
        plans: that wait for people, or have ended.
        takeovers: how many owners this journal had before; 0 for a new one.
    """

    def __init__(
        self, worker: SqlWorker, lock: OwnerLock, takeovers: int, on_record: Callable[[MigrationRecord], None]
    ) -> None:
        self._worker = worker
        self._lock = lock
        self._on_record = on_record
        self.takeovers = takeovers
        self.mapping = SqlMapping(worker)
        self.decisions = DecisionLog(worker)
        self.effects = SqlEffects(worker)
        self.audit = SqlAudit(worker)
        self.orders = SqlOrders(worker)
        self.plans = SqlPlans(worker)

    async def write(self, record: MigrationRecord, sealed: SealRecord | None = None) -> None:
        """See `JournalPort`."""
        await self._worker.run(partial(records.write_migration, record=record, sealed=sealed))
        self._on_record(record)

    async def sealed(self, migration_id: str) -> SealRecord | None:
        """See `JournalPort`."""
        return await self._worker.run(partial(records.get_seal, migration_id=migration_id))

    async def get(self, migration_id: str) -> MigrationRecord | None:
        """See `JournalPort`."""
        return await self._worker.run(partial(records.get_migration, migration_id=migration_id))

    async def unfinished(self) -> tuple[MigrationRecord, ...]:
        """See `JournalPort`. Oldest first."""
        return await self._worker.run(records.unfinished_migrations)

    async def recent(self, limit: int) -> tuple[MigrationRecord, ...]:
        """See `JournalPort`. Newest first."""
        return await self._worker.run(partial(records.recent_migrations, limit=limit))

    async def counts(self) -> dict[MigrationStep, int]:
        """Return how many migrations stand at each step; DONE and ABORTED are totals since the journal was made.

        Steps at which none stands are left out.
        """
        return await self._worker.run(records.count_migrations)

    async def history(self, migration_id: str) -> tuple[MigrationRecord, ...]:
        """See `JournalPort`. Every record ever written of one migration, in order; none of an unknown or pruned one."""
        return await self._worker.run(partial(records.migration_history, migration_id=migration_id))

    async def prune(self, retention: Retention, now_s: float) -> int:
        """Forget what is over and older than the retention; return how many rows of each kind went.

        Raises:
            RetryableError: the store did not take a chunk; those before it are gone.
        """
        chunks = (
            partial(prune_migrations, retention=retention, now_s=now_s),
            partial(prune_decisions, retention=retention),
            prune_effects,
            partial(prune_audit, retention=retention, now_s=now_s),
            partial(prune_plans, retention=retention, open_states=[state.value for state in OPEN]),
        )
        total = 0
        for chunk in chunks:
            while gone := await self._worker.run(chunk):
                total += gone
        return total

    async def close(self) -> None:
        """Finish what was submitted and let the next owner in."""
        await self._worker.close()
        self._lock.release()


async def open_journal(path: Path, on_record: Callable[[MigrationRecord], None] = lambda _record: None) -> Journal:
    """Open (or make) the journal at a path and become its owner. The schema is brought up to date.

    Args:
        path: of the database file.
        on_record: told each migration record when it is on disk, in the order of writing.

    Raises:
        NotTheOwnerError: another process holds it; its pid is in the text.
        BadInputError: the file is not a journal, cannot be written, or is of a newer plb-ray.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = OwnerLock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise BadInputError(f"journal {path}: cannot be written: {error.strerror or error}") from error
    engine = _sqlite_engine(path)
    try:
        owners = await asyncio.to_thread(_prepare, engine, path)
    except BaseException:
        engine.dispose()
        lock.release()
        raise
    return Journal(SqlWorker(engine), lock, owners - 1, on_record)


def _prepare(engine: Engine, path: Path) -> int:
    """Bring the schema up to date and count the new owner; return how many owners there have been."""
    try:
        with engine.begin() as connection:
            upgrade_schema(connection)
            owners = records.increase_counter(connection, "owners")
    except DatabaseError as error:
        if "locked" in str(error.orig):
            what = "another process stands in the middle of a write to it; end that process, then start again"
        else:
            what = f"cannot be used: {error.orig}; move it away to start anew"
        raise BadInputError(f"journal {path}: {what}") from error
    engine.dispose()  # the worker's thread opens its own connection
    return owners


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _connect_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _connect_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions too late: DDL would not be part of them
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"cache_size=-{CACHE_KIB}", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
