"""Taking away the rows of hidden runs, a few in each transaction: nobody who writes waits long."""

from __future__ import annotations

from sqlalchemy import Connection, Table, delete, select, update

from service.evaluations.store.tables import batches, partials, runs, snapshots, tags

ROWS = 500
"""Rows taken away in one transaction, fewer where they are large."""
COLUMN_BYTES = 64 << 20


def reap(connection: Connection, run_id: str) -> bool:
    """Take away some of a hidden run's rows; True when the last went."""
    locked = select(runs.c.id).where(runs.c.id == run_id).with_for_update(skip_locked=True)
    if connection.execute(locked).first() is None:
        return True  # another process does it
    if _some(connection, partials, run_id):
        return False
    total, last, seen = 0, 0, 0
    sizes = select(batches.c.seq, batches.c.nbytes).where(batches.c.run_id == run_id).order_by(batches.c.seq)
    for seq, nbytes in connection.execute(sizes.limit(ROWS)):
        last, seen = seq, seen + 1
        total += nbytes
        if total > COLUMN_BYTES:
            break
    if seen:
        connection.execute(delete(batches).where(batches.c.run_id == run_id, batches.c.seq <= last))
        lighter = {"stored_bytes": runs.c.stored_bytes - total}
        connection.execute(update(runs).where(runs.c.id == run_id).values(lighter))
        return False
    for table in (snapshots, tags):
        connection.execute(delete(table).where(table.c.run_id == run_id))
    connection.execute(delete(runs).where(runs.c.id == run_id))
    return True


def _some(connection: Connection, table: Table, run_id: str) -> int:
    first = select(table.c.seq).where(table.c.run_id == run_id).order_by(table.c.seq).limit(ROWS)
    found = list(connection.execute(first).scalars())
    if found:
        connection.execute(delete(table).where(table.c.run_id == run_id, table.c.seq <= found[-1]))
    return len(found)
