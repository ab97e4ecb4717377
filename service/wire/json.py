"""JSON: request bodies to checked requests, results to bodies."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.dtype import NAMES
from schemas.operation import OperationResult
from schemas.problem import MALFORMED, Fault, InvalidRequest
from schemas.result import LossResult
from schemas.tensor import Reading
from service.wire import array_text, large_json
from service.wire.answer import facts, number
from service.wire.members import R, validate

MEDIA_TYPE: Final = "application/json"
MAX_DEPTH: Final = 32
MARK: Final = b"\0"
"""Where a text will stand: JSON text holds no such byte."""
HOLE: Final = orjson.Fragment(MARK)
OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
SMALL: Final = 4096
"""Bytes of loss and gradients up to which an answer is small."""
SHORT: Final = 1024
"""Bytes of a body in which NumPy may take lists whole: the longer they are, the less it gains."""


def decode(body: bytes | bytearray | memoryview, cls: type[R] | None, *, max_elements: int) -> R:
    """The checked request in a body: of class `cls`, or of the loss that its `loss` names.

    Raises `InvalidRequest`, with status 400 faults where the body is no JSON object or nested too deep.
    """
    if type(body) is not bytes:
        body = bytes(body)
    if len(body) >= large_json.LEAST_BYTES:
        request = _decode_large(body, cls, max_elements)
        if request is not None:
            return request
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(no_json(body, error)) from None
    if type(data) is not dict:
        raise malformed("the body is no JSON object")
    try:
        return validate(data, cls, Reading(not holds_booleans(body), max_elements, len(body) < SHORT))
    except InvalidRequest:
        check_depth(data)
        raise


def _decode_large(body: bytes, cls: type[R] | None, max_elements: int) -> R | None:
    """The checked request; `None` where the body is invalid, to be read again to tell what is wrong as for any body.

    What was read is gone then: it may be several times as large as the body.
    """
    members = large_json.read(body)
    if type(members) is not dict:
        return None
    try:
        return validate(members, cls, Reading(plain=False, max_elements=max_elements))
    except InvalidRequest:
        return None


def encode(result: LossResult | OperationResult, encoding: str) -> bytes:
    """The JSON body of a result; its tensors as nested lists or as base64 objects."""
    tree: Callable[[Callable[[NDArray[Any]], Any]], dict[str, Any]]
    if isinstance(result, OperationResult):
        size = sum([array.nbytes for array in result.tensors.values()])
        tree = partial(_operation_answer, result)
    else:
        size = result.loss.nbytes + sum([gradient.nbytes for gradient in result.gradients.values()])
        tree = partial(_answer, result)
    if encoding == "list" and size < SMALL:
        # orjson writes null for what is not finite: in a small answer, looking for one is quicker than looking first.
        payload = orjson.dumps(tree(array_text.known), option=OPTIONS)
        if b"null" not in payload:
            return payload
    texts: list[list[bytes | memoryview]] = []

    def base64(array: NDArray[Any]) -> Any:
        data: Any = array_text.base64(array)
        if size < SMALL:
            data = data.decode()
        else:
            texts.append([b'"', data, b'"'])
            data = HOLE
        return {"dtype": NAMES[array.dtype], "shape": array.shape, "data": data}

    def lists(array: NDArray[Any]) -> Any:
        array = array_text.known(array)
        finite = np.isfinite(array)
        if finite.all():
            return array
        texts.append(array_text.with_strings(array, finite))
        return HOLE

    payload = orjson.dumps(tree(base64 if encoding == "base64" else lists), option=OPTIONS)
    return filled(payload, texts) if texts else payload


def filled(payload: bytes, texts: list[list[bytes | memoryview]]) -> bytes:
    """A payload with texts in its holes, in order: each is copied once."""
    rest = payload.split(MARK)
    parts: list[bytes | memoryview] = [rest[0]]
    for text, after in zip(texts, rest[1:], strict=True):
        parts += [*text, after]
    return b"".join(parts)


def _answer(result: LossResult, write: Callable[[NDArray[Any]], Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "loss": _number(result.loss) if result.loss.ndim == 0 else write(result.loss),
        "gradients": {
            name: write(gradient) if gradient.ndim else _number(gradient) for name, gradient in result.gradients.items()
        },
        **facts(result),
    }
    for name, extra in result.extras.items():
        answer[name] = _number(extra) if extra.ndim == 0 else write(extra)
    return answer


def _operation_answer(result: OperationResult, write: Callable[[NDArray[Any]], Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {**result.members}
    for (*path, name), array in result.tensors.items():
        place = answer
        for member in path:
            place = place.setdefault(member, {})
        place[name] = _number(array) if array.ndim == 0 else write(array)
    answer["dtype"] = result.dtype
    answer["warnings"] = result.warnings
    return answer


def _number(array: Any) -> Any:
    """A 0-d array in the fewest digits that read back to the same number of its type."""
    if array.dtype.kind in "iu":
        return int(array)
    value = float(array)
    if not math.isfinite(value):
        return number(value)
    if type(array) is np.float32:
        return array
    if array.dtype == np.float64:
        return value
    return np.float32(value)  # exact for the half types too, and orjson knows no scalar of theirs


def holds_booleans(body: bytes) -> bool:
    """Whether `true` or `false` stands anywhere in the body; only then are numbers told from booleans one by one.

    In a large body, a search for one byte is many times as fast as one for a word, and neither letter occurs in
    numbers.
    """
    if len(body) < 4096:
        return b"true" in body or b"false" in body
    return _holds(body, b"t", b"true") or _holds(body, b"f", b"false")


def _holds(body: bytes, letter: bytes, word: bytes) -> bool:
    at = body.find(letter)
    tries = 0
    while at >= 0:
        if body.startswith(word, at):
            return True
        tries += 1
        if tries > 1000:  # text, not numbers: base64, say
            return word in body
        at = body.find(letter, at + 1)
    return False


def malformed(detail: str) -> InvalidRequest:
    """What cannot be read at all."""
    return InvalidRequest([Fault("", detail, MALFORMED)])


def no_json(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Why a body is no JSON, in words."""
    if not body:
        return "the body is empty; a JSON object is needed"
    detail = f"the body is no JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    if any(word in body for word in (b"NaN", b"Infinity")):
        detail += '; JSON has no NaN and no Infinity: write them as strings, "NaN"'
    return detail


def check_depth(data: Any) -> None:
    """Nesting beyond the limit is malformed. Only asked of what is invalid: a valid request cannot be that deep."""
    level = [data]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            for inner in (item.values() if type(item) is dict else item)
            if type(inner) is list or type(inner) is dict
        ]
        if not level:
            return
    raise malformed(f"nested deeper than {MAX_DEPTH} levels")
