"""What tallies are folded from: partials in their order, and snapshots that stand for the first of them."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select, update

from schemas.evaluation.spec import RunSpec
from service.evaluations.refusals import NoSuchRun
from service.evaluations.store.tables import partials, runs, snapshots

ROWS = 256
"""Partials read at once."""
PARTIAL_BYTES = 16 << 20


def newest(connection: Connection, run_id: str) -> tuple[int, RunSpec]:
    """The number of a run's newest batch, and what the run is. Raises `NoSuchRun`."""
    query = select(runs.c.last_seq, runs.c.spec).where(runs.c.id == run_id, runs.c.deleted_at.is_(None))
    row = connection.execute(query).first()
    if row is None:
        raise NoSuchRun(run_id)
    return row.last_seq, RunSpec.model_validate_json(row.spec)


def next_partials(connection: Connection, run_id: str, after: int) -> list[tuple[int, bytes]]:
    """The partials behind the `after`-th that follow on it without a gap: at most 16 MiB of them, or one.

    None of them where there is no next, or a snapshot stands for it.
    """
    query = select(partials.c.seq, func.length(partials.c.data))
    query = query.where(partials.c.run_id == run_id, partials.c.seq > after).order_by(partials.c.seq).limit(ROWS)
    last, total = after, 0
    for seq, nbytes in connection.execute(query):
        total += nbytes
        if seq != last + 1 or (total > PARTIAL_BYTES and last > after):
            break
        last = seq
    if last == after:
        return []
    found = select(partials.c.seq, partials.c.data).where(
        partials.c.run_id == run_id, partials.c.seq > after, partials.c.seq <= last
    )
    rows = connection.execute(found.order_by(partials.c.seq)).all()
    if rows and rows[0].seq != after + 1:  # a snapshot took their place between the two statements
        return []
    return [(row.seq, row.data) for row in rows]


def snapshot(connection: Connection, run_id: str) -> tuple[int, bytes] | None:
    """The newest snapshot of a run, and how many batches are in it."""
    row = connection.execute(select(snapshots.c.seq, snapshots.c.data).where(snapshots.c.run_id == run_id)).first()
    return None if row is None else (row.seq, row.data)


def save(connection: Connection, run_id: str, seq: int, data: bytes) -> bool:
    """Keep a tally of the first `seq` batches in place of their partials; False where there is a newer one."""
    locked = select(runs.c.id).where(runs.c.id == run_id, runs.c.deleted_at.is_(None)).with_for_update()
    if connection.execute(locked).first() is None:
        return False
    query = select(snapshots.c.seq, func.length(snapshots.c.data).label("nbytes")).where(snapshots.c.run_id == run_id)
    before = connection.execute(query).first()
    if before is not None and before.seq >= seq:
        return False
    replaced = (partials.c.run_id == run_id) & (partials.c.seq <= seq)
    freed = connection.execute(
        select(func.coalesce(func.sum(func.length(partials.c.data)), 0)).where(replaced)
    ).scalar_one()
    connection.execute(delete(partials).where(replaced))
    if before is None:
        connection.execute(insert(snapshots).values(run_id=run_id, seq=seq, data=data))
    else:
        connection.execute(update(snapshots).where(snapshots.c.run_id == run_id).values(seq=seq, data=data))
    grown = len(data) - (0 if before is None else before.nbytes) - int(freed)
    connection.execute(update(runs).where(runs.c.id == run_id).values(stored_bytes=runs.c.stored_bytes + grown))
    return True
