"""What batches and tallies take in memory is reckoned about as it is: bounds on it then mean something."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from schemas.evaluation.run import run_spec
from schemas.evaluation.shared import Shared
from schemas.operation import OperationResult
from service.evaluations.adding import memory_of, new_batch, samples_of
from service.evaluations.partial import partial_of
from service.evaluations.tally import Tally
from service.http.evaluations.adding import nbytes
from service.wire import evaluation
from tests.evaluations.batches import drawn, scored_of, spec_of


def measured(make: Callable[[], object]) -> int:
    """The bytes that are held by what a function makes."""
    make()  # what is kept for all of them
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = make()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        del made


def peak(make: Callable[[], object]) -> int:
    """The most bytes that are held while a function runs."""
    make()  # what is kept for all of them
    gc.collect()
    tracemalloc.start()
    try:
        make()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("n", "classes", "hardest"), [(1, 2_000, 0), (2_000, 3, 1_000), (200, 200, 10), (2_000, 2, 0)])
def test_a_batch_is_reckoned_as_it_is(n: int, classes: int, hardest: int) -> None:
    spec = spec_of("multilabel", "auroc", classes=classes, hardest=hardest)
    scored = drawn("multilabel", n, classes, seed=1)
    elements = np.repeat(np.arange(n), classes)
    scored.element_values = np.random.default_rng(1).lognormal(size=n * classes)
    scored.element_shares = np.ones(n * classes)
    scored.element_classes = np.tile(np.arange(classes), n)
    scored.element_samples = elements

    def make() -> object:
        scored.sample_ids = [f"image number {at}" for at in range(n)]
        return partial_of(spec, scored), samples_of(scored)

    partial, samples = partial_of(spec, scored), samples_of(scored)
    scored.sample_ids = samples.named = [f"image number {at}" for at in range(n)]
    assert 0.5 < memory_of(partial, samples) / measured(make) < 2


@pytest.mark.parametrize("classes", [2, 5_000])
def test_a_tally_is_reckoned_as_it_is(classes: int) -> None:
    spec = spec_of("multiclass", classes=classes)
    draw = np.random.default_rng(1)
    values, shares = draw.lognormal(size=10_000), draw.random(10_000)
    which = draw.integers(0, classes, 10_000)
    partial = partial_of(spec, scored_of(values, shares, element_classes=which))

    def make() -> Tally:
        tally = Tally(spec)
        tally.add(partial)
        tally.add(partial)  # whose sums are its own then
        return tally

    assert 0.5 < make().nbytes / measured(make) < 2
    assert make().copy().nbytes == make().nbytes


def indexed(*shape: int) -> dict[str, list[object]]:
    """Logits of that shape, and class indices."""
    draw = np.random.default_rng(1)
    n, classes, *places = shape
    target = draw.integers(0, classes, (n, *places))
    return {"input": draw.normal(size=shape).astype(np.float32).tolist(), "target": target.tolist()}


@pytest.mark.parametrize(
    ("shape", "named", "metrics"),
    [
        ((1000, 10), 0, []),
        ((1000, 10), 10, []),
        ((4, 5000), 0, []),
        ((4, 21, 32, 32), 0, []),
        ((4, 21, 32, 32), 21, []),
        ((4, 21, 32, 32), 21, ["accuracy", "f1", "calibration_error"]),
        ((4, 2, 64, 64), 2, ["auroc", "confusion_matrix"]),
    ],
)
def test_working_out_what_a_batch_adds_takes_no_more_than_is_claimed(
    shape: tuple[int, ...], named: int, metrics: list[str]
) -> None:
    members = {"loss": "cross_entropy", "classes": [f"class {at}" for at in range(named)] or None, "metrics": metrics}
    spec = run_spec({name: value for name, value in members.items() if value}, 1 << 26)
    read = evaluation.Read([indexed(*shape)], {}, many=False)
    batch = evaluation.checked(read, 0, Shared.of(spec), evaluation.Budget(1 << 26))
    values = np.random.default_rng(1).lognormal(size=batch.request.checked.layout.unreduced)
    result = OperationResult({("values",): values}, {}, "float64", [])

    def make() -> object:
        return new_batch(batch.request, result, spec, batch.given, batch.cut, "b", batch.digest)

    assert peak(make) < nbytes(batch, spec)
