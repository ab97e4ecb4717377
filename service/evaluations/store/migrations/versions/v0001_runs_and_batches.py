"""Runs, their tags, batches, partials and snapshots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text() -> sa.String:
    return sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "runs",
        sa.Column("id", _text(), primary_key=True),
        sa.Column("owner", _text(), nullable=False),
        sa.Column("idempotency_key", _text()),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("loss", _text(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("sealed_at", sa.BigInteger),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("runs_by_key", "runs", ["owner", "idempotency_key"], unique=True)
    op.create_index("runs_by_time", "runs", ["owner", "created_at", "id"])
    op.create_index("runs_by_change", "runs", ["updated_at"])
    op.create_index("runs_deleted", "runs", ["deleted_at"])
    op.create_table(
        "run_tags",
        sa.Column("run_id", _text(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("tag", _text(), primary_key=True),
        sa.Column("value", _text(), nullable=False),
    )
    op.create_index("run_tags_by_value", "run_tags", ["tag", "value", "run_id"])
    op.create_table(
        "batches",
        sa.Column("run_id", _text(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id_length", sa.Integer, nullable=False),
        sa.Column("batch_id", _text(), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sums", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("nbytes", sa.BigInteger, nullable=False),
        sa.Column("columns", sa.LargeBinary, nullable=False),
    )
    op.create_index("batches_by_id", "batches", ["run_id", "id_length", "batch_id"], unique=True)
    op.create_table(
        "partials",
        sa.Column("run_id", _text(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "snapshots",
        sa.Column("run_id", _text(), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    if op.get_context().dialect.name == "postgresql":
        # Packed already: PostgreSQL need not try.
        for table, column in (("batches", "columns"), ("partials", "data"), ("snapshots", "data")):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")
