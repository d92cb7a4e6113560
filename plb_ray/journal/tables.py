"""The tables of the journal as SQLAlchemy sees them. Alembic's `versions` make them; a test compares the two.

Times are seconds since the Unix epoch. Numbers from shards (sequences, bytes) are 64 bit.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

# BIGINT, but INTEGER where only that counts up by itself.
_COUNTING = BigInteger().with_variant(Integer(), "sqlite")

# The latest record of each migration; `seal` is what its source gave out at SEAL, as JSON.
migrations = Table(
    "migrations",
    metadata,
    Column("migration_id", String, primary_key=True),
    Column("order_param", String, nullable=False),
    Column("source", String, nullable=False),
    Column("destination", String, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("step", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_s", Float, nullable=False),
    Column("finished_s", Float),
    Column("messages_copied", BigInteger, nullable=False),
    Column("bytes_copied", BigInteger, nullable=False),
    Column("pause_ms", Float),
    Column("error", Text, nullable=False),
    Column("seal", Text),
    Column("mode", String, nullable=False, server_default="copy"),
    Column("at_s", Float, nullable=False, server_default="0"),
    Column("lag_messages", BigInteger, nullable=False, server_default="0"),
    Column("eta_s", Float),
    Index("migrations_by_step", "step"),
    Index("migrations_by_start", "started_s"),
    Index("migrations_by_end", "finished_s"),
)

# Every record ever written, in the order of writing; nothing is changed here, and deleted with its migration only.
migration_records = Table(
    "migration_records",
    metadata,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("migration_id", String, nullable=False, index=True),
    Column("step", String, nullable=False),
    Column("document", Text, nullable=False),
)

# Which shards hold an order param: JSON list of shard ids, the last one takes appends; `rotation` is such a list too.
placements = Table(
    "placements",
    metadata,
    Column("order_param", String, primary_key=True),
    Column("shards", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("rotation", Text, nullable=False, server_default="[]"),
)

# The shards that have told all their order params to an owner of this journal at least once.
surveyed_shards = Table("surveyed_shards", metadata, Column("shard_id", String, primary_key=True))

# What the control loop decided, one JSON document per tick.
decisions = Table(
    "decisions",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_s", Float, nullable=False),
    Column("document", Text, nullable=False),
    Index("decisions_by_time", "at_s"),
)

# The moves of each decision, to find decisions by; deleted with their decision.
decision_moves = Table(
    "decision_moves",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("order_param", String, nullable=False),
    Column("admission", String, nullable=False),
    Index("decision_moves_by_order_param", "order_param", "number"),
    Index("decision_moves_by_admission", "admission", "number"),
)

# What each move that was sent promised, and what came of it: a JSON document each.
effects = Table(
    "effects",
    metadata,
    Column("migration_id", String, primary_key=True),
    Column("decision", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("order_param", String, nullable=False),
    Column("pending", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Index("effects_by_decision", "decision", "place"),
    Index("effects_by_order_param", "order_param", "decision", "place"),
    Index("effects_by_pending", "pending"),
)

# Who did what; nothing is changed here, and the oldest go first.
audit = Table(
    "audit",
    metadata,
    Column("number", _COUNTING, primary_key=True, autoincrement=True),
    Column("at_s", Float, nullable=False),
    Column("who", String, nullable=False),
    Column("role", String, nullable=False),
    Column("action", String, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_by_time", "at_s"),
    Index("audit_by_who", "who", "number"),
    Index("audit_by_action", "action", "number"),
)

# The operator's standing orders: one row, one JSON document.
standing_orders = Table(
    "standing_orders",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)

# Plans that wait for people, and those that have ended: where each stands, since when, and a JSON document.
saved_plans = Table(
    "saved_plans",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),
    Column("at_s", Float, nullable=False),
    Column("document", Text, nullable=False),
    Index("saved_plans_by_state", "state", "number"),
)

# Counters: "owners" (how many processes have held this journal), "generation" (changes of the mapping), and "forgotten done"
# and "forgotten aborted" (migrations that were pruned).
meta = Table("meta", metadata, Column("name", String, primary_key=True), Column("value", BigInteger, nullable=False))
