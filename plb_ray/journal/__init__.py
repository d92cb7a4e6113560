"""Durable state by SQLAlchemy: migration journal, mapping, decisions. The schema is migrated by Alembic."""
