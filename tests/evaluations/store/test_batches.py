"""Batches: each counted once, whoever sends it how often, and refused for reasons that harm no other."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from service.evaluations import tallies, writer
from service.evaluations import tally as tally_module
from service.evaluations.refusals import (
    BatchReused,
    NoSuchRun,
    RunFull,
    RunSealed,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
)
from service.evaluations.run import Added
from service.evaluations.store import database
from tests.evaluations.store.opened import Opened, batch, folded


def added(outcomes: list[Added | BaseException]) -> list[Added]:
    """The same, when none was refused."""
    assert [one for one in outcomes if not isinstance(one, Added)] == []
    return [one for one in outcomes if isinstance(one, Added)]


def test_batches_that_are_added_at_once_are_numbered_and_folded(store: Opened) -> None:
    run_id = store.run()
    made = added(store.add(run_id, *[batch(number) for number in range(50)]))
    assert sorted(one.seq for one in made) == list(range(1, 51))
    assert [one.answer["loss"] for one in made] == [batch(number).answer["loss"] for number in range(50)]
    assert not any(one.duplicate for one in made)
    assert all(one.total["batches"] >= one.seq for one in made)
    expected = folded(range(50))
    run, tally = store(store.face.tally(run_id, None))
    assert tally.encode() == expected.encode()
    assert (run.batches, run.samples, run.seq) == (50, 200, 50)
    assert run.updated_at > run.created_at
    last = max(made, key=lambda one: one.total["batches"])
    assert last.total == {
        "samples": 200,
        "batches": 50,
        "count": expected.count,
        "ignored": 0,
        "loss": expected.loss,
        "standard_error": expected.standard_error,
        "divisor": 200.0,
    }


def test_what_was_added_is_there_when_the_store_is_opened_again(opening: Callable[..., Opened]) -> None:
    one = opening()
    run_id = one.run()
    one.add(run_id, *[batch(number) for number in range(7)])
    other = opening()
    assert other.tally(run_id).encode() == folded(range(7)).encode()


def test_a_retry_is_answered_as_the_first_time_and_counted_once(store: Opened) -> None:
    run_id = store.run()
    assert store(store.face.known(run_id, None, "b0")) is None
    (first,) = added(store.add(run_id, batch(0)))
    store.add(run_id, batch(1))
    again, known = added(store.add(run_id, batch(0)))[0], store(store.face.known(run_id, None, "b0"))
    assert again.duplicate
    assert (again.seq, again.answer) == (first.seq, first.answer)
    assert again.total["batches"] == 2
    assert known == again


def test_twins_in_one_group_are_counted_once(store: Opened) -> None:
    run_id = store.run()
    made = added(store.add(run_id, *[batch(0)] * 20, batch(1)))
    assert sum(not one.duplicate for one in made) == 2
    assert store.tally(run_id).batches == 2


def test_an_id_with_other_contents_is_refused(store: Opened) -> None:
    run_id = store.run()
    outcomes = store.add(run_id, batch(0), batch(1, batch_id="b0"), batch(2))
    assert [type(one) for one in outcomes] == [Added, BatchReused, Added]
    assert store(store.face.known(run_id, None, "b0", batch(0).digest)) is not None
    with pytest.raises(BatchReused):
        store(store.face.known(run_id, None, "b0", batch(1).digest))
    assert store.tally(run_id).batches == 2


def test_the_same_batch_is_new_in_another_run(store: Opened) -> None:
    one, other = store.run(), store.run()

    async def both() -> list[Added]:
        return list(await asyncio.gather(*[store.face.add(run_id, None, batch(0)) for run_id in (one, other)]))

    assert [(made.seq, made.duplicate) for made in store(both())] == [(1, False), (1, False)]


def test_a_sealed_run_takes_what_was_given_before_and_no_more(store: Opened) -> None:
    run_id = store.run()

    async def seal_amid() -> tuple[list[Added | BaseException], Any]:
        before = [asyncio.create_task(store.face.add(run_id, None, batch(number))) for number in range(30)]
        await asyncio.sleep(0)
        sealed = await store.face.change(run_id, None, sealed=True)
        return await asyncio.gather(*before, return_exceptions=True), sealed

    outcomes, sealed = store(seal_amid())
    assert len(added(outcomes)) == 30
    assert (sealed.batches, sealed.state) == (30, "sealed")
    again, new = store.add(run_id, batch(3), batch(30))
    assert isinstance(again, Added)
    assert again.duplicate
    assert isinstance(new, RunSealed)
    assert store.tally(run_id).encode() == folded(range(30)).encode()


def test_a_run_takes_no_more_samples_than_it_may_have(opening: Callable[..., Opened]) -> None:
    store = opening(evaluation_max_samples=10)
    run_id = store.run()
    outcomes = store.add(run_id, batch(0), batch(1), batch(2), batch(3, samples=2))
    assert [type(one) for one in outcomes] == [Added, Added, RunFull, Added]
    assert store(store.face.get(run_id, None)).samples == 10


def test_the_store_takes_no_more_bytes_than_it_may_hold(opening: Callable[..., Opened]) -> None:
    store = opening(evaluation_max_bytes=1 << 20)
    run_id = store.run()
    outcomes = [store.add(run_id, batch(number, samples=10_000))[0] for number in range(10)]
    fit = sum(isinstance(one, Added) for one in outcomes)
    assert 3 <= fit <= 7
    assert [type(one) for one in outcomes] == [Added] * fit + [StoreFull] * (10 - fit)
    assert isinstance(store.add(run_id, batch(0, samples=10_000))[0], Added)  # is there
    assert store(store.face.get(run_id, None)).stored_bytes <= 1 << 20
    store(store.face.delete(run_id, None))
    store(store.face.sweep())
    assert isinstance(store.add(store.run(), batch(0, samples=10_000))[0], Added)


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


def test_processes_on_one_database_count_each_others_batches(opening: Callable[..., Opened]) -> None:
    one, other = opening(), opening()
    run_id = one.run()
    for number in range(0, 12, 3):
        assert added(one.add(run_id, batch(number)))[0].total["batches"] == number + 1
        totals = [made.total["batches"] for made in added(other.add(run_id, batch(number + 1), batch(number + 2)))]
        assert totals == [number + 3] * 2
    (again,) = added(one.add(run_id, batch(11)))
    assert (again.duplicate, again.total["batches"]) == (True, 12)
    assert one.tally(run_id).encode() == other.tally(run_id).encode() == folded(range(12)).encode()


def test_snapshots_stand_for_partials_in_every_process(
    opening: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "SNAPSHOT_EVERY", 5)
    one, other = opening(), opening()
    run_id = one.run()
    added(other.add(run_id, batch(0)))  # it has a tally, which falls behind
    for number in range(1, 23):
        added(one.add(run_id, batch(number)))
    one(one.face.sweep())  # behind the snapshot that may still wait
    with one.face._database.read() as connection:
        partials = connection.exec_driver_sql("SELECT count(*) FROM partials").scalar_one()
        (seq,) = connection.exec_driver_sql("SELECT seq FROM snapshots").scalars()
    assert partials == 23 - seq < 8
    assert other.tally(run_id).encode() == folded(range(23)).encode()
    assert added(other.add(run_id, batch(23)))[0].total["batches"] == 24
    third = opening()
    assert third.tally(run_id).encode() == folded(range(24)).encode()
    before = third(third.face.get(run_id, None)).stored_bytes
    third(third.face.change(run_id, None, sealed=True))
    with third.face._database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM partials").scalar_one() == 0
        held = connection.exec_driver_sql("SELECT sum(length(data)) FROM snapshots").scalar_one()
    assert 0 < held < third(third.face.get(run_id, None)).stored_bytes < before + held
    assert one.tally(run_id).encode() == folded(range(24)).encode()


def test_few_tallies_are_kept_and_those_that_went_come_back(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_RUNS", 3)
    monkeypatch.setattr(tallies, "MOST_BYTES", 3 * folded(range(1)).nbytes // 2)  # beside the newest
    made = [store.run() for _ in range(5)]
    for number in range(3):
        for run_id in made:
            assert added(store.add(run_id, batch(number)))[0].total["batches"] == number + 1
    assert len(store.face._tallies._kept) == 2
    assert {store.tally(run_id).encode() for run_id in made} == {folded(range(3)).encode()}


def test_batches_are_listed_in_commit_order(store: Opened) -> None:
    run_id = store.run()
    for number in (4, 1, 3):
        store.add(run_id, batch(number))
    first = store(store.face.batches(run_id, None, limit=2))
    second = store(store.face.batches(run_id, None, limit=2, cursor=first.next_cursor))
    found = first.batches + second.batches
    assert [one.batch_id for one in found] == ["b4", "b1", "b3"]
    assert [(one.seq, one.samples, one.divisor) for one in found] == [(1, 4, 4.0), (2, 4, 4.0), (3, 4, 4.0)]
    assert [one.loss for one in found] == [batch(number).answer["loss"] for number in (4, 1, 3)]
    assert second.next_cursor is None


def test_not_finite_figures_come_back(store: Opened) -> None:
    run_id = store.run()
    store.add(run_id, replace(batch(0), answer={"loss": float("inf"), "divisor": float("nan")}))
    known = store(store.face.known(run_id, None, "b0"))
    assert known is not None
    assert known.answer["loss"] == np.inf
    assert np.isnan(known.answer["divisor"])


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


def test_a_fold_that_breaks_off_counts_no_batch_twice(store: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.run()
    added(store.add(run_id, batch(0)))

    def break_off(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as context:
        context.setattr(tally_module, "merged", break_off)  # when all else of the partial is added
        assert [type(one) for one in store.add(run_id, batch(1))] == [MemoryError]
        with pytest.raises(MemoryError):
            store.tally(run_id)  # which folds what the database has
    added(store.add(run_id, batch(2)))
    (last,) = added(store.add(run_id, batch(3)))
    assert (last.seq, last.total["batches"], last.total["samples"]) == (4, 4, 16)
    assert store.tally(run_id).encode() == folded(range(4)).encode()


def test_a_total_is_that_of_the_tally_and_its_run(store: Opened) -> None:
    run_id = store.run()
    made = added(store.add(run_id, batch(0), batch(1)))
    run, total = store(store.face.total(run_id, None))
    assert total == made[-1].total
    assert (run.id, run.seq, run.batches, run.samples) == (run_id, 2, 2, 8)
    with pytest.raises(NoSuchRun):
        store(store.face.total(run_id, "other"))


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


def test_a_batch_is_folded_by_the_thread_that_wrote_it_and_a_large_one_apart(
    store: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store.run()
    store.add(run_id, batch(0))  # from here on there is a tally that batches follow
    threads = []
    add = tally_module.Tally.add

    def seen(self: tally_module.Tally, partial: Any) -> None:
        threads.append(threading.current_thread().name.partition("_")[0])
        add(self, partial)

    monkeypatch.setattr(tally_module.Tally, "add", seen)
    store.add(run_id, batch(1), batch(2))
    assert set(threads) == {"evaluations-writer"}
    threads.clear()
    (made,) = added(store.add(run_id, replace(batch(3), nbytes=writer.FOLD_BYTES + 1)))
    assert threads == ["evaluations-folder"]
    assert made.total["batches"] == 4
    assert store.tally(run_id).encode() == folded(range(4)).encode()


def test_no_run_waits_for_a_tally_of_another_that_is_being_read(store: Opened) -> None:
    one, other = store.run(), store.run()
    store.add(one, batch(0))
    store.add(other, batch(0))

    async def amid() -> Added:
        with store.face._tallies._of(one).lock:
            waits = asyncio.ensure_future(store.face.add(one, None, batch(1)))
            await asyncio.wait_for(store.face.add(other, None, batch(1)), 60)
            assert not waits.done()
        return await waits

    assert store(amid()).total["batches"] == 2
    assert store.tally(one).encode() == folded(range(2)).encode()
