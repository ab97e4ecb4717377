"""Bundles: what is read, checked and computed in one go is to the bit what each request is by itself."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis.strategies import DataObject

from schemas.losses import LOSSES
from schemas.request import LossRequest
from schemas.tensor import Reading, Tensor
from service.compute import compute, open_device
from service.wire.bundles import bundles
from tests.contract.answers import assert_same, bits
from tests.losses.cases import Request, alike, mix

DRAWN = settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
CPU = open_device("cpu")
READING = Reading()
STACKED = [name for name, cls in LOSSES.items() if cls.stacking != "alone"]


def parse(request: Request) -> LossRequest:
    return LOSSES[request["loss"]].model_validate(request)


def wired(request: Request) -> Request:
    """The same request as a reader of bodies makes it: its arrays as tensors."""
    return {
        name: Tensor(value, typed=True) if isinstance(value, np.ndarray) else value for name, value in request.items()
    }


def listed(request: Request) -> Request:
    """The same request as JSON callers write it mostly: nested lists, where these can hold the shapes."""
    written = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in request.items()}
    floats = {value.dtype.name for value in request.values() if hasattr(value, "dtype")} - {"int64"}
    return written | ({"dtype": "float32"} if floats else {})


def same_numbers(one: LossRequest, other: LossRequest) -> bool:
    """Whether two requests are ready to compute the same."""
    mine, theirs = one.checked, other.checked
    return (
        {name: (a.dtype, a.shape, a.tobytes()) for name, a in mine.tensors.items()}
        == {name: (a.dtype, a.shape, a.tobytes()) for name, a in theirs.tensors.items()}
        and (mine.cotangent is None) == (theirs.cotangent is None)
        and (
            mine.cotangent is None or theirs.cotangent is None or mine.cotangent.tobytes() == theirs.cotangent.tobytes()
        )
        and (mine.count, mine.ignored, mine.divisor, mine.warnings, mine.gradients, mine.reduction, mine.dtype)
        == (
            theirs.count,
            theirs.ignored,
            theirs.divisor,
            theirs.warnings,
            theirs.gradients,
            theirs.reduction,
            theirs.dtype,
        )
        and [getattr(one, name) for name in one.option_names] == [getattr(other, name) for name in other.option_names]
    )


def assert_as_alone(requests: list[Request]) -> int:
    """Every bundle of these holds the requests that validation makes, and answers as they do alone; their number."""
    found = bundles([wired(request) for request in requests], set(), READING)
    for part in found:
        singles = [parse(requests[at]) for at in part.positions]
        for i, single in enumerate(singles):
            assert same_numbers(part.bundle.alone(i), single)
        [result] = compute([part.bundle], CPU)
        together: list[Any] = [result.alone(i) for i in range(part.bundle.size)]  # type: ignore[union-attr]
        assert_same(together, [compute([single], CPU)[0] for single in singles])
    return sum(part.bundle.size for part in found)


def varied(request: Request, count: int, rng: np.random.Generator) -> list[Request]:
    """Requests of the same shapes and options, their tensors' rows in other orders."""
    found = []
    for _ in range(count):
        made = dict(request)
        for name, spec in LOSSES[request["loss"]].tensor_fields.items():
            if name in made and isinstance(made[name], np.ndarray) and made[name].ndim and spec.dims != "C":
                made[name] = rng.permutation(made[name].reshape(-1)).reshape(made[name].shape)
        if isinstance(made.get("cotangent"), np.ndarray):
            made["cotangent"] = rng.permutation(made["cotangent"].reshape(-1)).reshape(made["cotangent"].shape)
        found.append(made)
    return found


@pytest.mark.parametrize("name", LOSSES)
@DRAWN
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), count=st.integers(4, 9))
def test_a_bundle_answers_as_each_request_alone(name: str, data: DataObject, seed: int, count: int) -> None:
    note(f"seed={seed}")
    [request] = data.draw(alike(name, 1))
    assert_as_alone(varied(request, count, np.random.default_rng(seed)))


@pytest.mark.parametrize("name", STACKED)
@DRAWN
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_lists_are_read_as_each_request_alone(name: str, data: DataObject, seed: int) -> None:
    note(f"seed={seed}")
    [request] = data.draw(alike(name, 1, ("float32",)))
    assert_as_alone([listed(one) for one in varied(request, 6, np.random.default_rng(seed))])


@pytest.mark.parametrize("name", LOSSES)
@settings(DRAWN, max_examples=3)
@given(data=st.data())
def test_a_mix_answers_as_each_request_alone(name: str, data: DataObject) -> None:
    assert_as_alone(data.draw(mix(name)))


@pytest.mark.parametrize("name", STACKED)
def test_examples_of_every_loss_that_stacks_are_bundled(name: str) -> None:
    example = {"loss": name, **LOSSES[name].about.example}
    weighted = parse(example).checked.divisor is None
    assert assert_as_alone([example] * 5) == (0 if weighted else 5)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 33, 63, 64, 65, 100, 1000, 5000])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_sums_of_any_length_are_those_of_each_alone(size: int, dtype: str) -> None:
    rng = np.random.default_rng(size)
    requests: list[Request] = [
        {"loss": "mse_loss", "dtype": dtype, "input": rng.standard_normal(size), "target": rng.standard_normal(size)}
        for _ in range(8)
    ]
    assert assert_as_alone(requests) == 8


NUMBERS = st.one_of(
    st.integers(-3, 3), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.just(0.5)
)


@settings(DRAWN, max_examples=200)
@given(
    rows=st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=4, max_size=7),
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
)
def test_whole_numbers_among_others_are_read_as_in_each_request_alone(rows: list[list[float]], dtype: str) -> None:
    assert_as_alone([{"loss": "l1_loss", "dtype": dtype, "input": row, "target": [0.5, 1.0]} for row in rows])


@pytest.mark.parametrize("options", [{}, {"on_empty": "zero"}, {"reduction": "sum"}, {"reduction": "none"}])
def test_ignored_targets_differ_from_request_to_request(options: Request) -> None:
    requests = [
        {"loss": "cross_entropy", "input": [[0.1, 0.2], [0.3, 0.5]], "target": target, **options}
        for target in ([0, 1], [-100, 1], [-100, -100], [1, 0], [1, -100])
    ]
    assert assert_as_alone(requests) == 5


def test_options_that_are_written_otherwise_are_not_mixed_up() -> None:
    requests: list[Request] = []
    for delta in (1, 1.0, True, 2.0):
        requests += [{"loss": "huber_loss", "input": [0.5], "target": [3.0], "delta": delta}] * 4
    found = bundles([wired(request) for request in requests], set(), READING)
    # 1 is read like 1.0, but in a bundle of its own; true is no number.
    assert sorted(part.positions for part in found) == [[0, 1, 2, 3], [4, 5, 6, 7], [12, 13, 14, 15]]


def test_class_weights_that_differ_are_not_mixed_up() -> None:
    good = {"loss": "multi_margin_loss", "input": [0.1, 0.2], "target": 1}
    requests: list[Request] = [{**good, "weight": [1.0, float(at % 2)]} for at in range(12)]
    assert_as_alone(requests)


BAD: list[Request] = [
    {"target": [5]},
    {"target": [0.5]},
    {"target": [True]},
    {"target": ["NaN"]},
    {"target": [0, 1]},
    {"target": None},
    {"input": [["x", 1.0]]},
    {"input": [[1.0]]},
    {"input": [[]]},
    {"input": [[1.0, True]]},
    {"input": [[1.0, [2.0]]]},
    {"input": {"dtype": "float32", "shape": [1, 2], "data": "AAAA"}},
    {"input": {}},
    {"gradients": ["target"]},
    {"unknown": 1},
    {"reduction": "batchmean"},
    {"loss": "mse_loss"},
    {"loss": ["mse_loss"]},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize("at", [0, 3, 8])
def test_what_is_not_sound_is_in_no_bundle_and_the_rest_is(bad: Request, at: int) -> None:
    requests: list[Request] = [
        {"loss": "cross_entropy", "input": [[0.5, 0.25 * i]], "target": [i % 2]} for i in range(16)
    ]
    requests[at] = {**requests[at], **bad}
    found = bundles([wired(request) for request in requests], set(), READING)
    positions = {position for part in found for position in part.positions}
    assert at not in positions
    assert len(positions) >= 8
    for part in found:
        for i, position in enumerate(part.positions):
            assert same_numbers(part.bundle.alone(i), parse(requests[position]))


def test_no_bundle_is_larger_than_its_bound() -> None:
    values = np.zeros(5000)
    requests: list[Request] = [{"loss": "mse_loss", "input": values, "target": values} for _ in range(30)]
    found = bundles([wired(request) for request in requests], set(), READING)
    assert sum(part.bundle.size for part in found) == 28  # 4 at a time; two are left over
    assert all(part.bundle.checked.layout.elements <= 1 << 16 for part in found)


def test_bits_tell_answers_apart() -> None:
    [result] = compute([parse({"loss": "mse_loss", "input": [1.0], "target": [0.0]})], CPU)
    [other] = compute([parse({"loss": "mse_loss", "input": [1.0], "target": [-0.0]})], CPU)
    assert bits(result) == bits(other) != bits(ValueError())
