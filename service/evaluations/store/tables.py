"""The tables. A change of them is a migration (`migrations/versions`), which a test compares with this."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

REVISIONS = ("0001",)
"""All migrations in their order; the last makes these tables. Known here, so that Alembic is loaded only to migrate."""

metadata = MetaData()


def _text() -> String:
    """Texts compare by their code points on both databases, whatever the database's language."""
    return String().with_variant(String(collation="C"), "postgresql")


runs = Table(
    "runs",
    metadata,
    Column("id", _text(), primary_key=True),
    Column("owner", _text(), nullable=False),  # "" without keys: NULLs would not be unique
    Column("idempotency_key", _text()),
    Column("digest", LargeBinary, nullable=False),  # of the spec that was asked for first
    Column("spec", Text, nullable=False),
    Column("loss", _text(), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),  # microseconds since 1970
    Column("updated_at", BigInteger, nullable=False),
    Column("sealed_at", BigInteger),
    Column("deleted_at", BigInteger),  # seen by nobody from then on; its rows go bit by bit
    Column("last_seq", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Index("runs_by_key", "owner", "idempotency_key", unique=True),
    Index("runs_by_time", "owner", "created_at", "id"),
    Index("runs_by_change", "updated_at"),
    Index("runs_deleted", "deleted_at"),
)

tags = Table(
    "run_tags",
    metadata,
    Column("run_id", _text(), ForeignKey("runs.id"), primary_key=True),
    Column("tag", _text(), primary_key=True),
    Column("value", _text(), nullable=False),
    Index("run_tags_by_value", "tag", "value", "run_id"),
)

batches = Table(
    "batches",
    metadata,
    Column("run_id", _text(), ForeignKey("runs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id_length", Integer, nullable=False),  # series order by length and id: 2 before 10
    Column("batch_id", _text(), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("sums", LargeBinary, nullable=False),
    Column("answer", Text, nullable=False),
    Column("nbytes", BigInteger, nullable=False),
    Column("columns", LargeBinary, nullable=False),  # the last: SQLite reads the others without it
    Index("batches_by_id", "run_id", "id_length", "batch_id", unique=True),
)

# Apart from their batches: they go once a snapshot holds them.
partials = Table(
    "partials",
    metadata,
    Column("run_id", _text(), ForeignKey("runs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

# Tallies of the first `seq` batches.
snapshots = Table(
    "snapshots",
    metadata,
    Column("run_id", _text(), ForeignKey("runs.id"), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
