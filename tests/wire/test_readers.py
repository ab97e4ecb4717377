"""The two readers of JSON bodies agree: what the large one takes, the general one takes as the same request."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from service.wire import json as wire
from service.wire import large_json

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 3)
)
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
        b'{"input": [[1.5, 2.5], [3.5]]}',
        b'{"input": {"dtype": "float32", "shape": [1], "data": [1.5]}}',
        b'{"input": [[]]}',
        b'{"input": "[["}',
        b"[1.5]",
        b'{"input": [1.5',
    ],
)
def test_what_is_not_plain_is_left_to_the_general_reader(body: bytes) -> None:
    assert large_json.read(body) is None
    assert large_json.read(b'{"input": [[1.5, 2.5]]}') is not None  # and the next body is read as ever
