"""Runs: made once, seen by their owners, listed page by page, changed, sealed and deleted."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.evaluation.spec import RunSpec
from service.evaluations.identifier import new_run_id
from service.evaluations.refusals import FaultyCursor, KeyReused, NoSuchRun, StoreFull
from service.evaluations.store import runs
from tests.evaluations.store.opened import SPEC, Opened, batch


def test_a_run_is_found_as_it_was_made(store: Opened) -> None:
    before = datetime.now(UTC)
    made, new = store(store.face.create(SPEC, "team-a", None))
    assert new
    assert re.fullmatch("ev_[0-9a-z]{26}", made.id)
    assert (made.spec, made.owner, made.state, made.batches, made.samples) == (SPEC, "team-a", "open", 0, 0)
    assert before - timedelta(seconds=1) <= made.created_at == made.updated_at <= datetime.now(UTC)
    assert made.sealed_at is None
    assert store(store.face.get(made.id, "team-a")) == made


def test_ids_sort_by_time_and_are_all_different() -> None:
    ids = [new_run_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)


def test_a_run_is_its_owners_alone(store: Opened) -> None:
    run_id = store.run(owner="team-a")
    face = store.face
    for other in ("team-b", None):
        for asked in (
            face.get(run_id, other),
            face.change(run_id, other, name="mine"),
            face.delete(run_id, other),
            face.known(run_id, other, "b0"),
            face.add(run_id, other, batch(0)),
            face.tally(run_id, other),
            face.batches(run_id, other),
        ):
            with pytest.raises(NoSuchRun):
                store(asked)
        assert store(face.page(other)).runs == []
    assert store(face.get(run_id, "team-a")).spec.name == "nightly"


def test_the_same_key_makes_a_run_once_for_each_owner(store: Opened) -> None:
    first, _ = store(store.face.create(SPEC, "a", "key"))
    again, new = store(store.face.create(SPEC, "a", "key"))
    assert (again, new) == (first, False)
    other, new = store(store.face.create(SPEC, "b", "key"))
    assert new
    assert other.id != first.id
    with pytest.raises(KeyReused):
        store(store.face.create(RunSpec(loss="l1_loss"), "a", "key"))
    swapped = RunSpec(loss="mse_loss", name="nightly", tags={"split": "test", "model": "a"})
    assert store(store.face.create(swapped, "a", "key")) == (first, False)
    store(store.face.change(first.id, "a", name="renamed"))
    assert store(store.face.create(SPEC, "a", "key"))[0].spec.name == "renamed"
    store(store.face.delete(first.id, "a"))
    assert store(store.face.create(SPEC, "a", "key"))[1]


def test_two_processes_with_one_key_make_one_run(opening: Callable[..., Opened]) -> None:
    both = opening(), opening()
    for key in map(str, range(10)):
        made: list[Any] = []
        at_once = threading.Barrier(2)

        def make(store: Opened, key: str = key, made: list[Any] = made, at_once: threading.Barrier = at_once) -> None:
            at_once.wait()
            try:
                made.append(store(store.face.create(SPEC, None, key)))
            except Exception as error:  # noqa: BLE001 # told below
                made.append(error)

        threads = [threading.Thread(target=make, args=(store,)) for store in both]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert [type(one) for one in made] == [tuple, tuple], made
        (first, first_new), (second, second_new) = made
        assert first == second
        assert {first_new, second_new} == {True, False}


def test_a_run_that_another_process_makes_between_looking_and_making_is_answered(
    opening: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = opening(), opening()
    if one.url.startswith("sqlite"):
        pytest.skip("SQLite's one writer looks and makes without another")
    insert = runs._insert
    found = []

    def late(connection: Any, values: dict[str, Any]) -> Any:
        monkeypatch.setattr(runs, "_insert", insert)
        found.append(other(other.face.create(SPEC, None, "key")))
        return insert(connection, values)

    monkeypatch.setattr(runs, "_insert", late)
    assert one(one.face.create(SPEC, None, "key")) == (found[0][0], False)


NO_TEXTS = ["a\0b", "a\ud800b"]


@pytest.mark.parametrize("text", NO_TEXTS)
def test_texts_that_no_row_has_find_nothing(store: Opened, text: str) -> None:
    store.run()
    for asked in ({"name": text}, {"loss": text}, {"tags": {text: "a"}}, {"tags": {"model": text}}):
        assert store(store.face.page(None, **asked)).runs == []


@pytest.mark.parametrize(
    "run_id", ["", "\0", "ev_\ud800", "ev_" + "0" * 25 + "\0", "ev_" + "0" * 25 + "u", "x" * 10_000]
)
def test_what_is_no_id_is_no_run(store: Opened, run_id: str) -> None:
    face = store.face
    for asked in (face.get(run_id, None), face.tally(run_id, None), face.delete(run_id, None)):
        with pytest.raises(NoSuchRun):
            store(asked)
    (refused,) = store.add(run_id, batch(0))
    assert isinstance(refused, NoSuchRun)


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800"])
def test_a_cursor_with_a_text_that_no_row_has_is_refused(store: Opened, text: str) -> None:
    cursor = base64.urlsafe_b64encode(f'["runs newest",1,"ev_{text}"]'.encode()).decode()
    with pytest.raises(FaultyCursor):
        store(store.face.page(None, cursor=cursor))


def test_a_spec_counts_against_the_store(opening: Callable[..., Opened]) -> None:
    store = opening(evaluation_max_bytes=1 << 20)
    large = RunSpec(loss="mse_loss", options={"weight": [0.5] * 130_000})  # 0.52 MB
    run_id = store.run(large)
    before = store(store.face.get(run_id, None)).stored_bytes
    assert before > 520_000
    store.run(large)
    with pytest.raises(StoreFull):
        store.run(large)
    with pytest.raises(StoreFull):
        store(store.face.change(run_id, None, tags={f"note {at}": "é" * 200 for at in range(30)}))
    assert store(store.face.change(run_id, None, sealed=True)).state == "sealed"
    changed = store(store.face.change(run_id, None, tags={"note": "é"}))
    assert changed.stored_bytes == before + len('"note":"é"'.encode())


def pages(store: Opened, **asked: Any) -> list[str]:
    """The ids of a whole listing, three a page."""
    found: list[str] = []
    cursor = None
    while True:
        page = store(store.face.page(None, cursor=cursor, limit=3, **asked))
        found += [run.id for run in page.runs]
        assert len(page.runs) == 3 or page.next_cursor is None
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


def test_pages_hold_every_run_once_in_both_orders(store: Opened) -> None:
    made = [store.run() for _ in range(10)]
    assert pages(store, order="oldest") == made
    assert pages(store) == made[::-1]


def test_a_run_that_is_made_between_pages_moves_none(store: Opened) -> None:
    made = [store.run() for _ in range(4)]
    first = store(store.face.page(None, limit=2))
    store.run()
    second = store(store.face.page(None, limit=2, cursor=first.next_cursor))
    assert [run.id for run in first.runs + second.runs] == made[::-1]


def test_runs_are_found_by_state_loss_name_tags_and_time(store: Opened) -> None:
    a = store.run(RunSpec(loss="l1_loss", name="one 100%", tags={"model": "a", "seed": "1"}))
    b = store.run(RunSpec(loss="l1_loss", name="two", tags={"model": "a", "seed": "2"}))
    c = store.run(RunSpec(loss="mse_loss", name="one more"))
    store(store.face.change(b, None, sealed=True))
    moment = store(store.face.get(b, None)).created_at
    for asked, expected in (
        ({"state": "open"}, [c, a]),
        ({"state": "sealed"}, [b]),
        ({"loss": "l1_loss"}, [b, a]),
        ({"name": "one"}, [c, a]),
        ({"name": "0%"}, [a]),
        ({"name": "_"}, []),
        ({"name": ""}, [c, b, a]),
        ({"tags": {"model": "a"}}, [b, a]),
        ({"tags": {"model": "a", "seed": "2"}}, [b]),
        ({"tags": {"seed": "a"}}, []),
        ({"created_after": moment}, [c, b]),
        ({"created_before": moment}, [a]),
        ({"created_after": moment, "loss": "l1_loss", "state": "open"}, []),
    ):
        assert pages(store, **asked) == expected, asked


@pytest.mark.parametrize("cursor", ["", "x", "e30", "WzFd", "[]", "é", "WyJydW5zIG5ld2VzdCIsIDFd", "A" * 5000])
def test_a_cursor_that_no_page_gave_is_refused(store: Opened, cursor: str) -> None:
    with pytest.raises(FaultyCursor):
        store(store.face.page(None, cursor=cursor))


def test_a_cursor_of_another_listing_is_refused(store: Opened) -> None:
    run_id, other = store.run(), store.run()
    store.add(run_id, batch(0), batch(1))
    cursor = store(store.face.page(None, limit=1)).next_cursor
    with pytest.raises(FaultyCursor):
        store(store.face.page(None, limit=1, cursor=cursor, order="oldest"))
    of_batches = store(store.face.batches(run_id, None, limit=1)).next_cursor
    assert of_batches is not None
    with pytest.raises(FaultyCursor):
        store(store.face.batches(other, None, cursor=of_batches))


def test_names_and_tags_change_and_the_old_ones_find_nothing(store: Opened) -> None:
    run_id = store.run()
    changed = store(store.face.change(run_id, None, name="new", tags={"model": "b"}))
    assert (changed.spec.name, changed.spec.tags) == ("new", {"model": "b"})
    assert changed.updated_at >= changed.created_at
    assert store(store.face.get(run_id, None)) == changed
    assert pages(store, tags={"model": "b"}) == pages(store, name="new") == [run_id]
    assert pages(store, tags={"model": "a"}) == pages(store, name="nightly") == []
    assert store(store.face.change(run_id, None, tags={})).spec.tags == {}


def test_a_sealed_run_stays_sealed_as_it_was(store: Opened) -> None:
    run_id = store.run()
    sealed = store(store.face.change(run_id, None, sealed=True))
    assert sealed.state == "sealed"
    again = store(store.face.change(run_id, None, sealed=True, name="later"))
    assert (again.state, again.sealed_at) == ("sealed", sealed.sealed_at)


def test_no_more_runs_are_made_than_there_may_be(opening: Callable[..., Opened]) -> None:
    store = opening(evaluation_max_runs=2)
    first = store.run()
    store(store.face.create(SPEC, None, "key"))
    with pytest.raises(StoreFull):
        store.run()
    assert not store(store.face.create(SPEC, None, "key"))[1]
    store(store.face.delete(first, None))
    store.run()


def test_a_deleted_run_is_gone(store: Opened) -> None:
    run_id = store.run()
    store.add(run_id, batch(0))
    store(store.face.delete(run_id, None))
    for asked in (store.face.get(run_id, None), store.face.tally(run_id, None), store.face.delete(run_id, None)):
        with pytest.raises(NoSuchRun):
            store(asked)
    assert pages(store) == []
    (refused,) = store.add(run_id, batch(1))
    assert isinstance(refused, NoSuchRun)
