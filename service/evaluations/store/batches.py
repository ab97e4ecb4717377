"""Reading a run's batches: pages, samples and sums, a bounded part at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection, and_, or_, select

from service.evaluations.refusals import NoSuchRun
from service.evaluations.run import StoredBatch
from service.evaluations.store import clock
from service.evaluations.store.tables import batches

ROWS = 1000
"""Small rows read at once."""
COLUMN_BYTES = 8 << 20
"""Samples read at once: so many bytes, or one batch."""


def page(connection: Connection, run_id: str, after: int, limit: int) -> list[StoredBatch]:
    """Up to `limit` batches behind the `after`-th, in commit order."""
    columns = (batches.c.seq, batches.c.batch_id, batches.c.samples, batches.c.answer, batches.c.created_at)
    query = select(*columns).where(batches.c.run_id == run_id, batches.c.seq > after).order_by(batches.c.seq)
    found = []
    for row in connection.execute(query.limit(limit)):
        answer = json.loads(row.answer)
        moment = clock.shown(row.created_at)
        found.append(StoredBatch(row.batch_id, row.seq, row.samples, answer.get("loss"), answer.get("divisor"), moment))
    return found


def columns(connection: Connection, run_id: str, after: int, through: int) -> list[tuple[int, str, bytes]]:
    """Number, id and packed samples of the next batches: at most 8 MiB of them, or one batch."""
    mine = and_(batches.c.run_id == run_id, batches.c.seq > after, batches.c.seq <= through)
    last, total = after, 0
    sizes = select(batches.c.seq, batches.c.nbytes).where(mine).order_by(batches.c.seq).limit(ROWS)
    for seq, nbytes in connection.execute(sizes):
        total += nbytes
        if total > COLUMN_BYTES and last > after:
            break
        last = seq
    query = select(batches.c.seq, batches.c.batch_id, batches.c.columns).where(mine, batches.c.seq <= last)
    return [(row.seq, row.batch_id, row.columns) for row in connection.execute(query.order_by(batches.c.seq))]


def sums(connection: Connection, run_id: str, through: int) -> Iterator[tuple[int, bytes]]:
    """Samples and packed sums of each of the first `through` batches, by length of id, then id.

    `through` is of a run that has as many. Raises `NoSuchRun` in the end where some went meanwhile.
    """
    place, found = (-1, ""), 0
    while True:
        length, batch_id = place
        columns = (batches.c.id_length, batches.c.batch_id, batches.c.samples, batches.c.sums)
        beyond = or_(batches.c.id_length > length, and_(batches.c.id_length == length, batches.c.batch_id > batch_id))
        query = select(*columns).where(batches.c.run_id == run_id, batches.c.seq <= through, beyond)
        rows = connection.execute(query.order_by(batches.c.id_length, batches.c.batch_id).limit(ROWS)).all()
        for row in rows:
            yield row.samples, row.sums
        found += len(rows)
        if len(rows) < ROWS:
            break
        place = (rows[-1].id_length, rows[-1].batch_id)
    if found < through:  # numbers have no gaps
        raise NoSuchRun(run_id)
