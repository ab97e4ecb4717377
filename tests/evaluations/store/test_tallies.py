"""What a run adds up to is kept, saved now and then, and folded anew where it is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.evaluations import tallies, writer
from service.evaluations import tally as tally_module
from service.evaluations.refusals import (
    NoSuchRun,
)
from service.evaluations.run import Added
from tests.evaluations.store.opened import Opened, added, batch, folded


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
