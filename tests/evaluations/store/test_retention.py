"""What is deleted or too old goes bit by bit, from any process, and its space is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from service.evaluations.refusals import NoSuchRun
from service.evaluations.retention import Retention
from service.evaluations.store import reaping, tables
from tests.evaluations.store.opened import Opened, batch

DAY = 24 * 3600 * 1_000_000


def rows(store: Opened) -> dict[str, int]:
    """How many rows each table has."""
    with store.face._database.read() as connection:
        counts = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.metadata.tables.items()
        }
    return {name: count for name, count in counts.items() if count}


def test_the_rows_of_a_deleted_run_go_and_no_others(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "ROWS", 4)
    kept, gone = store.run(), store.run()
    store.add(kept, batch(0))
    store.add(gone, *[batch(number) for number in range(30)])
    store(store.face.change(gone, None, sealed=True))
    store(store.face.delete(gone, None))
    store(store.face.sweep())
    assert rows(store) == {"runs": 1, "run_tags": 2, "batches": 1, "partials": 1}
    assert store.tally(kept).batches == 1


def test_a_reaping_that_was_cut_short_is_taken_up_by_another_process(
    opening: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaping, "ROWS", 3)
    store = opening()
    run_id = store.run()
    store.add(run_id, *[batch(number) for number in range(8)])
    store(store.face.change(run_id, None, sealed=True))
    with store.face._database.write() as connection:
        connection.execute(tables.runs.update().values(deleted_at=1))
        assert not reaping.reap(connection, run_id)
    before = rows(store)["batches"]
    assert before == 5
    other = opening()
    other(other.face.sweep())
    assert rows(store) == {}


def test_runs_that_did_not_change_for_too_long_are_deleted(opening: Callable[..., Opened]) -> None:
    store = opening(evaluation_retention_days=3)
    old, young, forever = store.run(), store.run(), store.run()
    for run_id, days in ((old, 4), (young, 2), (forever, 4)):
        with store.face._database.write() as connection:
            earlier = {"updated_at": tables.runs.c.updated_at - days * DAY}
            connection.execute(tables.runs.update().where(tables.runs.c.id == run_id).values(earlier))
    store.add(forever, batch(0))  # a change
    opening()  # another process, which keeps all for ever
    store(store.face.sweep())
    assert store(store.face.get(young, None)).id == young
    assert store(store.face.get(forever, None)).id == forever
    with pytest.raises(NoSuchRun):
        store(store.face.get(old, None))
    assert rows(store)["runs"] == 2


def test_nothing_is_deleted_by_age_where_that_is_off(store: Opened) -> None:
    run_id = store.run()
    with store.face._database.write() as connection:
        connection.execute(tables.runs.update().values(updated_at=1))
    store(store.face.sweep())
    assert store(store.face.get(run_id, None)).id == run_id


def test_sqlite_gives_back_space(tmp_path: Path) -> None:
    file = tmp_path / "evaluations.db"
    with Opened(f"sqlite:///{file}") as store:
        run_id = store.run()
        empty = file.stat().st_size
        store.add(run_id, *[batch(number, samples=5_000) for number in range(30)])
        store(store.face.sweep())
        store(store.face.delete(run_id, None))
        store(store.face.sweep())
        assert file.stat().st_size <= empty + 100_000
        assert file.with_name(file.name + "-wal").stat().st_size == 0


def test_a_run_whose_rows_do_not_go_holds_up_no_other(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    odd, gone = store.run(), store.run()
    reap = reaping.reap

    def fail_for_one(connection: Connection, run_id: str) -> bool:
        if run_id == odd:
            raise RuntimeError(run_id)
        return reap(connection, run_id)

    monkeypatch.setattr(reaping, "reap", fail_for_one)
    for run_id in (odd, gone):
        store(store.face.delete(run_id, None))
    store(store.face.sweep())
    assert rows(store)["runs"] == 1


def test_a_sweep_that_failed_is_not_the_last(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    retention = store.face._retention
    swept = asyncio.Event()

    async def fail() -> Any:
        raise RuntimeError("odd")

    async def sweep() -> None:
        swept.set()

    async def wake(instead: Any) -> None:
        monkeypatch.setattr(retention, "sweep", instead)
        retention.wake()
        await asyncio.sleep(0.01)

    store(wake(fail))
    store(wake(sweep))
    store(asyncio.wait_for(swept.wait(), 30))


@pytest.mark.parametrize("turns", range(6))
def test_a_sweep_that_is_woken_at_the_end_holds_nothing_up(store: Opened, turns: int) -> None:
    async def woken_and_closed() -> None:
        async def nothing() -> None:
            pass

        retention = Retention(store.face._database, store.face._writer, store.face._tallies, 0)
        retention.sweep = nothing  # type: ignore[method-assign] # it waits for others, not for a number of turns
        for _ in range(3):
            await asyncio.sleep(0)
        retention.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(retention.close(), 10)

    store(woken_and_closed())
