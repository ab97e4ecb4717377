"""Many batches in one transaction: each is added, found to be there already, or refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from service.evaluations.refusals import BatchReused, EvaluationRefused, RunFull, RunSealed, StoreFull
from service.evaluations.store import clock
from service.evaluations.store.runs import AnyRow, find
from service.evaluations.store.tables import batches, partials, runs

ROW_BYTES = 200
"""About what a batch's row takes beside what callers send."""

LOOKED_UP = 200
"""Ids looked for in one statement."""

# Made once: to build a statement takes longer than to run it.
THERE = select(batches.c.id_length, batches.c.batch_id, batches.c.digest, batches.c.seq, batches.c.answer).where(
    batches.c.run_id == bindparam("run"),
    batches.c.id_length.in_(bindparam("lengths", expanding=True)),
    batches.c.batch_id.in_(bindparam("ids", expanding=True)),
)
NEW_BATCHES, NEW_PARTIALS = insert(batches), insert(partials)
GROWN = (
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(
        last_seq=bindparam("seq"),
        samples=bindparam("total"),
        stored_bytes=bindparam("bytes"),
        updated_at=bindparam("moment"),
    )
)


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
    """The samples of a run and the bytes of the whole store, at most; and the bytes that may still be added to it."""

    samples_of_run: int
    most_bytes: int
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
    row = connection.execute(THERE, {"run": run_id, "lengths": [len(batch_id)], "ids": [batch_id]}).first()
    return None if row is None else (row.digest, Placed(row.seq, True, json.loads(row.answer)))


def _open(connection: Connection, run: tuple[str, str | None], group: list[Packed]) -> _Adding:
    row = find(connection, *run, lock=True)
    found = {}
    for start in range(0, len(group), LOOKED_UP):
        keys = [one.key for one in group[start : start + LOOKED_UP]]
        given = {"run": run[0], "lengths": list({length for length, _ in keys}), "ids": [one for _, one in keys]}
        for length, batch_id, digest, seq, answer in connection.execute(THERE, given):
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
        return RunFull(room.samples_of_run, adding.samples)
    if one.stored > room.bytes_of_store:
        return StoreFull(room.most_bytes, "bytes")
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
    connection.execute(NEW_BATCHES, adding.new)
    connection.execute(NEW_PARTIALS, adding.partials)
    grown = {"seq": adding.seq, "total": adding.samples, "bytes": adding.stored, "moment": adding.moment}
    connection.execute(GROWN, {"run": adding.row.id, **grown})
