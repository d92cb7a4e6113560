"""Brings a journal's schema up to date with Alembic, from the revisions packaged in `versions`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from plb_ray.errors import BadInputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

FOLDER = Path(__file__).parent


def upgrade_schema(connection: Connection) -> None:
    """Apply the revisions that this database lacks, in the caller's transaction.

    Raises:
        BadInputError: the database was written by a newer plb-ray.
    """
    config = _config()
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    if present == script.get_current_head():
        return
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise BadInputError(
            f"journal {connection.engine.url.database}: its schema {present!r} was made by a newer plb-ray; update plb-ray"
        ) from error


def schema_sql(dialect: str) -> str:
    """Return the statements that make the schema in another dialect ("postgresql"), without a database."""
    text = io.StringIO()
    config = _config()
    config.output_buffer = text
    config.attributes["dialect"] = dialect
    command.upgrade(config, "head", sql=True)
    return text.getvalue()


def _config() -> Config:
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    return config
