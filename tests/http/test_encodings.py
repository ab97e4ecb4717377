"""Tensors in and out: lists and base64, every type, to the bit."""

from __future__ import annotations

import base64
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.asgi import InProcess

TYPES: dict[str, Any] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
INTEGERS = ["int64", "int32", "int16", "int8", "uint8", "bool"]
SPECIAL = [0.0, -0.0, 1.0, -1.5, 0.1, 3.0e-5, 65504.0, np.inf, -np.inf, np.nan]


def write(array: NDArray[Any], dtype: str) -> dict[str, Any]:
    """A tensor object with base64 data."""
    return {"dtype": dtype, "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def read(tensor: Any, dtype: str) -> NDArray[Any]:
    """An answered tensor, in either encoding."""
    if isinstance(tensor, dict):
        assert tensor["dtype"] == dtype
        raw = base64.b64decode(tensor["data"], validate=True)
        return np.frombuffer(raw, TYPES[dtype]).reshape(tensor["shape"])
    named = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
    flat = [named.get(number, number) for number in np.array(tensor, object).reshape(-1)]
    return np.array(flat, np.float64).astype(TYPES[dtype]).reshape(np.shape(tensor))


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal to the bit, where NaN equals NaN."""
    nans = np.isnan(one.astype(np.float64))
    return (
        one.shape == other.shape
        and np.array_equal(nans, np.isnan(other.astype(np.float64)))
        and one[~nans].tobytes() == other[~nans].tobytes()
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("encoding", ["list", "base64"])
def test_a_tensor_comes_back_to_the_bit(client: InProcess, dtype: str, encoding: str) -> None:
    # The gradient of sum(l * v) in input is v itself, where l = -input * 1.
    random = np.random.default_rng(7).standard_normal((3, 10)).astype(TYPES[dtype])
    v = np.concatenate([np.array([SPECIAL], TYPES[dtype]), random])
    request = {
        "input": write(np.zeros(v.shape, TYPES[dtype]), dtype),
        "target": write(np.ones(v.shape, TYPES[dtype]), dtype),
        "cotangent": write(v, dtype),
    }
    answer = client.answer("kl_div", **request, reduction="none", encoding=encoding)
    assert answer["dtype"] == dtype
    gradient = read(answer["gradients"]["input"], dtype)
    assert same(-gradient, v)
    assert isinstance(answer["gradients"]["input"], dict) == (encoding == "base64")


@pytest.mark.parametrize("dtype", TYPES)
def test_both_encodings_hold_the_same_bits(client: InProcess, dtype: str) -> None:
    values = np.random.default_rng(8).standard_normal((4, 5)).astype(TYPES[dtype])
    request = {"input": write(values, dtype), "target": write(values[::-1], dtype), "reduction": "none"}
    lists = client.answer("mse_loss", **request)
    packed = client.answer("mse_loss", **request, encoding="base64")
    for name in ("loss", "gradients"):
        one, other = (answer[name] if name == "loss" else answer[name]["input"] for answer in (lists, packed))
        assert same(read(one, dtype), read(other, dtype))


@pytest.mark.parametrize("dtype", TYPES)
def test_every_form_of_a_tensor_is_read_alike(client: InProcess, dtype: str) -> None:
    values = np.random.default_rng(9).standard_normal((2, 3)).astype(TYPES[dtype])
    numbers = values.astype(np.float64)
    forms = [
        write(values, dtype),
        {"dtype": dtype, "shape": [2, 3], "data": numbers.reshape(-1).tolist()},
        numbers.tolist(),
    ]
    answers = [client.answer("mse_loss", input=form, target=forms[0], dtype=dtype) for form in forms]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_taken_for_floating_members(client: InProcess, dtype: str) -> None:
    ones = write(np.array([1, 0, 1], dtype), dtype)
    answer = client.answer("mse_loss", input=ones, target=[0.0, 0.0, 0.0], reduction="none")
    assert (answer["loss"], answer["dtype"]) == ([1.0, 0.0, 1.0], "float32")
    assert client.answer("mse_loss", input=[1, 0, 1], target=[0, 0, 0], reduction="none") == answer


def test_any_byte_but_zero_is_true(client: InProcess) -> None:
    odd = {"dtype": "bool", "shape": [3], "data": base64.b64encode(bytes([0, 1, 255])).decode()}
    answer = client.answer("mse_loss", input=odd, target=[0, 0, 0], reduction="none")
    assert answer["loss"] == [0.0, 1.0, 1.0]


def test_booleans_are_written_as_such_in_a_flat_list(client: InProcess) -> None:
    flags = {"dtype": "bool", "shape": [2], "data": [True, False]}
    assert client.answer("mse_loss", input=flags, target=[0, 0], reduction="none")["loss"] == [1.0, 0.0]


@pytest.mark.parametrize("encoding", ["list", "base64"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_0d_loss_is_a_plain_number_in_either_encoding(client: InProcess, encoding: str, reduction: str) -> None:
    answer = client.answer("mse_loss", input=[3.0], target=[1.0], reduction=reduction, encoding=encoding)
    assert answer["loss"] == 4.0


@pytest.mark.parametrize("encoding", ["list", "base64"])
def test_a_0d_tensor_is_a_plain_number_both_ways(client: InProcess, encoding: str) -> None:
    answer = client.answer("mse_loss", input=3.0, target=1, reduction="none", encoding=encoding)
    assert (answer["loss"], answer["gradients"]) == (4.0, {"input": 4.0})
    empty_shape = {"dtype": "float32", "shape": [], "data": [3.0]}
    assert client.answer("mse_loss", input=empty_shape, target=1, reduction="none", encoding=encoding) == answer


@pytest.mark.parametrize("shape", [[0], [0, 3], [2, 0, 3]])
@pytest.mark.parametrize("encoding", ["list", "base64"])
def test_a_tensor_without_elements_keeps_its_shape(client: InProcess, shape: list[int], encoding: str) -> None:
    nothing = {"dtype": "float32", "shape": shape, "data": ""}
    answer = client.answer("mse_loss", input=nothing, target=nothing, reduction="none", encoding=encoding)
    for tensor in (answer["loss"], answer["gradients"]["input"]):
        if encoding == "list":
            assert tensor == np.zeros(shape).tolist()
        else:
            assert tensor == {"dtype": "float32", "shape": shape, "data": ""}


def test_none_answers_the_unreduced_tensor(client: InProcess) -> None:
    answer = client.answer("mse_loss", input=[[1.0, 2.0], [3.0, 4.0]], target=[[0.0] * 2] * 2, reduction="none")
    assert answer["loss"] == [[1.0, 4.0], [9.0, 16.0]]
    assert answer["gradients"]["input"] == [[2.0, 4.0], [6.0, 8.0]]


@pytest.mark.parametrize(("number", "loss"), [("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "Infinity")])
def test_what_is_no_number_is_read_and_written_as_a_string(client: InProcess, number: str, loss: str) -> None:
    answer = client.answer("mse_loss", input=[number, 2.0], target=[0.0, 0.0], reduction="none")
    assert answer["loss"] == [loss, 4.0]
    assert answer["gradients"]["input"] == [number, 4.0]
    assert client.answer("mse_loss", input=number, target=0.0)["loss"] == loss
    flat = {"dtype": "float64", "shape": [2], "data": [number, 2.0]}
    assert client.answer("mse_loss", input=flat, target=[0.0, 0.0], reduction="none")["loss"] == [loss, 4.0]


def test_an_overflow_is_infinity(client: InProcess) -> None:
    answer = client.answer("mse_loss", input=[-300.0], target=[0.0], dtype="float16", reduction="none")
    assert answer["loss"] == ["Infinity"]
    assert client.answer("mse_loss", input=[1e300], target=[0.0])["gradients"]["input"] == ["Infinity"]


@pytest.mark.parametrize("seed", range(5))
def test_a_float32_is_written_in_the_fewest_digits_that_read_back_to_it(client: InProcess, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal(50) * 10.0 ** rng.integers(-30, 8, 50)).astype(np.float32)
    body = client.request(
        "POST",
        "/v1/loss",
        json={
            "loss": "l1_loss",
            "input": write(values, "float32"),
            "target": [0.0] * 50,
            "reduction": "none",
        },
    ).json()
    written = np.array(body["loss"], np.float64)
    assert np.array_equal(written.astype(np.float32), np.abs(values))
    for number, value in zip(body["loss"], np.abs(values), strict=True):
        assert number == float(np.format_float_scientific(value)), f"seed {seed}"
    total = client.answer("mse_loss", input=write(values[:1], "float32"), target=[0.0])["loss"]
    assert np.float32(total) == np.float32(values[0]) ** 2
