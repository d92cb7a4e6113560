"""Rows of the journal <-> domain types, and the statements on them. Plain functions of a connection, run by the worker.

The statements are common to SQLite and PostgreSQL.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, text, update

from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationMode, MigrationRecord, MigrationStep
from plb_ray.errors import StaleEpochError, UnknownOrderParamError
from plb_ray.journal.tables import decisions, meta, migration_records, migrations, placements, surveyed_shards
from plb_ray.migration.ports import ProducerState, SealRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

TERMINAL = [step.value for step in MigrationStep if step.terminal]
_RECORD_FIELDS = [field.name for field in fields(MigrationRecord)]
_RECORD_COLUMNS = [migrations.c[name] for name in _RECORD_FIELDS]

# Eight records a migration, hundreds of migrations a second: as text one costs 0.1 ms of CPU, as expressions 0.9 ms.
_APPEND = text("INSERT INTO migration_records (migration_id, step, document) VALUES (:migration_id, :step, :document)")
_STORE = text(
    f"INSERT INTO migrations ({', '.join(_RECORD_FIELDS)}, seal) "  # noqa: S608  names of our own columns
    f"VALUES ({', '.join(':' + name for name in _RECORD_FIELDS)}, :seal) ON CONFLICT (migration_id) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _RECORD_FIELDS)}, seal = coalesce(excluded.seal, migrations.seal)"
)


# Migrations


def write_migration(connection: Connection, record: MigrationRecord, sealed: SealRecord | None) -> None:
    """Store the latest record, and append it to the history."""
    values: dict[str, Any] = {**vars(record), "step": record.step.value, "mode": record.mode.value}
    document = json.dumps(values, separators=(",", ":"))
    seal = None if sealed is None else _seal_document(sealed)
    connection.execute(_APPEND, {"migration_id": record.migration_id, "step": record.step.value, "document": document})
    connection.execute(_STORE, {**values, "seal": seal})


def _seal_document(sealed: SealRecord) -> str:
    """Return what is final of a seal as JSON; the tail is still on the source."""
    values = asdict(sealed)
    del values["tail"]
    return json.dumps(values, separators=(",", ":"))


def get_migration(connection: Connection, migration_id: str) -> MigrationRecord | None:
    """Return the latest record of one migration."""
    query = select(*_RECORD_COLUMNS).where(migrations.c.migration_id == migration_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _migration(row)


def get_seal(connection: Connection, migration_id: str) -> SealRecord | None:
    """Return what the source gave out at SEAL."""
    document = connection.execute(
        select(migrations.c.seal).where(migrations.c.migration_id == migration_id)
    ).scalar_one_or_none()
    if document is None:
        return None
    values = json.loads(document)
    return SealRecord(**{**values, "producers": tuple(ProducerState(**entry) for entry in values["producers"])})


def unfinished_migrations(connection: Connection) -> tuple[MigrationRecord, ...]:
    """Return the migrations that have not ended, oldest first."""
    query = select(*_RECORD_COLUMNS).where(migrations.c.step.not_in(TERMINAL)).order_by(migrations.c.started_s)
    return tuple(_migration(row) for row in connection.execute(query))


def recent_migrations(connection: Connection, limit: int) -> tuple[MigrationRecord, ...]:
    """Return the migrations that started last, newest first."""
    order = (migrations.c.started_s.desc(), migrations.c.migration_id.desc())
    return tuple(_migration(row) for row in connection.execute(select(*_RECORD_COLUMNS).order_by(*order).limit(limit)))


def count_migrations(connection: Connection) -> dict[MigrationStep, int]:
    """Return how many migrations stand at each step; those that were pruned are counted as what they ended as."""
    query = select(migrations.c.step, func.count()).group_by(migrations.c.step)
    counts = Counter({MigrationStep(step): count for step, count in connection.execute(query)})
    counts.update({MigrationStep(step): read_counter(connection, forgotten(step)) for step in TERMINAL})
    return dict(+counts)


def forgotten(step: str) -> str:
    """Return the name of the counter of pruned migrations that ended at this step."""
    return f"forgotten {step}"


def migration_history(connection: Connection, migration_id: str) -> tuple[MigrationRecord, ...]:
    """Return every record ever written of one migration, in order."""
    query = (
        select(migration_records.c.document)
        .where(migration_records.c.migration_id == migration_id)
        .order_by(migration_records.c.number)
    )
    return tuple(_from_values(json.loads(document)) for document in connection.execute(query).scalars())


def _migration(row: Row[Any]) -> MigrationRecord:
    return _from_values(dict(zip(_RECORD_FIELDS, row, strict=True)))


def _from_values(values: dict[str, Any]) -> MigrationRecord:
    """Make a record; fields that a document of an older release lacks get their defaults."""
    mode = MigrationMode(values.get("mode", MigrationMode.COPY))
    return MigrationRecord(**{**values, "step": MigrationStep(values["step"]), "mode": mode})


# Mapping


def load_mapping(connection: Connection) -> Mapping:
    """Return all placements."""
    found = {row.order_param: _placement_of(row) for row in connection.execute(select(placements))}
    return Mapping(read_counter(connection, "generation"), found)


def create_placement(connection: Connection, placement: Placement) -> Placement:
    """Store a placement unless there is one; return the one that is there."""
    present = _placement(connection, placement.order_param)
    if present is not None:
        return present
    connection.execute(insert(placements).values(_placement_values(placement)))
    increase_counter(connection, "generation")
    return placement


def compare_and_set_placement(connection: Connection, expected_epoch: int, placement: Placement) -> Placement:
    """Replace a placement of the expected epoch; see `MappingPort`."""
    changed = connection.execute(
        update(placements)
        .where(placements.c.order_param == placement.order_param, placements.c.epoch == expected_epoch)
        .values(_placement_values(placement))
    )
    if changed.rowcount == 1:
        increase_counter(connection, "generation")
        return placement
    present = _placement(connection, placement.order_param)
    if present != placement:
        current = 0 if present is None else present.epoch
        raise StaleEpochError(placement.order_param, given=expected_epoch, current=current)
    return placement


def reshape_placement(connection: Connection, placement: Placement) -> Placement:
    """Replace shards and rotation if the epoch is this one; see `MappingPort`. Raises UnknownOrderParamError."""
    present = _placement(connection, placement.order_param)
    if present is None:
        raise UnknownOrderParamError(placement.order_param)
    if present.epoch != placement.epoch or present == placement:
        return present
    where = placements.c.order_param == placement.order_param
    connection.execute(update(placements).where(where).values(_placement_values(placement)))
    increase_counter(connection, "generation")
    return placement


def read_surveyed(connection: Connection) -> frozenset[str]:
    """Return the shards that have been surveyed."""
    return frozenset(connection.execute(select(surveyed_shards.c.shard_id)).scalars())


def note_surveyed(connection: Connection, shards: frozenset[str]) -> None:
    """Add to the shards that have been surveyed."""
    fresh = sorted(shards - read_surveyed(connection))
    if fresh:
        connection.execute(insert(surveyed_shards), [{"shard_id": shard_id} for shard_id in fresh])


def _placement(connection: Connection, order_param: str) -> Placement | None:
    row = connection.execute(select(placements).where(placements.c.order_param == order_param)).one_or_none()
    return None if row is None else _placement_of(row)


def _placement_of(row: Row[Any]) -> Placement:
    return Placement(row.order_param, tuple(json.loads(row.shards)), row.epoch, tuple(json.loads(row.rotation)))


def _placement_values(placement: Placement) -> dict[str, Any]:
    return {
        "order_param": placement.order_param,
        "shards": json.dumps(placement.shards),
        "epoch": placement.epoch,
        "rotation": json.dumps(placement.rotation),
    }


# Decisions


def recent_decisions(connection: Connection, limit: int) -> tuple[dict[str, Any], ...]:
    """Return the last decisions, newest first."""
    query = select(decisions.c.document).order_by(decisions.c.number.desc()).limit(limit)
    return tuple(json.loads(document) for document in connection.execute(query).scalars())


def count_decisions(connection: Connection) -> int:
    """Return how many decisions were made, those that were pruned included: the next number."""
    return connection.execute(select(func.coalesce(func.max(decisions.c.number), -1) + 1)).scalar_one()


# Counters


def read_counter(connection: Connection, name: str) -> int:
    """Return a counter; 0 before its first increase."""
    return connection.execute(select(meta.c.value).where(meta.c.name == name)).scalar_one_or_none() or 0


def increase_counter(connection: Connection, name: str, by: int = 1) -> int:
    """Add to a counter and return its new value."""
    changed = connection.execute(update(meta).where(meta.c.name == name).values(value=meta.c.value + by))
    if changed.rowcount == 0:
        connection.execute(insert(meta).values(name=name, value=by))
    return read_counter(connection, name)
