"""Alembic's entry point; run by Alembic alone. The caller (`upgrade`) hands its connection over in the configuration."""

from __future__ import annotations

from alembic import context

from plb_ray.journal.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:  # `alembic --sql`: print the statements for a dialect
    context.configure(dialect_name=context.config.attributes["dialect"], target_metadata=metadata, literal_binds=True)
else:
    context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
