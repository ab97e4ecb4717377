"""Bodies of inference requests to checked requests for a loss."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.nested import TensorFault
from schemas.problem import MALFORMED, Fault, InvalidRequest, pointer
from schemas.request import LossRequest
from schemas.tensor import Reading, Tensor, from_flat_list
from service.wire import large_json
from service.wire.json import check_depth, holds_booleans, no_json
from service.wire.members import place, validate
from service.wire.oip.envelope import Envelope, Input, Output, read
from service.wire.oip.faults import is_flat, located

CACHED_BYTES: Final = 2048
"""Bytes up to which JSON before binary data, once read, is remembered: callers send the same again and again."""

Buffer = bytes | bytearray | memoryview


class Call(NamedTuple):
    """An inference request: the loss's own request, and how its answer is wanted.

    `outputs`: those that are wanted, in order; empty for all of them, which are then `binary` or not. `timeout` in
    microseconds.
    """

    request: LossRequest
    id: str | None
    outputs: tuple[Output, ...]
    binary: bool
    timeout: int | None


def decode(body: Buffer, cls: type[LossRequest], json_bytes: int | None, *, max_elements: int) -> Call:
    """The checked request in a body, of which the first `json_bytes` (all, where that is `None`) are JSON.

    Raises `InvalidRequest`, with status 400 faults where the body is not sound, 415 for a datatype that is not served.
    """
    if json_bytes is not None and json_bytes > len(body):
        raise _malformed(f"the body has {len(body)} bytes, Inference-Header-Content-Length says {json_bytes}")
    text = bytes(body) if json_bytes is None else bytes(memoryview(body)[:json_bytes])
    binary = memoryview(b"") if json_bytes is None else memoryview(body)[json_bytes:]
    if len(text) >= large_json.LEAST_BYTES:
        call = _decode_large(text, cls, binary, max_elements)
        if call is not None:
            return call
    if json_bytes is not None and json_bytes <= CACHED_BYTES:
        return _call(_remembered(text, cls), cls, binary, Reading(False, max_elements))
    document = _document(text)
    try:
        return _call(read(document, cls), cls, binary, Reading(not holds_booleans(text), max_elements))
    except InvalidRequest:
        check_depth(document)
        raise


def decode_beside(
    body: Buffer, cls: type[LossRequest], json_bytes: int | None, beside: Collection[str]
) -> tuple[Members, dict[str, Any]]:
    """The unchecked members of a body, and the parameters of these names, which are none of the loss's.

    Raises `InvalidRequest` as `decode` does.
    """
    if json_bytes is not None and json_bytes > len(body):
        raise _malformed(f"the body has {len(body)} bytes, Inference-Header-Content-Length says {json_bytes}")
    text = bytes(body) if json_bytes is None else bytes(memoryview(body)[:json_bytes])
    binary = memoryview(b"") if json_bytes is None else memoryview(body)[json_bytes:]
    document = (large_json.read(text) if len(text) >= large_json.LEAST_BYTES else None) or _document(text)
    return members_beside(document, cls, binary, beside, plain=not holds_booleans(text))


def members_beside(
    document: dict[str, Any], cls: type[LossRequest], binary: memoryview, beside: Collection[str], *, plain: bool
) -> tuple[Members, dict[str, Any]]:
    """As `decode_beside`, of the JSON's object; `plain` says that there is no boolean in it."""
    parameters = document.get("parameters")
    own = {}
    if type(parameters) is dict:
        own = {name: parameters[name] for name in beside if name in parameters}
        document["parameters"] = {name: value for name, value in parameters.items() if name not in own}
    return _members(read(document, cls), cls, binary, plain=plain), own


def _decode_large(text: bytes, cls: type[LossRequest], binary: memoryview, max_elements: int) -> Call | None:
    """The checked request; `None` where it is invalid, to be read again to tell what is wrong as for any body."""
    document = large_json.read(text)
    if type(document) is not dict:
        return None
    try:
        return _call(read(document, cls), cls, binary, Reading(False, max_elements))
    except InvalidRequest:
        return None


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _malformed(no_json(text, error)) from None
    if type(document) is not dict:
        raise _malformed("the body is no JSON object")
    return document


@lru_cache(maxsize=256)
def _remembered(text: bytes, cls: type[LossRequest]) -> Envelope:
    return read(_document(text), cls)


def _call(envelope: Envelope, cls: type[LossRequest], binary: memoryview, reading: Reading) -> Call:
    """Put the loss's request together and check it."""
    found = _members(envelope, cls, binary, plain=reading.plain)
    faults = found.faults
    try:
        request = validate(found.members, cls, reading)
    except InvalidRequest as error:
        raise InvalidRequest(faults + found.located(error.faults)) from None
    if found.misplaced:
        faults += found.located([])
    if faults:
        raise InvalidRequest(faults)
    return Call(request, envelope.id, envelope.outputs, envelope.binary, envelope.timeout)


class Members(NamedTuple):
    """The members of a loss's request, before they are checked; and what is wrong already.

    `misplaced`: tensors that belong to nothing, by the names that the loss's request would have them under.
    """

    members: dict[str, Any]
    faults: list[Fault]
    misplaced: list[Fault]
    envelope: Envelope
    cls: type[LossRequest]

    def located(self, faults: list[Fault]) -> list[Fault]:
        """Faults of the loss's request, and those of what is misplaced, where they lie in the inference request."""
        return located(self.misplaced + faults, self.envelope, self.cls)


def _members(envelope: Envelope, cls: type[LossRequest], binary: memoryview, *, plain: bool) -> Members:
    """The members that the inputs and options of an inference request make."""
    faults = list(envelope.faults)
    if envelope.binary_bytes != len(binary) and not faults:
        raise _malformed(
            f"{len(binary)} bytes follow the JSON, the inputs' binary_data_size make {envelope.binary_bytes} "
            "(Inference-Header-Content-Length tells where the JSON ends)"
        )
    members = dict(envelope.options)
    misplaced: list[Fault] = []
    unread = set()
    for one in envelope.inputs:
        tensor = _tensor(one, binary, plain, faults)
        if tensor is None:
            unread.add(one.name)
        elif one.name.isidentifier():
            members[one.name] = tensor
        else:
            place(members, one.name, tensor, misplaced, cls)
    if unread:
        envelope = envelope._replace(
            inputs=tuple(one for one in envelope.inputs if one.name not in unread), broken=envelope.broken | unread
        )
    return Members(members, faults, misplaced, envelope, cls)


def _tensor(one: Input, binary: memoryview, plain: bool, faults: list[Fault]) -> Tensor | None:
    if one.begin is not None:
        count = math.prod(one.shape)
        if one.begin + count * one.dtype.itemsize > len(binary):
            return None  # which is told already
        return Tensor(_view(binary, one, count).reshape(one.shape), typed=True)
    try:
        return Tensor(_numbers(one, plain).reshape(one.shape), typed=True)
    except TensorFault as error:
        fault = error.fault
        faults.append(fault._replace(pointer=pointer("inputs", one.at) + fault.pointer))
        return None


def _view(binary: memoryview, one: Input, count: int) -> NDArray[Any]:
    """A view of the body; copied only where it does not lie as its type needs, or holds booleans."""
    array: NDArray[Any]
    if not count:
        return np.zeros(0, one.dtype)
    if one.dtype.kind == "b":
        # Any byte other than 0 and 1 is undefined behaviour as a C bool.
        array = np.frombuffer(binary, np.uint8, count, one.begin or 0) != 0
        return array
    array = np.frombuffer(binary, one.dtype, count, one.begin or 0)
    return array if array.flags.aligned else array.copy()


def _numbers(one: Input, plain: bool) -> NDArray[Any]:
    """The numbers of JSON data, which are flat or in the shape of the input. Raises `TensorFault`."""
    data = one.data
    count = math.prod(one.shape)
    if type(data) is Tensor:
        # Numbers that were read into an array already. Where they do not fit, the general reader is to tell which: any
        # fault will do here.
        array = data.array
        if array.size != count or (array.ndim > 1 and array.shape != one.shape):
            raise TensorFault("has another shape", "data")
        return from_flat_list(array.reshape(-1), one.dtype, plain)
    if is_flat(data):
        if len(data) != count:
            raise TensorFault(f"{len(data)} numbers, but shape {list(one.shape)} needs {count}", "data")
        return from_flat_list(data, one.dtype, plain)
    numbers = _flattened(data, one.shape)
    try:
        return from_flat_list(numbers, one.dtype, plain)
    except TensorFault as error:
        _, _, at = error.fault.pointer.split("/")
        raise TensorFault(error.fault.detail, "data", *_unravelled(int(at), one.shape)) from None


def _flattened(data: Any, shape: tuple[int, ...]) -> list[Any]:
    """The numbers of nested lists of exactly that shape."""
    items = [data]
    for axis, size in enumerate(shape):
        for position, item in enumerate(items):
            if type(item) is not list or len(item) != size:
                found = f"a list of {len(item)}" if type(item) is list else "no list"
                where = _unravelled(position, shape[:axis])
                raise TensorFault(f"{found} where shape {list(shape)} has {size}", "data", *where)
        items = [number for item in items for number in item]
    return items


def _unravelled(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(position, shape)) if shape else ()


def _malformed(detail: str) -> InvalidRequest:
    return InvalidRequest([Fault("", detail, MALFORMED)])
