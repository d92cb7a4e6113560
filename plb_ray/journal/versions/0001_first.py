"""The first schema: migrations and their history, placements, decisions, counters.

Revision ID: 0001
Revises: none
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNTING = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "migrations",
        sa.Column("migration_id", sa.String, primary_key=True),
        sa.Column("order_param", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("step", sa.String, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_s", sa.Float, nullable=False),
        sa.Column("finished_s", sa.Float),
        sa.Column("messages_copied", sa.BigInteger, nullable=False),
        sa.Column("bytes_copied", sa.BigInteger, nullable=False),
        sa.Column("pause_ms", sa.Float),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("seal", sa.Text),
    )
    op.create_index("migrations_by_step", "migrations", ["step"])
    op.create_index("migrations_by_start", "migrations", ["started_s"])
    op.create_table(
        "migration_records",
        sa.Column("number", _COUNTING, primary_key=True, autoincrement=True),
        sa.Column("migration_id", sa.String, nullable=False, index=True),
        sa.Column("step", sa.String, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "placements",
        sa.Column("order_param", sa.String, primary_key=True),
        sa.Column("shards", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("meta", "decisions", "placements", "migration_records", "migrations"):
        op.drop_table(table)
