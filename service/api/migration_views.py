"""Migrations as the API shows them, made of the journal's records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.api.schemas import Migration, MigrationDetail

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plb_ray.domain.migration import MigrationRecord


def migration_out(record: MigrationRecord) -> Migration:
    """Return a migration as the API shows it."""
    return Migration.model_validate({**vars(record), "finished": record.step.terminal})


def migration_detail(record: MigrationRecord, timeline: Sequence[MigrationRecord]) -> MigrationDetail:
    """Return a migration with all its steps."""
    shown = {**vars(record), "finished": record.step.terminal, "timeline": [vars(each) for each in timeline]}
    return MigrationDetail.model_validate(shown)
