"""The two readers of JSON bodies agree: what the large one takes, the general one takes as the same request."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.tensor import Tensor, read
from service.wire import json as wire
from service.wire import large_json

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 3)
)
TEXTS = st.one_of(st.sampled_from(["NaN", "input", "data", "[", "]", "\\", '"', "\0", "{", "é"]), st.text(max_size=5))
LEAVES = st.one_of(NUMBERS, st.just("NaN"), st.booleans(), st.none())
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4), max_leaves=30)
ARRAYS = st.one_of(
    st.lists(NUMBERS, min_size=64, max_size=80),
    st.lists(st.lists(NUMBERS, min_size=3, max_size=3), max_size=30),
    st.lists(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=2, max_size=2), max_size=10),
    NESTED,
)


def outcome(body: bytes, least: int) -> Any:
    """What the readers make of a body, when those of at least that size go to the large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_json, "LEAST_BYTES", least)
        try:
            request: LossRequest = wire.decode(body, None, max_elements=1 << 20)
        except InvalidRequest as error:
            return error.faults
    checked = request.checked
    return {name: (array.shape, array.dtype, array.tobytes()) for name, array in checked.tensors.items()}


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(first=ARRAYS, second=ARRAYS, loss=st.sampled_from(["mse_loss", "cross_entropy", "huber_loss"]))
def test_both_readers_make_the_same_of_a_body(first: Any, second: Any, loss: str) -> None:
    body = orjson.dumps({"loss": loss, "input": first, "target": second, "dtype": "float64"})
    assert outcome(body, 0) == outcome(body, 1 << 40)


@pytest.mark.parametrize("shape", [(32, 1000), (3200, 10), (40_000,), (10, 20, 30, 4)])
def test_plain_numbers_of_a_large_body_go_straight_into_arrays(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(3).standard_normal(shape)
    body = orjson.dumps({"loss": "mse_loss", "input": values, "target": values}, option=orjson.OPT_SERIALIZE_NUMPY)
    members = large_json.read(body)
    assert members is not None
    assert members["input"].array.tobytes() == values.tobytes()
    assert members["input"].array.shape == shape


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": [1.5], "input": [2.5]}',
        b'{"requests": [{"input": [1.5], "input": [2.5]}]}',
        b'{"input": [[]]}',
        b'{"input": [[1, [2]], [3, 4]]}',
        b'{"input": "[["}',
        b'{"in[put": [[1.5]]}',
        b'{"input": [[1, [2]], [3, 4]], "name": "\\u005b"}',
        b'{"input\\u0000x": 1, "input": 2}',
        b"{" + b",".join(b'"m%d": 0' % at for at in range(65)) + b"}",
        b"[" * 17 + b'{"a": 1}' + b"]" * 17,
        b'[{"a": 1}' + b', {"a": 1}' * 70_000 + b"]",
        b"\xef\xbb\xbf[1.5]",
        b'{"input": [1.5',
        b'{"input": [1.5]}]',
        b"[18446744073709551616]",
        b"",
    ],
)
def test_what_one_reader_might_take_otherwise_is_left_to_the_general_one(body: bytes) -> None:
    assert large_json.read(body) is None
    assert large_json.read(b'{"input": [[1.5, 2.5]]}') is not None  # and the next body is read as ever


DOCUMENTS = st.recursive(
    st.one_of(NUMBERS, st.sampled_from([-0.0, 5e-324, 2.2e-308, 1e300, 2**53 + 1, 2**63 - 1, -(2**63)]), TEXTS, ARRAYS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def compare(found: Any, general: Any) -> None:
    """Assert that a document is the general reader's, with tensors as `schemas.tensor` reads them from lists."""
    if isinstance(found, Tensor):
        array = read(general).array
        assert (found.array.shape, found.array.dtype) == (array.shape, array.dtype)
        assert found.array.tobytes() == array.tobytes()
    elif isinstance(found, dict):
        assert list(found) == list(general)
        for name, item in found.items():
            compare(item, general[name])
    elif isinstance(found, list):
        assert len(found) == len(general)
        for item, other in zip(found, general, strict=True):
            compare(item, other)
    else:
        assert repr(found) == repr(general)  # -0.0 is not 0.0, and 1 is not 1.0


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(document=DOCUMENTS, indent=st.booleans())
def test_a_document_read_here_is_the_general_readers_document(document: Any, indent: bool) -> None:
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 if indent else None)
    found = large_json.read(body)
    assume(found is not None)
    compare(found, orjson.loads(body))


@pytest.mark.parametrize("ragged", [[[1.5, 2], [3]], [[1, 2], [3, 4, 5]], [[1, 2], 3], [[[1], [2]], [[3], [4, 5]]]])
@given(before=st.integers(0, 70), fill=st.integers(1, 70))
@settings(max_examples=20, deadline=None, database=None)
def test_a_ragged_list_never_becomes_one_tensor(ragged: list[Any], before: int, fill: int) -> None:
    rows = [ragged[0]] * before + ragged + [[1.5] * fill]
    found = large_json.read(orjson.dumps({"input": rows, "target": [1.5] * 80}))
    assert found is None or not isinstance(found["input"], Tensor)


def test_numbers_of_objects_and_batches_go_straight_into_arrays() -> None:
    rows = np.random.default_rng(4).standard_normal((30, 70))
    tensor = {"dtype": "float64", "shape": [30, 70], "data": rows.reshape(-1)}
    document = {
        "requests": [{"id": "a", "input": rows}, {"input": tensor}],
        "tail": [[rows, rows[:2]], [rows[2:], rows]],
    }
    found = large_json.read(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
    assert found is not None
    first, second = found["requests"]
    for item in (first["input"], second["input"]["data"], found["tail"][0][0]):
        assert isinstance(item, Tensor)
        assert item.array.tobytes() == rows.tobytes()
    assert [tensor.array.shape for row in found["tail"] for tensor in row] == [(30, 70), (2, 70), (28, 70), (30, 70)]


OBJECTS = st.builds(
    lambda dtype, shape, data: {"dtype": dtype, "shape": shape, "data": data},
    st.sampled_from(["float64", "float32", "int64", "uint8", "bool", "float17"]),
    st.sampled_from([[80], [2, 40], [79], [-1]]),
    st.one_of(
        st.lists(NUMBERS, min_size=80, max_size=80),
        st.lists(st.integers(0, 1), min_size=80, max_size=80),
        st.lists(st.booleans(), min_size=80, max_size=80),
        st.lists(st.one_of(NUMBERS, st.just("NaN"), st.just("-Infinity")), min_size=80, max_size=80),
        st.binary(min_size=80, max_size=640).map(lambda raw: base64.b64encode(raw).decode()),
        st.just(base64.b64encode(bytes(640)).decode()),
        st.just("A==="),
    ),
)


@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(first=OBJECTS, second=st.one_of(OBJECTS, ARRAYS), loss=st.sampled_from(["mse_loss", "cross_entropy"]))
def test_both_readers_make_the_same_of_tensors_as_objects(first: Any, second: Any, loss: str) -> None:
    body = orjson.dumps({"loss": loss, "input": first, "target": second, "dtype": "float64"})
    assert outcome(body, 0) == outcome(body, 1 << 40)


@pytest.mark.parametrize("least", [0, 1 << 40])
def test_whole_numbers_of_64_bits_are_kept_to_the_last_bit(least: int) -> None:
    numbers = [2**53 + 1, 2**63 - 1, -(2**63), -(2**53) - 1] * 20
    lists = {"loss": "nll_loss", "input": [[0.5, 0.5]] * 80, "target": [2**63 - 1] * 80, "ignore_index": 2**63 - 1}
    name, shape, kind = "target", (80,), np.dtype(np.int64)
    assert outcome(orjson.dumps(lists), least)[name] == (shape, kind, np.full(80, 2**63 - 1).tobytes())
    data = {"dtype": "int64", "shape": [80], "data": numbers}
    faults = outcome(orjson.dumps({**lists, "target": data}), least)
    assert faults[0].detail.startswith(f"class index {2**53 + 1} is outside [0, 2)")


@pytest.mark.parametrize("least", [0, 1 << 40])
@pytest.mark.parametrize("beyond", [2**63, 2**64 - 1, 2**64, -(2**63) - 1])
def test_whole_numbers_beyond_64_bits_are_no_class_indices(beyond: int, least: int) -> None:
    body = b'{"loss":"nll_loss","input":[[0.5,0.5]%b],"target":[0%b,%d]}' % (b",[0.5,0.5]" * 79, b",0" * 78, beyond)
    (fault,) = outcome(body, least)
    assert fault.pointer == "/target/79"
    assert "is no whole number of 64 bits" in fault.detail
