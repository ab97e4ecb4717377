"""Rows of runs: making, finding, listing, changing and forgetting them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from schemas.evaluation.spec import RunSpec
from service.evaluations.identifier import is_run_id, new_run_id
from service.evaluations.refusals import KeyReused, NoSuchRun, StoreFull
from service.evaluations.run import Run
from service.evaluations.store import clock
from service.evaluations.store.tables import runs, tags
from service.evaluations.store.texts import storable

AnyRow = Row[*tuple[Any, ...]]
VISIBLE = [column for column in runs.c if column.name not in ("idempotency_key", "digest", "deleted_at")]

# Made once: to build a statement takes longer than to run it.
FIND = select(*VISIBLE).where(
    runs.c.id == bindparam("run"), runs.c.owner == bindparam("of"), runs.c.deleted_at.is_(None)
)
FIND_LOCKED = FIND.with_for_update()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be stored."""

    samples: int
    nbytes: int
    runs: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Which runs a listing holds: all that are given must fit. `name` is a part of the name, case and all.

    Made at `created_after` or later, and earlier than `created_before`.
    """

    owner: str | None
    state: Literal["open", "sealed"] | None = None
    loss: str | None = None
    name: str | None = None
    tags: dict[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    order: Literal["newest", "oldest"] = "newest"


def run_of(row: AnyRow) -> Run:
    """The run in a row of `VISIBLE`."""
    return Run(
        id=row.id,
        spec=RunSpec.model_validate_json(row.spec),
        owner=row.owner or None,
        state="open" if row.sealed_at is None else "sealed",
        created_at=clock.shown(row.created_at),
        updated_at=clock.shown(row.updated_at),
        sealed_at=None if row.sealed_at is None else clock.shown(row.sealed_at),
        seq=row.last_seq,
        batches=row.last_seq,
        samples=row.samples,
        stored_bytes=row.stored_bytes,
    )


def make(connection: Connection, spec: RunSpec, owner: str | None, key: str | None, limits: Limits) -> tuple[Run, bool]:
    """A new run; or with a key that made one before that run, and False. Raises `KeyReused`, `StoreFull`."""
    written, digest = spec.model_dump_json(), _digest(spec)
    while True:
        if key is not None:
            query = select(*VISIBLE, runs.c.digest).where(runs.c.owner == (owner or ""), runs.c.idempotency_key == key)
            row = connection.execute(query).first()
            if row is not None:
                if row.digest != digest:
                    raise KeyReused(key)
                return run_of(row), False
        there = select(func.count()).select_from(runs).where(runs.c.deleted_at.is_(None))
        if connection.execute(there).scalar_one() >= limits.runs:
            raise StoreFull(limits.runs, "runs")
        size = len(written.encode())
        _check_room(connection, size, limits.nbytes)
        moment = clock.now()
        values = {
            "id": new_run_id(),
            "owner": owner or "",
            "idempotency_key": key,
            "digest": digest,
            "spec": written,
            "loss": spec.loss,
            "name": spec.name,
            "created_at": moment,
            "updated_at": moment,
            "last_seq": 0,
            "samples": 0,
            "stored_bytes": size,
        }
        row = _insert(connection, values)
        if row is not None:
            _tag(connection, row.id, spec.tags)
            return run_of(row), True


def _insert(connection: Connection, values: dict[str, Any]) -> AnyRow | None:
    """A new row; None where another process has just made the run of its key."""
    by_key = [runs.c.owner, runs.c.idempotency_key]
    if connection.dialect.name == "postgresql":
        made = postgresql.insert(runs).values(values).on_conflict_do_nothing(index_elements=by_key).returning(*VISIBLE)
        return connection.execute(made).first()
    here = sqlite.insert(runs).values(values).on_conflict_do_nothing(index_elements=by_key).returning(*VISIBLE)
    return connection.execute(here).first()


def _digest(spec: RunSpec) -> bytes:
    """The same for the same members, in whatever order."""
    written = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return blake2b(written.encode(), digest_size=16).digest()


def _check_room(connection: Connection, grown: int, most: int) -> None:
    """Raises `StoreFull` where the store would hold more than `most` bytes."""
    if grown > 0 and stored_bytes(connection) + grown > most:
        raise StoreFull(most, "bytes")


def find(connection: Connection, run_id: str, owner: str | None, *, lock: bool = False) -> AnyRow:
    """A run's row, which no other transaction writes from here on if asked. Raises `NoSuchRun`."""
    if not is_run_id(run_id):  # such as databases cannot even be asked for
        raise NoSuchRun(run_id)
    row = connection.execute(FIND_LOCKED if lock else FIND, {"run": run_id, "of": owner or ""}).first()
    if row is None:
        raise NoSuchRun(run_id)
    return row


def seen(connection: Connection, run_id: str) -> Run:
    """A run for one who has seen it, whoever owns it. Raises `NoSuchRun`."""
    row = connection.execute(select(*VISIBLE).where(runs.c.id == run_id, runs.c.deleted_at.is_(None))).first()
    if row is None:
        raise NoSuchRun(run_id)
    return run_of(row)


def sort_key(run: Run) -> list[int | str]:
    """Where a run stands in a listing."""
    return [clock.stored(run.created_at), run.id]


def page(connection: Connection, asked: Asked, after: tuple[int, str] | None, limit: int) -> list[Run]:
    """Up to `limit` runs behind the one that was made at that moment and has that id."""
    texts = [asked.loss or "", asked.name or "", *(asked.tags or {}), *(asked.tags or {}).values()]
    if not all(map(storable, texts)):
        return []  # no run has such a text
    newest = asked.order == "newest"
    query = _filtered(select(*VISIBLE), asked)
    if after is not None:
        moment, run_id = after
        here, tied = runs.c.created_at, runs.c.id
        beyond = here < moment if newest else here > moment
        query = query.where(or_(beyond, and_(here == moment, tied < run_id if newest else tied > run_id)))
    for column in (runs.c.created_at, runs.c.id):
        query = query.order_by(column.desc() if newest else column)
    return [run_of(row) for row in connection.execute(query.limit(limit))]


def _filtered(query: Select[Any], asked: Asked) -> Select[Any]:
    query = query.where(runs.c.owner == (asked.owner or ""), runs.c.deleted_at.is_(None))
    if asked.state is not None:
        query = query.where(runs.c.sealed_at.is_(None) if asked.state == "open" else runs.c.sealed_at.is_not(None))
    if asked.loss is not None:
        query = query.where(runs.c.loss == asked.loss)
    if asked.name:  # an empty one is in all of them
        query = query.where(func.replace(runs.c.name, asked.name, "") != runs.c.name)
    if asked.created_after is not None:
        query = query.where(runs.c.created_at >= clock.stored(asked.created_after))
    if asked.created_before is not None:
        query = query.where(runs.c.created_at < clock.stored(asked.created_before))
    for tag, value in (asked.tags or {}).items():
        query = query.where(runs.c.id.in_(select(tags.c.run_id).where(tags.c.tag == tag, tags.c.value == value)))
    return query


def change(
    connection: Connection, run_id: str, owner: str | None, changed: dict[str, Any], *, seal: bool, most: int
) -> Run:
    """Give a run another name or other tags, and seal it if asked; the store may hold `most` bytes.

    Raises `NoSuchRun`, `StoreFull`.
    """
    row = find(connection, run_id, owner, lock=True)
    moment = max(clock.now(), row.updated_at)
    values: dict[str, Any] = {"updated_at": moment}
    spec = RunSpec.model_validate_json(row.spec)
    if changed:
        spec = spec.model_copy(update=changed)
        written = spec.model_dump_json()
        grown = len(written.encode()) - len(row.spec.encode())
        _check_room(connection, grown, most)
        values |= {"spec": written, "name": spec.name, "stored_bytes": runs.c.stored_bytes + grown}
    if seal and row.sealed_at is None:
        values["sealed_at"] = moment
    changing = update(runs).where(runs.c.id == run_id).values(values).returning(*VISIBLE)
    made = run_of(connection.execute(changing).one())
    if "tags" in changed:
        connection.execute(delete(tags).where(tags.c.run_id == run_id))
        _tag(connection, run_id, spec.tags)
    return made


def hide(connection: Connection, run_id: str, owner: str | None) -> None:
    """Let nobody see a run any more; its rows are left. Raises `NoSuchRun`."""
    find(connection, run_id, owner, lock=True)
    _hide(connection, [run_id])


def hide_unchanged(connection: Connection, since: int, most: int) -> list[str]:
    """Do so with up to `most` runs that have not changed since a moment; answers their ids."""
    query = select(runs.c.id).where(runs.c.updated_at < since, runs.c.deleted_at.is_(None)).limit(most)
    found = list(connection.execute(query.with_for_update(skip_locked=True)).scalars())
    _hide(connection, found)
    return found


def _hide(connection: Connection, run_ids: Iterable[str]) -> None:
    hidden = {"deleted_at": clock.now(), "idempotency_key": None}
    connection.execute(update(runs).where(runs.c.id.in_(run_ids)).values(hidden))


def hidden(connection: Connection, most: int) -> list[str]:
    """Up to `most` runs that are hidden, whose rows are to go; the longest hidden first."""
    query = select(runs.c.id).where(runs.c.deleted_at.is_not(None)).order_by(runs.c.deleted_at).limit(most)
    return list(connection.execute(query).scalars())


def stored_bytes(connection: Connection) -> int:
    """What all runs hold together, hidden ones too."""
    return int(connection.execute(select(func.coalesce(func.sum(runs.c.stored_bytes), 0))).scalar_one())


def _tag(connection: Connection, run_id: str, given: dict[str, str]) -> None:
    if given:
        rows = [{"run_id": run_id, "tag": tag, "value": value} for tag, value in given.items()]
        connection.execute(insert(tags), rows)
