"""Reading tensors: every form and type, and what is wrong told with its place."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest

from schemas.dtype import BFLOAT16, DTYPES, FLOATING, INTEGER
from schemas.nested import TensorFault
from schemas.problem import Fault
from schemas.tensor import read

PLAIN = pytest.mark.parametrize("plain", [False, True])


def fault(value: Any, *, plain: bool = False) -> Fault:
    with pytest.raises(TensorFault) as caught:
        read(value, plain=plain)
    return caught.value.fault


def packed(array: np.ndarray[Any, Any], name: str) -> dict[str, Any]:
    return {"dtype": name, "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


@PLAIN
@pytest.mark.parametrize(
    ("value", "shape", "kind"),
    [
        (3, (), "i"),
        (2.5, (), "f"),
        ([], (0,), "f"),
        ([[], []], (2, 0), "f"),
        ([[[]]], (1, 1, 0), "f"),
        ([1, 2], (2,), "i"),
        ([1.0, 2], (2,), "f"),
        ([1, 2.5], (2,), "f"),
        ([[1, 2], [3, 4]], (2, 2), "i"),
        ([[1, 2], [3, 4.5]], (2, 2), "f"),
        ([[[[[[[[1.0]]]]]]]], (1,) * 8, "f"),
        ([2**63 - 1, -(2**63)], (2,), "i"),
        ([2**63], (1,), "f"),
        ([2**64 - 1, 0], (2,), "f"),
        ([-(2**63) - 1], (1,), "f"),
    ],
)
def test_numbers_and_nested_lists_are_tensors(value: Any, shape: tuple[int, ...], kind: str, plain: bool) -> None:
    found = read(value, plain=plain)
    assert (found.array.shape, found.array.dtype.kind, found.typed) == (shape, kind, False)
    np.testing.assert_array_equal(found.array, np.array(value, found.array.dtype).reshape(shape))


@PLAIN
def test_non_finite_numbers_are_strings(plain: bool) -> None:
    found = read([[1, "NaN"], ["Infinity", "-Infinity"]], plain=plain).array
    np.testing.assert_array_equal(found, [[1, math.nan], [math.inf, -math.inf]])
    assert math.isnan(float(read("NaN", plain=plain).array))


@PLAIN
def test_whole_numbers_beyond_every_float_are_infinite(plain: bool) -> None:
    assert read([10**400, -(10**400)], plain=plain).array.tolist() == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (None, ""),
        (True, ""),
        ("nan", ""),
        ([1.0, None], "/1"),
        ([True], "/0"),
        ([1, False], "/1"),
        ([[1, 2], [3, "x"]], "/1/1"),
        ([[1.0, 2.0], [True, 4.0]], "/1/0"),
        ([{"a": 1}], "/0"),
        ([1, [2]], "/1"),
        ([[1, 2], [3]], "/1"),
        ([[1, 2], 3], "/1"),
        ([[[1], [2]], [[3], [4, 5]]], "/1/1"),
        ([[1], [2], []], "/2"),
        ([[], [1]], "/1"),
    ],
)
def test_what_is_no_tensor_is_told_with_its_place(value: Any, where: str) -> None:
    assert (fault(value).pointer, fault(value).status) == (where, 422)


@pytest.mark.parametrize("value", [[1.0, None], [[1, 2], [3, "x"]], [[1, 2], [3]], [1, [2]], [{"a": 1}]])
def test_the_fast_way_finds_the_same_faults(value: Any) -> None:
    assert fault(value, plain=True) == fault(value)


def test_ragged_lists_name_their_first_bad_row() -> None:
    assert fault([[1, 2], [3], [4]]) == Fault("/1", "ragged: 1 elements here, 2 in the rows before")
    assert "ragged: 3 here" in fault([[1, 2], 3]).detail


@pytest.mark.parametrize(("depth", "status"), [(9, 422), (32, 422), (33, 400)])
def test_more_than_eight_dims_are_refused(depth: int, status: int) -> None:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    assert fault(value).status == status


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3)])
def test_every_type_is_read_from_base64_and_from_a_flat_list(name: str, shape: tuple[int, ...]) -> None:
    array = (np.arange(math.prod(shape)).reshape(shape) % 2).astype(DTYPES[name])
    found = read(packed(array, name))
    assert found.typed
    assert (found.array.dtype, found.array.shape, found.array.tobytes()) == (array.dtype, shape, array.tobytes())
    flat = read(
        {"dtype": name, "shape": list(shape), "data": array.reshape(-1).astype(np.float64).astype(int).tolist()}
    )
    assert (flat.array.dtype, flat.array.shape, flat.array.tobytes()) == (array.dtype, shape, array.tobytes())


def test_little_endian_bytes_are_what_base64_holds() -> None:
    assert read({"dtype": "float32", "shape": [2], "data": "AACAPwAAAEA="}).array.tolist() == [1.0, 2.0]
    assert read({"dtype": "bfloat16", "shape": [1], "data": "gD8="}).array.dtype == BFLOAT16


def test_any_byte_of_a_bool_is_true_but_zero() -> None:
    raw = base64.b64encode(b"\x00\x01\x02\xff").decode()
    assert read({"dtype": "bool", "shape": [4], "data": raw}).array.tolist() == [False, True, True, True]


def test_flat_lists_take_non_finite_strings_and_booleans_of_their_type() -> None:
    assert np.isnan(read({"dtype": "float16", "shape": [1], "data": ["NaN"]}).array).all()
    assert read({"dtype": "bool", "shape": [2], "data": [True, False]}).array.tolist() == [True, False]
    assert read({"dtype": "float16", "shape": [1], "data": [1e10]}).array.tolist() == [math.inf]


@pytest.mark.parametrize(
    ("change", "where", "status"),
    [
        ({"dtype": "float8"}, "/dtype", 415),
        ({"dtype": 3}, "/dtype", 415),
        ({"shape": 2}, "/shape", 422),
        ({"shape": [2.0]}, "/shape/0", 422),
        ({"shape": [1, -2]}, "/shape/1", 422),
        ({"shape": [True]}, "/shape/0", 422),
        ({"shape": [2**31, 0]}, "/shape", 413),
        ({"shape": [1] * 9}, "/shape", 422),
        ({"shape": [3]}, "/data", 422),
        ({"data": 5}, "/data", 422),
        ({"data": None}, "/data", 422),
        ({"data": [1.0]}, "/data", 422),
        ({"data": [1.0, None]}, "/data/1", 422),
        ({"data": [1.0, True]}, "/data/1", 422),
        ({"data": "AACAPw=="}, "/data", 422),
        ({"data": "!!!!"}, "/data", 422),
        ({"data": "AACAPwAAAEA"}, "/data", 422),
        ({"data": "Ā"}, "/data", 422),
        ({"extra": 1}, "/extra", 422),
    ],
)
def test_a_broken_tensor_object_is_told_with_its_place(change: dict[str, Any], where: str, status: int) -> None:
    found = fault({"dtype": "float32", "shape": [2], "data": "AACAPwAAAEA=", **change})
    assert (found.pointer, found.status) == (where, status)


@pytest.mark.parametrize("member", ["dtype", "shape", "data"])
def test_a_tensor_object_needs_all_three_members(member: str) -> None:
    value: dict[str, Any] = {"dtype": "float32", "shape": [0], "data": ""}
    del value[member]
    assert fault(value) == Fault(f"/{member}", f"a tensor object needs {member}")


@pytest.mark.parametrize("name", [name for name in INTEGER if name != "bool"])
def test_integers_hold_their_types_range_and_nothing_beyond(name: str) -> None:
    low, high = np.iinfo(INTEGER[name]).min, np.iinfo(INTEGER[name]).max
    ends = [int(low), int(high)]
    assert read({"dtype": name, "shape": [2], "data": ends}).array.tolist() == ends
    for outside in (int(low) - 1, int(high) + 1, 0.5, "NaN"):
        assert fault({"dtype": name, "shape": [2], "data": [0, outside]}).pointer == "/data/1"


def test_a_numpy_array_is_a_typed_tensor() -> None:
    for dtype in DTYPES.values():
        assert read(np.zeros(2, dtype)).typed
    assert fault(np.zeros(2, np.complex64)).status == 415
    assert fault(np.zeros(2, np.uint64)).status == 415


def test_floating_types_come_widest_first() -> None:
    assert list(FLOATING) == ["float64", "float32", "float16", "bfloat16"]
