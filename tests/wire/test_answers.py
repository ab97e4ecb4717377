"""Answers as text: what is not finite in words, in any place and number; base64 as the arrays' own bytes."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.nested import NON_FINITE
from schemas.result import LossResult
from service.wire import json as wire

SHAPES = st.one_of(arrays.array_shapes(min_dims=1, max_dims=3, max_side=6), st.just((40, 40)))
VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5]), st.floats(width=32, allow_nan=False)
)


def encoded(gradient: NDArray[Any], encoding: str, name: Any = "float32") -> Any:
    result = LossResult(np.float32(0.5), {"input": gradient}, "mean", None, 1, 0, name, ["a \0 in a warning"])  # type: ignore[arg-type] # a scalar, as compute answers
    return json.loads(wire.encode(result, encoding), parse_constant=pytest.fail)


def numbers(value: Any) -> Any:
    """Nested lists with words as numbers."""
    return [numbers(item) for item in value] if isinstance(value, list) else NON_FINITE.get(value, value)


@settings(max_examples=200, deadline=None, database=None)
@given(gradient=arrays.arrays(np.float32, SHAPES, elements=VALUES), name=st.sampled_from(list(FLOATING)))
def test_a_written_array_reads_back_to_the_same_bits(gradient: NDArray[Any], name: str) -> None:
    with np.errstate(over="ignore"):
        gradient = gradient.astype(FLOATING[name])
    answer = encoded(gradient, "list", name)
    found = np.array(numbers(answer["gradients"]["input"]), np.float64).astype(gradient.dtype)
    assert found.shape == gradient.shape
    np.testing.assert_array_equal(found.astype(np.float64), gradient.astype(np.float64))
    assert (np.signbit(found) | np.isnan(found)).tobytes() == (np.signbit(gradient) | np.isnan(gradient)).tobytes()
    assert answer["warnings"] == ["a \0 in a warning"]


@settings(max_examples=50, deadline=None, database=None)
@given(gradient=arrays.arrays(np.float32, SHAPES, elements=VALUES), name=st.sampled_from(list(FLOATING)))
def test_base64_holds_the_bytes_of_the_array(gradient: NDArray[Any], name: str) -> None:
    with np.errstate(over="ignore"):
        gradient = gradient.astype(FLOATING[name])
    tensor = encoded(gradient, "base64", name)["gradients"]["input"]
    assert tensor["dtype"] == name
    assert tensor["shape"] == list(gradient.shape)
    assert base64.b64decode(tensor["data"], validate=True) == gradient.tobytes()


@pytest.mark.parametrize("row", [0, 17, 31])
def test_one_row_that_is_not_finite_leaves_all_others_as_they_are(row: int) -> None:
    gradient = np.random.default_rng(6).standard_normal((32, 100), dtype=np.float32)
    before = encoded(gradient, "list")["gradients"]["input"]
    gradient[row] = np.nan
    after = encoded(gradient, "list")["gradients"]["input"]
    assert after[row] == ["NaN"] * 100
    assert after[:row] + after[row + 1 :] == before[:row] + before[row + 1 :]
