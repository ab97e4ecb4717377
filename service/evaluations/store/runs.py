"""Rows of runs: making, finding, listing, changing and forgetting them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, func, insert, or_, select, update

from schemas.evaluation.spec import RunSpec
from service.evaluations.identifier import new_run_id
from service.evaluations.refusals import KeyReused, NoSuchRun, StoreFull
from service.evaluations.run import Run
from service.evaluations.store import clock
from service.evaluations.store.tables import runs, tags

AnyRow = Row[*tuple[Any, ...]]
VISIBLE = [column for column in runs.c if column.name not in ("idempotency_key", "digest", "deleted_at")]

# Made once: to build a statement takes longer than to run it.
FIND = select(*VISIBLE).where(
    runs.c.id == bindparam("run"), runs.c.owner == bindparam("of"), runs.c.deleted_at.is_(None)
)
FIND_LOCKED = FIND.with_for_update()


@dataclass(frozen=True, slots=True)
class Asked:
    """Which runs a listing holds: all that are given must fit. `name` is a part of the name, case and all."""

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


def make(connection: Connection, spec: RunSpec, owner: str | None, key: str | None, most: int) -> tuple[Run, bool]:
    """A new run; or with a key that made one before that run, and False. Raises `KeyReused`, `StoreFull`."""
    written = spec.model_dump_json()
    digest = blake2b(written.encode(), digest_size=16).digest()
    if key is not None:
        query = select(*VISIBLE, runs.c.digest).where(runs.c.owner == (owner or ""), runs.c.idempotency_key == key)
        row = connection.execute(query).first()
        if row is not None:
            if row.digest != digest:
                raise KeyReused(key)
            return run_of(row), False
    if (
        connection.execute(select(func.count()).select_from(runs).where(runs.c.deleted_at.is_(None))).scalar_one()
        >= most
    ):
        raise StoreFull(f"there are {most} runs, the most there may be")
    moment = clock.now()
    row = connection.execute(
        insert(runs)
        .values(
            id=new_run_id(),
            owner=owner or "",
            idempotency_key=key,
            digest=digest,
            spec=written,
            loss=spec.loss,
            name=spec.name,
            created_at=moment,
            updated_at=moment,
            last_seq=0,
            samples=0,
            stored_bytes=len(written),
        )
        .returning(*VISIBLE)
    ).one()
    _tag(connection, row.id, spec.tags)
    return run_of(row), True


def find(connection: Connection, run_id: str, owner: str | None, *, lock: bool = False) -> AnyRow:
    """A run's row, which no other transaction writes from here on if asked. Raises `NoSuchRun`."""
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
    if asked.name is not None:
        query = query.where(func.replace(runs.c.name, asked.name, "") != runs.c.name)
    if asked.created_after is not None:
        query = query.where(runs.c.created_at >= clock.stored(asked.created_after))
    if asked.created_before is not None:
        query = query.where(runs.c.created_at < clock.stored(asked.created_before))
    for tag, value in (asked.tags or {}).items():
        query = query.where(runs.c.id.in_(select(tags.c.run_id).where(tags.c.tag == tag, tags.c.value == value)))
    return query


def change(connection: Connection, run_id: str, owner: str | None, changed: dict[str, Any], *, seal: bool) -> Run:
    """Give a run another name or other tags, and seal it if asked. Raises `NoSuchRun`."""
    row = find(connection, run_id, owner, lock=True)
    spec = RunSpec.model_validate_json(row.spec).model_copy(update=changed)
    moment = max(clock.now(), row.updated_at)
    values: dict[str, Any] = {"spec": spec.model_dump_json(), "name": spec.name, "updated_at": moment}
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
