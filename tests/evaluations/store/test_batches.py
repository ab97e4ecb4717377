"""Batches: each counted once, whoever sends it how often, and refused beyond the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.evaluations.refusals import (
    BatchReused,
    RunFull,
    RunSealed,
    StoreFull,
)
from service.evaluations.run import Added
from tests.evaluations.store.opened import Opened, added, batch, folded


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
