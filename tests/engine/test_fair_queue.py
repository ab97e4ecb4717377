"""The order of turns: small requests pass giants, giants have their share, like ones are taken together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.compute import Work
from service.engine.entry import Entry
from service.engine.fair_queue import FairQueue

GIANT = 1 << 21
MIDDLE = 1 << 16


class Driven:
    """A queue of entries known by their names, taken on this thread."""

    def __init__(self, batch_elements: int = 1 << 20) -> None:
        self.loop = asyncio.new_event_loop()
        self.queue = FairQueue(batch_elements)
        self.queue.hand_to(self)
        self.names: dict[asyncio.Future[Any], str] = {}

    def put(self, name: str, elements: int, key: object = None) -> Entry:
        checked = SimpleNamespace(key=key, layout=SimpleNamespace(elements=elements))
        entry = Entry(cast(Work, SimpleNamespace(checked=checked)), self.loop.create_future(), 0.0)
        self.names[entry.future] = name
        self.queue.put(entry)
        return entry

    def take(self) -> str | None:
        found = self.queue.take(self, wait=False)
        return None if found is None else " ".join(self.names[entry.future] for entry in found)

    def all(self) -> list[str]:
        return list(iter(cast(Callable[[], str], self.take), ""))


@pytest.fixture
def driven() -> Any:
    made = Driven()
    yield made
    made.loop.close()


def test_one_size_is_first_come_first_served(driven: Driven) -> None:
    for name in "abc":
        driven.put(name, GIANT)
    assert driven.all() == ["a", "b", "c"]


def test_a_small_request_passes_all_giants_that_wait(driven: Driven) -> None:
    for name in "ABCD":
        driven.put(name, GIANT)
    assert driven.take() == "A"
    driven.put("small", MIDDLE)
    assert driven.all() == ["small", "B", "C", "D"]


def test_small_requests_pass_giants_however_long_there_have_been_giants(driven: Driven) -> None:
    for turn in range(100):
        driven.put(f"giant{turn}", GIANT)
        driven.put(f"giant{turn}'", GIANT)
        driven.take()
    driven.put("small", MIDDLE)
    assert driven.take() == "small"


def test_giants_have_half_of_the_worker_beside_an_endless_stream_of_small_requests(driven: Driven) -> None:
    for at in range(4):
        driven.put(f"G{at}", GIANT)
    taken = []
    for at in range(200):
        driven.put(f"s{at}", MIDDLE)
        driven.put(f"s{at}'", MIDDLE)
        taken.append(driven.take() or "")
    giants = [at for at, name in enumerate(taken) if name.startswith("G")]
    # A giant has as many elements as 32 small ones, which are taken one by one since their keys are unlike.
    assert giants == [31, 64, 97, 130]


def test_like_requests_are_taken_together_in_the_order_of_coming(driven: Driven) -> None:
    for at, key in enumerate("xyxzxy"):
        driven.put(f"{key}{at}", 10, key)
    assert driven.all() == ["x0 x2 x4", "y1 y5", "z3"]


def test_what_is_taken_together_stays_within_the_bound_unless_one_alone_is_larger() -> None:
    made = Driven(batch_elements=100)
    for name, elements in (("a", 40), ("b", 40), ("c", 40), ("d", 500), ("e", 10)):
        made.put(name, elements, "key")
    assert made.all() == ["a b", "c", "d", "e"]
    made.loop.close()


def test_what_is_discarded_is_not_taken(driven: Driven) -> None:
    first = driven.put("a", 10, "key")
    driven.put("b", 10, "key")
    assert driven.queue.discard(first)
    assert not driven.queue.discard(first)
    assert driven.all() == ["b"]
    assert not driven.queue.discard(first)


def test_only_the_owner_takes(driven: Driven) -> None:
    driven.put("a", 10)
    driven.queue.hand_to(None)
    assert driven.take() is None
    driven.queue.hand_to(driven)
    assert driven.take() == "a"


def test_a_closed_queue_is_emptied_and_then_over(driven: Driven) -> None:
    driven.put("a", 10)
    driven.queue.close()
    assert driven.take() == "a"
    assert driven.take() is None


def test_clearing_takes_all_that_waits(driven: Driven) -> None:
    entries = [driven.put("a", 10), driven.put("b", GIANT)]
    assert [id(entry) for entry in driven.queue.clear()] == [id(entry) for entry in entries]
    assert driven.take() == ""
