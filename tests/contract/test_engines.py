"""Batching equals direct, to the bit: whatever the neighbours are, and however many fail."""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis.strategies import DataObject

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.engine import BatchingEngine, DirectEngine
from tests.contract.answers import (
    Answer,
    Culprit,
    assert_same,
    first_tensor,
    formulas_that_raise,
    marked,
    parse,
    spoiled,
)
from tests.engine.driving import ask_all, batch_sizes, queued_behind_gate
from tests.losses.cases import Request, alike, mix
from tests.losses.members import tensor

MIXED = settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
STACKED = [name for name, cls in LOSSES.items() if cls.stacking != "alone"]


def alone(requests: list[LossRequest]) -> list[Answer]:
    """The oracle: each request computed by itself."""

    async def main() -> list[Answer]:
        engine = DirectEngine("cpu")
        await engine.start()
        try:
            return await ask_all(engine, requests)
        finally:
            await engine.stop()

    return asyncio.run(main())


def batched(requests: list[LossRequest]) -> tuple[list[Answer], list[int]]:
    """All of them queued before the worker takes any; and the sizes of the batches that it made."""

    async def main() -> tuple[list[Answer], list[int]]:
        engine = BatchingEngine("cpu")
        await engine.start()
        with batch_sizes() as sizes:
            answers = await queued_behind_gate(engine, requests)
        await engine.stop()
        return answers, sizes

    return asyncio.run(main())


def inline(requests: list[LossRequest]) -> list[Answer]:
    """Computed on the loop at the end of the turn in which they came, as tiny requests are."""

    async def main() -> list[Answer]:
        engine = BatchingEngine("cpu", inline_elements=1 << 14)
        await engine.start()
        answers = await ask_all(engine, requests)
        await engine.stop()
        return answers

    return asyncio.run(main())


def groups(requests: list[LossRequest]) -> list[int]:
    """How many requests share each key; those without one are alone."""
    keys = [request.checked.key for request in requests]
    shared = [key for key in keys if key is not None]
    return sorted([shared.count(key) for key in set(shared)] + [1] * (len(keys) - len(shared)))


@pytest.mark.parametrize("name", LOSSES)
@MIXED
@given(data=st.data())
def test_batching_equals_direct_to_the_bit(name: str, data: DataObject) -> None:
    requests = [parse(request) for request in data.draw(mix(name))]
    found, sizes = batched(requests)
    assert_same(found, alone(requests))
    assert sorted(sizes[1:]) == groups(requests), "one batch a key, after the gate's own"


@pytest.mark.parametrize("name", STACKED)
@settings(MIXED, max_examples=3)
@given(data=st.data())
def test_like_requests_of_a_loss_do_form_one_batch(name: str, data: DataObject) -> None:
    drawn = data.draw(alike(name, 6).filter(lambda some: len(some) > 1))
    kept = [parse({**request, "gradients": []}) for request in drawn]
    requests = [request for request in kept if 0 not in request.checked.layout.unreduced]
    found, sizes = batched(requests)
    assert sizes[1:] == ([len(requests)] if requests else [])
    assert_same(found, alone(requests))


@MIXED
@given(data=st.data())
def test_a_mix_of_all_losses_equals_direct_to_the_bit(data: DataObject) -> None:
    drawn: list[Request] = []
    for name in data.draw(st.lists(st.sampled_from(list(LOSSES)), min_size=4, max_size=8)):
        drawn += data.draw(alike(name, 3))
    requests = [parse(request) for request in data.draw(st.permutations(drawn))]
    expected = alone(requests)
    found, sizes = batched(requests)
    assert_same(found, expected)
    assert sorted(sizes[1:]) == groups(requests)
    assert_same(inline(requests), expected)


@pytest.mark.parametrize("name", LOSSES)
@settings(MIXED, max_examples=3)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_bad_neighbour_changes_nothing(name: str, data: DataObject, seed: int) -> None:
    note(f"seed={seed}")
    rng = np.random.default_rng(seed)
    drawn = data.draw(mix(name, 10))
    good = [parse(request) for request in drawn]
    kinds = rng.choice(["good", "marked", "spoiled"], len(drawn))
    kinds[rng.integers(len(drawn))] = "marked"
    requests = []
    for at, (kind, request) in enumerate(zip(kinds, drawn, strict=True)):
        made = marked(request) if kind == "marked" else spoiled(request, rng) if kind == "spoiled" else request
        kinds[at] = "good" if made is request else kind  # nothing in it may be marked
        requests.append(parse(made))
    with formulas_that_raise():
        expected = alone(requests)
        found, _ = batched(requests)
        assert_same(found, expected)
        assert_same(inline(requests), expected)
    untouched: list[Any] = [None if isinstance(answer, Exception) else answer for answer in alone(good)]
    for kind, request, answer, before in zip(kinds, drawn, found, untouched, strict=True):
        if kind == "marked":
            empty = not isinstance(answer, Exception) and answer.count + answer.ignored == 0
            unmarked = not tensor(request, first_tensor(request)).size
            assert empty or unmarked or isinstance(answer, Culprit)
        elif kind == "good" and not isinstance(answer, Culprit):  # a half type may hold the mark by chance
            assert_same([answer], [before])
