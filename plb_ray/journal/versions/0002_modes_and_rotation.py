"""Migrations get a mode and a timeline, placements a rotation, and the shards that were surveyed are remembered.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("migrations", sa.Column("mode", sa.String, nullable=False, server_default="copy"))
    op.add_column("migrations", sa.Column("at_s", sa.Float, nullable=False, server_default="0"))
    op.add_column("migrations", sa.Column("lag_messages", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("migrations", sa.Column("eta_s", sa.Float))
    op.create_index("migrations_by_end", "migrations", ["finished_s"])
    op.add_column("placements", sa.Column("rotation", sa.Text, nullable=False, server_default="[]"))
    op.create_table("surveyed_shards", sa.Column("shard_id", sa.String, primary_key=True))


def downgrade() -> None:
    op.drop_table("surveyed_shards")
    op.drop_column("placements", "rotation")
    op.drop_index("migrations_by_end", "migrations")
    for column in ("eta_s", "lag_messages", "at_s", "mode"):
        op.drop_column("migrations", column)
