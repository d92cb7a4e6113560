"""Rows of the journal <-> domain types, and the statements on them. Plain functions of a connection, run by the worker.

The statements are common to all databases; "insert or update" is spelled out because the journal has one writer.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from plb_ray.domain.mapping import Mapping, Placement
from plb_ray.domain.migration import MigrationRecord, MigrationStep
from plb_ray.errors import StaleEpochError
from plb_ray.journal.tables import decisions, meta, migration_records, migrations, placements
from plb_ray.migration.ports import ProducerState, SealRecord

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

_TERMINAL = [step.value for step in MigrationStep if step.terminal]
_RECORD_FIELDS = [field.name for field in fields(MigrationRecord)]
_RECORD_COLUMNS = [migrations.c[name] for name in _RECORD_FIELDS]


# Migrations


def write_migration(connection: Connection, record: MigrationRecord, sealed: SealRecord | None) -> None:
    """Store the latest record, and append it to the history."""
    values: dict[str, Any] = {**asdict(record), "step": record.step.value}
    connection.execute(
        insert(migration_records).values(
            migration_id=record.migration_id, step=record.step.value, document=json.dumps(values, separators=(",", ":"))
        )
    )
    if sealed is not None:
        values["seal"] = json.dumps(asdict(sealed), separators=(",", ":"))
    changed = connection.execute(update(migrations).where(migrations.c.migration_id == record.migration_id).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(migrations).values(values))


def get_migration(connection: Connection, migration_id: str) -> MigrationRecord | None:
    """Return the latest record of one migration."""
    query = select(*_RECORD_COLUMNS).where(migrations.c.migration_id == migration_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _migration(row)


def get_seal(connection: Connection, migration_id: str) -> SealRecord | None:
    """Return what the source gave out at SEAL."""
    text = connection.execute(
        select(migrations.c.seal).where(migrations.c.migration_id == migration_id)
    ).scalar_one_or_none()
    if text is None:
        return None
    values = json.loads(text)
    return SealRecord(**{**values, "producers": tuple(ProducerState(**entry) for entry in values["producers"])})


def unfinished_migrations(connection: Connection) -> tuple[MigrationRecord, ...]:
    """Return the migrations that have not ended, oldest first."""
    query = select(*_RECORD_COLUMNS).where(migrations.c.step.not_in(_TERMINAL)).order_by(migrations.c.started_s)
    return tuple(_migration(row) for row in connection.execute(query))


def recent_migrations(connection: Connection, limit: int) -> tuple[MigrationRecord, ...]:
    """Return the migrations that started last, newest first."""
    order = (migrations.c.started_s.desc(), migrations.c.migration_id.desc())
    return tuple(_migration(row) for row in connection.execute(select(*_RECORD_COLUMNS).order_by(*order).limit(limit)))


def count_migrations(connection: Connection) -> dict[MigrationStep, int]:
    """Return how many migrations stand at each step."""
    query = select(migrations.c.step, func.count()).group_by(migrations.c.step)
    return {MigrationStep(step): count for step, count in connection.execute(query)}


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
    return MigrationRecord(**{**values, "step": MigrationStep(values["step"])})


# Mapping


def load_mapping(connection: Connection) -> Mapping:
    """Return all placements."""
    rows = connection.execute(select(placements.c.order_param, placements.c.shards, placements.c.epoch))
    found = {name: Placement(name, tuple(json.loads(shards)), epoch) for name, shards, epoch in rows}
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


def _placement(connection: Connection, order_param: str) -> Placement | None:
    query = select(placements.c.shards, placements.c.epoch).where(placements.c.order_param == order_param)
    row = connection.execute(query).one_or_none()
    return None if row is None else Placement(order_param, tuple(json.loads(row[0])), row[1])


def _placement_values(placement: Placement) -> dict[str, Any]:
    return {"order_param": placement.order_param, "shards": json.dumps(placement.shards), "epoch": placement.epoch}


# Decisions


def append_decision(connection: Connection, number: int, at_s: float, document: dict[str, Any]) -> None:
    """Store a decision; the same number again replaces it (a tick that was interrupted is made again)."""
    values = {"number": number, "at_s": at_s, "document": json.dumps(document, separators=(",", ":"))}
    if connection.execute(update(decisions).where(decisions.c.number == number).values(values)).rowcount == 0:
        connection.execute(insert(decisions).values(values))


def recent_decisions(connection: Connection, limit: int) -> tuple[dict[str, Any], ...]:
    """Return the last decisions, newest first."""
    query = select(decisions.c.document).order_by(decisions.c.number.desc()).limit(limit)
    return tuple(json.loads(document) for document in connection.execute(query).scalars())


def count_decisions(connection: Connection) -> int:
    """Return how many decisions are stored."""
    return connection.execute(select(func.count()).select_from(decisions)).scalar_one()


# Counters


def read_counter(connection: Connection, name: str) -> int:
    """Return a counter; 0 before its first increase."""
    return connection.execute(select(meta.c.value).where(meta.c.name == name)).scalar_one_or_none() or 0


def increase_counter(connection: Connection, name: str) -> int:
    """Add one and return the new value."""
    changed = connection.execute(update(meta).where(meta.c.name == name).values(value=meta.c.value + 1))
    if changed.rowcount == 0:
        connection.execute(insert(meta).values(name=name, value=1))
    return read_counter(connection, name)
