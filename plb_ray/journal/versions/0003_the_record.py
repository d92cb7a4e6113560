"""The record: decisions are found by their moves, what moves promised is kept, and who did what.

Revision ID: 0003
Revises: 0002
"""

import json

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTING = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CHUNK = 500


def upgrade() -> None:
    op.create_index("decisions_by_time", "decisions", ["at_s"])
    moves = op.create_table(
        "decision_moves",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("order_param", sa.String, nullable=False),
        sa.Column("admission", sa.String, nullable=False),
    )
    op.create_index("decision_moves_by_order_param", "decision_moves", ["order_param", "number"])
    op.create_index("decision_moves_by_admission", "decision_moves", ["admission", "number"])
    op.create_table(
        "effects",
        sa.Column("migration_id", sa.String, primary_key=True),
        sa.Column("decision", sa.BigInteger, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("order_param", sa.String, nullable=False),
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("effects_by_decision", "effects", ["decision", "place"])
    op.create_index("effects_by_order_param", "effects", ["order_param", "decision", "place"])
    op.create_index("effects_by_pending", "effects", ["pending"])
    op.create_table(
        "audit",
        sa.Column("number", _COUNTING, primary_key=True, autoincrement=True),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("audit_by_time", "audit", ["at_s"])
    op.create_index("audit_by_who", "audit", ["who", "number"])
    op.create_index("audit_by_action", "audit", ["action", "number"])
    if not context.is_offline_mode():
        _index_earlier_decisions(op.get_bind(), moves)


def _index_earlier_decisions(connection: sa.Connection, moves: sa.Table) -> None:
    """Make the decisions of earlier releases found by their moves too, a chunk at a time."""
    decisions = sa.table("decisions", sa.column("number"), sa.column("document"))
    done = -1
    while True:
        chunk = (
            sa.select(decisions.c.number, decisions.c.document)
            .where(decisions.c.number > done)
            .order_by(decisions.c.number)
            .limit(_CHUNK)
        )
        found = connection.execute(chunk).all()
        if not found:
            return
        rows = [
            {"number": number, "place": place, "order_param": each["move"]["order_param"], "admission": each["admission"]}
            for number, document in found
            for place, each in enumerate(json.loads(document).get("moves", []))
            if "move" in each
        ]
        if rows:
            connection.execute(moves.insert(), rows)
        done = found[-1].number


def downgrade() -> None:
    for table in ("audit", "effects", "decision_moves"):
        op.drop_table(table)
    op.drop_index("decisions_by_time", "decisions")
