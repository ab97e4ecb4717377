"""Batches are written in groups: one that fails, or a caller who leaves, harms no other."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from service.evaluations import writer
from service.evaluations.refusals import (
    NoSuchRun,
    StoreBusy,
    StoreUnavailable,
)
from service.evaluations.run import Added
from service.evaluations.store import database
from tests.evaluations.store.opened import Opened, added, batch, folded


def test_a_batch_that_cannot_be_stored_fails_alone(store: Opened, url: str) -> None:
    faulty = "a\x00b" if url.startswith("postgresql") else "a\ud800b"
    run_id = store.run()
    outcomes = store.add(run_id, batch(0), batch(1, batch_id=faulty), batch(2))
    assert [isinstance(one, Added) for one in outcomes] == [True, False, True]
    assert not isinstance(outcomes[1], StoreUnavailable)
    assert store.tally(run_id).encode() == batch_tally(0, 2)


def test_a_batch_that_cannot_be_packed_fails_alone(store: Opened) -> None:
    run_id = store.run()
    outcomes = store.add(run_id, batch(0), replace(batch(1), answer={"loss": object()}), batch(2))
    assert [type(one) for one in outcomes] == [Added, TypeError, Added]
    assert store.tally(run_id).encode() == batch_tally(0, 2)


def batch_tally(*numbers: int) -> bytes:
    """The tally of these batches."""
    tally = folded(range(0))
    for number in numbers:
        tally.add(batch(number).partial)
    return tally.encode()


def test_no_run_is_harmed_by_another_of_its_group(store: Opened) -> None:
    run_id = store.run()

    async def both() -> list[Added | BaseException]:
        asked = (store.face.add(one, None, batch(0)) for one in (run_id, "ev_none", run_id))
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(one) for one in store(both())] == [Added, NoSuchRun, Added]


def test_many_that_wait_share_a_transaction(store: Opened) -> None:
    run_id = store.run()
    commits: list[Any] = []
    event.listen(store.face._database.engine, "commit", commits.append)
    added(store.add(run_id, *[batch(number) for number in range(200)]))
    writes = [one for one in commits if one.get_execution_options().get("writes")]
    assert 1 <= len(writes) <= 4


def test_no_more_wait_than_may(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.run()
    monkeypatch.setattr(writer, "MOST_WAITING", 5)
    outcomes = store.add(run_id, *[batch(number) for number in range(8)])
    assert [type(one) for one in outcomes] == [Added] * 5 + [StoreBusy] * 3
    monkeypatch.setattr(writer, "MOST_WAITING_BYTES", batch(0).nbytes)
    outcomes = store.add(run_id, batch(8), batch(9))
    assert [type(one) for one in outcomes] == [Added, StoreBusy]
    added(store.add(run_id, replace(batch(9), nbytes=1 << 40)))  # alone


def test_a_caller_who_leaves_harms_none(store: Opened) -> None:
    run_id = store.run()

    async def leave() -> list[Added | BaseException]:
        asked = [asyncio.create_task(store.face.add(run_id, None, batch(number))) for number in range(6)]
        await asyncio.sleep(0)
        asked[2].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = store(leave())
    assert [type(one) for one in outcomes].count(Added) == 5
    again = added(store.add(run_id, *[batch(number) for number in range(6)]))
    assert [one.duplicate for one in again][:2] == [True, True]
    assert store.tally(run_id).encode() == folded(range(6)).encode()


def test_a_file_that_another_holds_too_long_is_unavailable(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "evaluations.db"
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with Opened(f"sqlite:///{file}") as store:
        run_id = store.run()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        (refused,) = store.add(run_id, batch(0))
        assert isinstance(refused, StoreUnavailable)
        assert store.tally(run_id).batches == 0  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        added(store.add(run_id, batch(0)))


def test_the_writer_goes_on_after_an_error_of_its_own(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.run()

    def fail(*_: Any) -> Any:
        raise RuntimeError("cannot start new thread")

    with monkeypatch.context() as context:
        context.setattr(store.face._writer, "_write", fail)
        assert [type(one) for one in store.add(run_id, batch(0), batch(1))] == [RuntimeError] * 2
    added(store.add(run_id, batch(0), batch(1)))


def test_a_question_that_the_database_does_not_understand_is_no_outage(store: Opened) -> None:
    for query in ("SELECT * FROM nothing", "SELECT 1 +"):
        with pytest.raises(DBAPIError), store.face._database.read() as connection:
            connection.exec_driver_sql(query)
