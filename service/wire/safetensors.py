"""safetensors: request bodies to checked requests, without a copy of their tensors; results to bodies.

The format (https://github.com/huggingface/safetensors, "Format"): 8 bytes, the size of the header as a little-endian
integer; the header, a JSON object of names with `dtype`, `shape` and `data_offsets`, and of texts in `__metadata__`;
then the data, row-major and little-endian, without overlaps and without holes.

A request's tensors bear its members' names, and all its other members are one JSON object in the text `request` of
`__metadata__`. An answer has the tensors `loss` and `gradients.<name>`, and all else as JSON in the text `result`.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.dtype import BFLOAT16, DTYPES
from schemas.nested import MAX_DIMS
from schemas.operation import OperationResult
from schemas.problem import INVALID, MALFORMED, TOO_LARGE, UNSUPPORTED, Fault, InvalidRequest, pointer
from schemas.result import LossResult
from schemas.tensor import MAX_TENSORS, Reading, Tensor
from service.wire.answer import facts
from service.wire.members import R, place, validate

MEDIA_TYPE: Final = "application/vnd.safetensors"
MAX_HEADER: Final = 8 << 20
"""Bytes of a header: a batch call of 1,024 losses with long options needs less."""
CACHED_HEADER: Final = 4096
"""Bytes up to which a header, once read, is remembered: callers send the same one again and again."""
CACHED_CALL: Final = 1 << 18
"""Bytes up to which a few headers are remembered too: that of a batch call of 256 losses has some 50,000."""

Buffer = bytes | bytearray | memoryview

TYPES: Final[dict[str, str]] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Our types by the names of the format."""
MEMBERS: Final = {"dtype", "shape", "data_offsets"}
"""What a tensor's entry in a header has."""
CODES: Final[dict[np.dtype, str]] = {DTYPES[name]: code for code, name in TYPES.items()}


class Entry(NamedTuple):
    """A tensor of a file: `begin` is counted from the start of the data."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    elements: int


class Header(NamedTuple):
    """What a header says, once it is found sound: `size` is that of the data, in bytes."""

    entries: tuple[Entry, ...]
    metadata: dict[str, str]
    size: int


class File(NamedTuple):
    """A file: its tensors by name, views of the body where that can be, and its texts."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def decode(body: Buffer, cls: type[R] | None, *, max_elements: int) -> R:
    """The checked request in a body: of class `cls`, or of the loss that its `loss` names.

    Raises `InvalidRequest`, with status 400 faults where the body is no sound file, 415 for a dtype that is not served.
    """
    file = read(body, MAX_TENSORS if cls is None else cls.max_tensors)
    members = request_of(file)
    faults: list[Fault] = []
    for name, tensor in file.tensors.items():
        place(members, name, tensor, faults, cls)
    try:
        request = validate(members, cls, Reading(plain=False, max_elements=max_elements))
    except InvalidRequest as error:
        raise InvalidRequest(faults + error.faults, error.loss) from None
    if faults:
        raise InvalidRequest(faults)
    return request


def request_of(file: File) -> dict[str, Any]:
    """The JSON object in the text `request`; without one, an empty object."""
    text = file.metadata.get("request")
    if text is None:
        return {}
    try:
        members = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _malformed(f"the text request in __metadata__ is no JSON: {error.msg}") from None
    if type(members) is not dict:
        raise _malformed("the text request in __metadata__ is no JSON object")
    return members


def header(body: Buffer) -> memoryview:
    """The header's bytes, as many as there are."""
    return memoryview(body)[8 : 8 + int.from_bytes(body[:8], "little")]


def read(body: Buffer, max_tensors: int) -> File:
    """The tensors and texts of a file. Raises `InvalidRequest` where it is not sound."""
    total = len(body)
    if total < 8:
        raise _malformed("the body is no safetensors: it ends before its header")
    start = 8 + int.from_bytes(body[:8], "little")
    if start > total:
        raise _malformed(f"the body is no safetensors: a header of {start - 8} bytes does not fit in {total}")
    if start - 8 > MAX_HEADER:
        raise _malformed(f"the header has {start - 8} bytes; the limit is {MAX_HEADER}")
    text = bytes(body[8:start])
    size = len(text)
    found = (_remembered if size <= CACHED_HEADER else _few if size <= CACHED_CALL else _parse)(text)
    if found.size != total - start:
        raise _malformed(f"the data has {total - start} bytes, the header speaks of {found.size}")
    if len(found.entries) > max_tensors:
        raise InvalidRequest([Fault("", f"{len(found.entries)} tensors; at most {max_tensors} are taken", INVALID)])
    return File({entry.name: _tensor(body, entry, start) for entry in found.entries}, found.metadata)


def _tensor(body: Buffer, entry: Entry, start: int) -> Tensor:
    """A view of the body; copied only where it does not lie as its type needs, or holds booleans."""
    array: NDArray[Any]
    if entry.dtype.kind == "b":
        # Any byte other than 0 and 1 is undefined behaviour as a C bool.
        array = np.frombuffer(body, np.uint8, entry.elements, start + entry.begin) != 0
    else:
        array = np.frombuffer(body, entry.dtype, entry.elements, start + entry.begin)
        if not array.flags.aligned:
            array = array.copy()
    return Tensor(array.reshape(entry.shape), typed=True)


def _parse(text: bytes) -> Header:
    try:
        # The standard library's reader shows members that are named twice.
        found = json.loads(text.decode(), object_pairs_hook=_unique)
        if b"\\u" in text:
            orjson.loads(text)  # refuses half a surrogate pair: no answer could tell of such a name
    except (json.JSONDecodeError, UnicodeDecodeError, _Twice) as error:
        raise _malformed(f"the header is no sound JSON: {error}") from None
    except RecursionError:
        raise _malformed("the header is nested too deep") from None
    except ValueError:  # Python's own limit, in its own words
        raise _malformed("the header has a number of too many digits") from None
    if type(found) is not dict:
        raise _malformed("the header is no JSON object")
    metadata = found.pop("__metadata__", {})
    if type(metadata) is not dict or any(type(value) is not str for value in metadata.values()):
        raise _malformed("__metadata__ is no object of texts")
    entries = [_entry(name, entry) for name, entry in found.items()]
    end = 0
    for entry in sorted(entries, key=lambda one: (one.begin, one.elements)):
        if entry.begin != end:
            fault = "overlaps the one before it" if entry.begin < end else "leaves a hole before it"
            raise _malformed(f"tensor {_shown(entry.name)} {fault}")
        end = entry.begin + entry.elements * entry.dtype.itemsize
    return Header(tuple(entries), metadata, end)


_remembered = lru_cache(maxsize=1024)(_parse)
_few = lru_cache(maxsize=16)(_parse)


class _Twice(Exception):
    """A name that an object has twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Twice(f"{_shown(name)} is there twice")
            seen.add(name)
    return found


def _entry(name: str, entry: Any) -> Entry:
    """One tensor of the header."""
    if type(entry) is not dict or entry.keys() != MEMBERS:
        raise _malformed(f"tensor {_shown(name)}: dtype, shape and data_offsets are needed, and nothing else")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if type(code) is not str or code not in TYPES:
        known = ", ".join(TYPES)
        detail = f"dtype {_shown(code)} is not served; these are: {known}"
        raise InvalidRequest([Fault(pointer(name, "dtype"), detail, UNSUPPORTED)])
    if not _are_sizes(shape):
        raise _malformed(f"tensor {_shown(name)}: shape is no list of sizes")
    if len(shape) > MAX_DIMS:
        raise InvalidRequest([Fault(pointer(name), f"a tensor has at most {MAX_DIMS} dims", INVALID)])
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise _malformed(f"tensor {_shown(name)}: data_offsets are no two positions")
    dtype = DTYPES[TYPES[code]]
    count = math.prod(shape)
    begin, end = offsets
    if end - begin != count * dtype.itemsize:
        told = f"data_offsets span {end - begin} bytes, the shape needs {count * dtype.itemsize}"
        raise _malformed(f"tensor {_shown(name)}: {told}")
    if not count and math.prod(max(size, 1) for size in shape) >= 2**31:
        raise InvalidRequest([Fault(pointer(name, "shape"), "the shape is beyond every limit", TOO_LARGE)])
    return Entry(name, dtype, tuple(shape), begin, count)


def _are_sizes(values: Any) -> bool:
    if type(values) is not list:
        return False
    for value in values:  # noqa: SIM110 - a generator would take twice as long
        if type(value) is not int or not 0 <= value < 2**48:
            return False
    return True


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def encode(result: LossResult | OperationResult) -> list[Buffer]:
    """The body of a result, in parts: the header, then the tensors' own memory."""
    if isinstance(result, OperationResult):
        told = {**result.members, "dtype": result.dtype, "warnings": result.warnings}
        tensors = {".".join(path): array for path, array in result.tensors.items()}
        return write(tensors, {"result": orjson.dumps(told).decode()})
    return write(answer_tensors(result), {"result": orjson.dumps(facts(result)).decode()})


def answer_tensors(result: LossResult, prefix: str = "") -> dict[str, NDArray[Any]]:
    """The tensors of an answer by name: gradients first, since they are large and want to lie even."""
    found = {f"{prefix}gradients.{name}": gradient for name, gradient in result.gradients.items()}
    found[f"{prefix}loss"] = result.loss
    for name, extra in result.extras.items():
        found[prefix + name] = extra
    return found


def write(tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> list[Buffer]:
    """A file in parts: its head, padded so that the data starts at a multiple of 8 bytes, and each tensor's memory."""
    header: dict[str, Any] = {"__metadata__": metadata}
    parts: list[Buffer] = [b""]
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": CODES[array.dtype], "shape": array.shape, "data_offsets": (begin, end)}
        if array.nbytes:
            parts.append(memory(array))
    text = orjson.dumps(header)
    text += b" " * (-len(text) % 8)
    parts[0] = len(text).to_bytes(8, "little") + text
    return parts


def memory(array: NDArray[Any]) -> memoryview:
    """The array's own bytes, row-major."""
    array = np.ascontiguousarray(array)
    if array.dtype == BFLOAT16:  # which is no format of the buffer protocol
        array = array.view(np.uint16)
    return array.reshape(-1).data.cast("B")


def _malformed(detail: str) -> InvalidRequest:
    return InvalidRequest([Fault("", detail, MALFORMED)])
