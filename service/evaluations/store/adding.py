"""Many batches in one transaction: each is added, found to be there already, or refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, tuple_, update

from service.evaluations.refusals import BatchReused, EvaluationRefused, RunFull, RunSealed, StoreFull
from service.evaluations.store import clock
from service.evaluations.store.runs import AnyRow, find
from service.evaluations.store.tables import batches, partials, runs

ROW_BYTES = 200
"""About what a batch's row takes beside what callers send."""


@dataclass(slots=True)
class Packed:
    """A batch as its rows hold it."""

    run_id: str
    owner: str | None
    batch_id: str
    digest: bytes
    samples: int
    partial: bytes
    columns: bytes
    sums: bytes
    answer: str

    @property
    def key(self) -> tuple[int, str]:
        """By which it is found in its run."""
        return len(self.batch_id), self.batch_id

    @property
    def stored(self) -> int:
        """The bytes that it adds to the store."""
        return len(self.partial) + len(self.columns) + len(self.sums) + len(self.answer) + ROW_BYTES


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a batch lies in its run's order; `answer` is of the first that came with this id."""

    seq: int
    duplicate: bool
    answer: dict[str, Any]


@dataclass(slots=True)
class Room:
    """What may still be added: samples by run, and bytes to the whole store."""

    samples_of_run: int
    bytes_of_store: int


Outcome = Placed | EvaluationRefused


@dataclass(slots=True)
class _Adding:
    """One run while a group is added to it; its row is locked, so that order by number is order of commits."""

    row: AnyRow
    known: dict[tuple[int, str], tuple[bytes, Placed]]
    moment: int
    seq: int
    samples: int
    stored: int
    new: list[dict[str, Any]] = field(default_factory=list)
    partials: list[dict[str, Any]] = field(default_factory=list)


def add(connection: Connection, group: list[Packed], room: Room) -> list[Outcome]:
    """Add a group, in its order; an outcome for each. The store's room is what is left after it."""
    runs_of_group: dict[tuple[str, str | None], list[Packed]] = {}
    for one in group:
        runs_of_group.setdefault((one.run_id, one.owner), []).append(one)
    opened: dict[tuple[str, str | None], _Adding | EvaluationRefused] = {}
    # In one order everywhere: of two that lock the same runs none waits for the other in a circle.
    for run in sorted(runs_of_group, key=lambda run: (run[0], run[1] or "")):
        try:
            opened[run] = _open(connection, run, runs_of_group[run])
        except EvaluationRefused as refusal:
            opened[run] = refusal
    outcomes: list[Outcome] = []
    for one in group:
        adding = opened[one.run_id, one.owner]
        outcomes.append(adding if isinstance(adding, EvaluationRefused) else _place(adding, one, room))
    for adding in opened.values():
        if isinstance(adding, _Adding) and adding.new:
            _write(connection, adding)
    return outcomes


def known(connection: Connection, run_id: str, batch_id: str) -> tuple[bytes, Placed] | None:
    """The digest and place of the batch of this id in a run."""
    query = select(batches.c.digest, batches.c.seq, batches.c.answer).where(
        batches.c.run_id == run_id, batches.c.id_length == len(batch_id), batches.c.batch_id == batch_id
    )
    row = connection.execute(query).first()
    return None if row is None else (row.digest, Placed(row.seq, True, json.loads(row.answer)))


def _open(connection: Connection, run: tuple[str, str | None], group: list[Packed]) -> _Adding:
    row = find(connection, *run, lock=True)
    found = {}
    columns = (batches.c.id_length, batches.c.batch_id, batches.c.digest, batches.c.seq, batches.c.answer)
    for start in range(0, len(group), 200):
        keys = [one.key for one in group[start : start + 200]]
        query = select(*columns).where(
            batches.c.run_id == run[0], tuple_(batches.c.id_length, batches.c.batch_id).in_(keys)
        )
        for length, batch_id, digest, seq, answer in connection.execute(query):
            found[length, batch_id] = (digest, Placed(seq, True, json.loads(answer)))
    moment = max(clock.now(), row.updated_at)
    return _Adding(row, found, moment, row.last_seq, row.samples, row.stored_bytes)


def _place(adding: _Adding, one: Packed, room: Room) -> Outcome:
    before = adding.known.get(one.key)
    if before is not None:
        digest, placed = before
        return placed if digest == one.digest else BatchReused(one.batch_id)
    if adding.row.sealed_at is not None:
        return RunSealed(one.run_id)
    if adding.samples + one.samples > room.samples_of_run:
        return RunFull(f"a run has at most {room.samples_of_run} samples; this one has {adding.samples}")
    if one.stored > room.bytes_of_store:
        return StoreFull("the store holds the most bytes that it may")
    room.bytes_of_store -= one.stored
    adding.seq += 1
    adding.samples += one.samples
    adding.stored += one.stored
    adding.new.append(
        {
            "run_id": one.run_id,
            "seq": adding.seq,
            "id_length": len(one.batch_id),
            "batch_id": one.batch_id,
            "digest": one.digest,
            "samples": one.samples,
            "created_at": adding.moment,
            "sums": one.sums,
            "answer": one.answer,
            "nbytes": len(one.columns),
            "columns": one.columns,
        }
    )
    adding.partials.append({"run_id": one.run_id, "seq": adding.seq, "data": one.partial})
    placed = Placed(adding.seq, False, json.loads(one.answer))
    adding.known[one.key] = (one.digest, Placed(adding.seq, True, placed.answer))
    return placed


def _write(connection: Connection, adding: _Adding) -> None:
    connection.execute(insert(batches), adding.new)
    connection.execute(insert(partials), adding.partials)
    grown = {
        "last_seq": adding.seq,
        "samples": adding.samples,
        "stored_bytes": adding.stored,
        "updated_at": adding.moment,
    }
    connection.execute(update(runs).where(runs.c.id == adding.row.id).values(grown))
