"""safetensors bodies: what is sound is read without a copy, what is not is refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from schemas.problem import Fault, InvalidRequest
from schemas.request import LossRequest
from service.compute import compute, open_device
from service.http.problems import render
from service.wire import safetensors
from tests.binary import TYPES, forge, pack

NAMED = {"request": '{"loss": "mse_loss"}'}
INPUT = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
TARGET = {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}
DATA = np.array([1, 2, 3, 5], np.float32).tobytes()
CPU = open_device("cpu")


def decode(body: bytes | bytearray | memoryview) -> LossRequest:
    return safetensors.decode(body, None, max_elements=1 << 20)


def faults(body: bytes) -> list[Fault]:
    """What a body is refused for; it can be told as a problem document."""
    with pytest.raises(InvalidRequest) as caught:
        decode(body)
    status, _, document = render(caught.value, "/")
    assert json.loads(document)["status"] == status
    return caught.value.faults


def malformed(body: bytes) -> str:
    """The reason of a body that is refused with 400, and for that alone."""
    found = faults(body)
    assert [(fault.pointer, fault.status) for fault in found] == [("", 400)]
    return found[0].detail


def with_input(**changes: Any) -> bytes:
    """A body whose tensor `input` is described otherwise."""
    return forge({"__metadata__": NAMED, "input": {**INPUT, **changes}, "target": TARGET}, DATA)


def test_a_sound_body_is_read() -> None:
    body = forge({"__metadata__": NAMED, "input": INPUT, "target": TARGET}, DATA)
    request = decode(body)
    assert request.name == "mse_loss"
    assert request.checked.tensors["input"].tolist() == [1.0, 2.0]
    assert request.checked.tensors["target"].tolist() == [3.0, 5.0]


@pytest.mark.parametrize("size", range(8))
def test_a_body_that_ends_before_its_header_is_malformed(size: int) -> None:
    assert "ends before its header" in malformed(b"\x02\0\0\0\0\0\0\0"[:size])


@pytest.mark.parametrize("told", [3, 1 << 20, 1 << 31, 1 << 63, (1 << 64) - 1])
def test_a_header_beyond_the_body_is_malformed(told: int) -> None:
    assert f"a header of {told} bytes does not fit" in malformed(told.to_bytes(8, "little") + b"{}")


def test_a_header_over_the_limit_is_malformed() -> None:
    header = b"{}".ljust(safetensors.MAX_HEADER + 1)
    assert str(safetensors.MAX_HEADER) in malformed(forge(header))
    assert "limit" not in faults(forge(header[:-1]))[0].detail


@pytest.mark.parametrize(
    "header",
    [b"", b" ", b"{", b"nope", b"{}{}", b"{'a': 1}", b'{"a": 1,}', b"\xff\xfe{}", b'{"\xff": 1}', b'{"a\n": 1}'],
)
def test_a_header_that_is_no_json_is_malformed(header: bytes) -> None:
    assert "no sound JSON" in malformed(forge(header))


@pytest.mark.parametrize("header", [[], [1], 1, "a", None, True])
def test_a_header_that_is_no_object_is_malformed(header: Any) -> None:
    assert malformed(forge(header)) == "the header is no JSON object"


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": 1, "a": 1}',
        b'{"__metadata__": {}, "__metadata__": {}}',
        b'{"__metadata__": {"request": "{}", "request": "{}"}}',
        b'{"a": {"dtype": "U8", "dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}',
        b'{"a": 1, "\\u0061": 1}',
    ],
)
def test_what_is_named_twice_is_malformed(header: bytes) -> None:
    assert "is there twice" in malformed(forge(header))


def test_a_name_that_comes_twice_among_very_many_is_found() -> None:
    names = [*range(400_000), 399_999]  # comparing each with all others would take hours
    assert "'399999' is there twice" in malformed(forge(b"{" + b",".join(b'"%d":0' % name for name in names) + b"}"))


@pytest.mark.parametrize("metadata", [[], "text", 1, None, {"request": 1}, {"other": {}}, {"request": None}])
def test_metadata_that_is_no_object_of_texts_is_malformed(metadata: Any) -> None:
    assert malformed(forge({"__metadata__": metadata})) == "__metadata__ is no object of texts"


@pytest.mark.parametrize("code", ["U64", "F8_E4M3", "f32", "float32", "", "C64"])
def test_a_dtype_that_is_not_served_is_told_with_those_that_are(code: str) -> None:
    (fault,) = faults(with_input(dtype=code))
    assert (fault.pointer, fault.status) == ("/input/dtype", 415)
    assert "BF16" in fault.detail


@pytest.mark.parametrize("code", [None, 5, ["F32"], {"F32": 1}, True])
def test_a_dtype_that_is_no_text_is_not_served_either(code: Any) -> None:
    assert [(fault.pointer, fault.status) for fault in faults(with_input(dtype=code))] == [("/input/dtype", 415)]


@pytest.mark.parametrize("entry", [None, 1, [], "F32", {}, {**INPUT, "more": 1}])
def test_a_tensor_that_is_not_described_as_the_format_has_it_is_malformed(entry: Any) -> None:
    assert "tensor 'input': dtype, shape and data_offsets are needed" in malformed(forge({"input": entry}))


@pytest.mark.parametrize("member", INPUT)
def test_each_member_of_a_description_is_needed(member: str) -> None:
    left = {name: value for name, value in INPUT.items() if name != member}
    assert "are needed" in malformed(forge({"input": left}, DATA[:8]))


SIZES = [[-1], [2.0], [True], ["2"], [None], [[2]], [1 << 48], [1 << 64], 2, None, "2", {}, [float("nan")]]


@pytest.mark.parametrize("shape", SIZES, ids=repr)
def test_a_shape_that_is_no_list_of_sizes_is_malformed(shape: Any) -> None:
    assert "shape is no list of sizes" in malformed(with_input(shape=shape))


@pytest.mark.parametrize(
    "offsets",
    [*SIZES, [], [0], [0, 4, 8], [0.0, 8.0], [-8, 0], [False, 8], [0, 1 << 64]],
    ids=repr,
)
def test_offsets_that_are_no_two_positions_are_malformed(offsets: Any) -> None:
    assert "data_offsets are no two positions" in malformed(with_input(data_offsets=offsets))


@pytest.mark.parametrize("offsets", [[8, 0], [0, 4], [0, 7], [0, 16], [0, 0], [0, (1 << 48) - 1]])
def test_offsets_that_do_not_span_what_the_shape_needs_are_malformed(offsets: list[int]) -> None:
    assert "the shape needs 8" in malformed(with_input(data_offsets=offsets))


@pytest.mark.parametrize("shape", [[3], [1], [], [2, 2], [(1 << 48) - 1] * 8, [2, 0]])
def test_a_shape_that_does_not_fill_its_offsets_is_malformed(shape: list[int]) -> None:
    assert "data_offsets span 8 bytes" in malformed(with_input(shape=shape))


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([0, 8], [0, 8], "tensor 'target' overlaps"),
        ([0, 8], [4, 12], "tensor 'target' overlaps"),
        ([8, 16], [4, 12], "tensor 'target' leaves a hole"),
        ([0, 8], [9, 17], "tensor 'target' leaves a hole"),
        ([1, 9], [9, 17], "tensor 'input' leaves a hole"),
        ([8, 16], [16, 24], "tensor 'input' leaves a hole"),
        ([1 << 40, (1 << 40) + 8], [0, 8], "tensor 'input' leaves a hole"),
    ],
)
def test_tensors_that_overlap_or_leave_holes_are_malformed(first: list[int], second: list[int], reason: str) -> None:
    header = {"input": {**INPUT, "data_offsets": first}, "target": {**TARGET, "data_offsets": second}}
    assert reason in malformed(forge(header, b"\0" * 24))


def test_a_tensor_without_elements_amid_another_overlaps_it() -> None:
    header = {"input": INPUT, "target": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]}}
    assert "overlaps" in malformed(forge(header, DATA[:8]))


@pytest.mark.parametrize("size", [0, 1, 15, 17, 4096])
def test_data_that_ends_early_or_goes_on_is_malformed(size: int) -> None:
    body = forge({"__metadata__": NAMED, "input": INPUT, "target": TARGET}, b"\0" * size)
    assert f"the data has {size} bytes, the header speaks of 16" in malformed(body)


def test_tensors_may_lie_in_any_order() -> None:
    header = {"__metadata__": NAMED, "input": {**INPUT, "data_offsets": [8, 16]}}
    header["target"] = {**TARGET, "data_offsets": [0, 8]}
    assert decode(forge(header, DATA)).checked.tensors["input"].tolist() == [3.0, 5.0]


@pytest.mark.parametrize("where", ["top", "dtype", "shape", "metadata"])
@pytest.mark.parametrize("depth", [33, 400, *range(880, 1010, 7), 100_000])  # Python's own limit is near 1,000
def test_deep_nesting_is_refused(where: str, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    header = {
        "top": nested,
        "dtype": b'{"input": {"dtype": %s, "shape": [0], "data_offsets": [0, 0]}}' % nested,
        "shape": b'{"input": {"dtype": "F32", "shape": %s, "data_offsets": [0, 0]}}' % nested,
        "metadata": b'{"__metadata__": %s}' % nested,
    }[where]
    assert faults(forge(header))[0].status in (400, 415)


def test_a_number_of_very_many_digits_is_malformed_and_tells_nothing_of_the_reader() -> None:
    header = b'{"input": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 0]}}' % (b"9" * 5000)
    assert "sys." not in malformed(forge(header))


@pytest.mark.parametrize("header", [b'{"\\ud800": %s}', b'{"__metadata__": {"\\uDC00": ""}, "input": %s}'])
@pytest.mark.parametrize("dtype", ["F32", "U64"])
def test_half_a_surrogate_pair_is_no_name(header: bytes, dtype: str) -> None:
    entry = json.dumps({"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}).encode()
    assert "surrogate" in malformed(forge(header % entry))


def test_an_escaped_name_is_read() -> None:
    assert "/\U0001f600" in [fault.pointer for fault in faults(pack({"\U0001f600": np.zeros(1)}, loss="mse_loss"))]


@pytest.mark.parametrize("spaces", [1, 7, 4096])
def test_a_header_may_be_padded_with_spaces(spaces: int) -> None:
    header = json.dumps({"__metadata__": NAMED, "input": INPUT, "target": TARGET}).encode() + b" " * spaces
    assert decode(forge(header, DATA)).checked.tensors["input"].tolist() == [1.0, 2.0]


def test_too_many_dims_are_invalid() -> None:
    (fault,) = faults(with_input(shape=[1] * 8 + [2]))
    assert (fault.pointer, fault.status) == ("/input", 422)
    request = decode(pack({name: np.ones([1] * 8, np.float32) for name in ("input", "target")}, loss="mse_loss"))
    assert request.checked.tensors["input"].ndim == 8


def test_too_many_tensors_are_invalid() -> None:
    (fault,) = faults(pack({f"t{at}": np.zeros(0, np.float32) for at in range(65)}, loss="mse_loss"))
    assert (fault.pointer, fault.status, fault.detail) == ("", 422, "65 tensors; at most 64 are taken")


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_tensors_without_elements_keep_their_shape(shape: tuple[int, ...]) -> None:
    request = decode(pack({name: np.zeros(shape, np.float32) for name in ("input", "target")}, loss="mse_loss"))
    assert request.checked.tensors["input"].shape == shape


@pytest.mark.parametrize("shape", [[70_000, 0], [0, 1 << 47, 1 << 47], [(1 << 48) - 1] * 7 + [0]])
def test_very_many_empty_rows_are_too_large(shape: list[int]) -> None:
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
    found = faults(forge({"__metadata__": NAMED, "input": entry, "target": entry}))
    assert found[0].status == 413


def test_a_0d_tensor_is_read() -> None:
    body = pack({"input": np.full((), 3, np.float32), "target": np.ones((), np.float32)}, loss="mse_loss")
    assert decode(body).checked.tensors["input"].shape == ()


@pytest.mark.parametrize("code", [code for code, dtype in TYPES.items() if dtype.kind != "b"])
def test_every_type_is_read_to_the_bit(code: str) -> None:
    values = np.random.default_rng(5).integers(0, 100, (3, 4)).astype(TYPES[code])
    tensors = safetensors.read(pack({"input": values}), 64).tensors
    found = tensors["input"].array
    assert (found.dtype, found.shape, found.tobytes()) == (values.dtype, values.shape, values.tobytes())
    assert tensors["input"].typed


def test_any_byte_but_zero_is_true() -> None:
    header = {"__metadata__": NAMED, "input": {"dtype": "BOOL", "shape": [4], "data_offsets": [0, 4]}}
    header["target"] = {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}
    request = decode(forge(header, bytes([0, 1, 2, 255, 0, 0, 0, 0])))
    assert request.checked.tensors["input"].tolist() == [0.0, 1.0, 1.0, 1.0]


def padded_to(remainder: int, dtype: Any) -> bytes:
    """A request whose data starts at that remainder of 8."""
    rng = np.random.default_rng(6)
    body = pack({name: rng.normal(size=67).astype(dtype) for name in ("input", "target")}, loss="mse_loss")
    start = 8 + int.from_bytes(body[:8], "little")
    return forge(body[8:start] + b" " * ((remainder - start) % 8), body[start:])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_tensors_at_odd_addresses_give_the_same_answer(dtype: Any) -> None:
    answers = []
    for remainder in range(8):
        result = compute([decode(padded_to(remainder, dtype))], CPU)[0]
        answers.append((result.loss.tobytes(), result.gradients["input"].tobytes()))
    assert len(set(answers)) == 1


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_tensors_are_views_of_the_body(form: type) -> None:
    memory = np.frombuffer(padded_to(0, np.float32), np.uint8).copy()
    body = memoryview(memory.data) if form is memoryview else form(memory)
    request = decode(body)
    for tensor in request.checked.tensors.values():
        assert np.shares_memory(tensor, np.frombuffer(body, np.uint8))


def test_integers_for_indices_are_views_too() -> None:
    target = np.array([0, 2], np.int64)
    body = pack({"target": target, "input": np.ones((2, 3), np.float32)}, loss="cross_entropy")
    start = 8 + int.from_bytes(body[:8], "little")
    body = forge(body[8:start] + b" " * (-start % 8), body[start:])
    assert np.shares_memory(decode(body).checked.tensors["target"], np.frombuffer(body, np.uint8))


def test_the_same_header_before_other_data_is_read_anew() -> None:
    for value in (1.0, 2.0):
        body = pack({name: np.full(2, value, np.float32) for name in ("input", "target")}, loss="mse_loss")
        assert decode(body).checked.tensors["input"].tolist() == [value] * 2
