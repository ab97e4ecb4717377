"""Safetensors bodies: the eight-byte length of a JSON header, the header, and the tensors' bytes in its order."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.http.cases import Answer, Problem

TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
NAMES = {dtype: name for name, dtype in TYPES.items()}


def write(tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str]) -> bytes:
    """Tensors of eight-byte elements first, and a header padded to eight bytes: every tensor then lies aligned."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    parts: list[bytes] = []
    offset = 0
    for name, array in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        parts.append(array.tobytes())
        end = offset + len(parts[-1])
        header[name] = {"dtype": NAMES[array.dtype], "shape": array.shape, "data_offsets": [offset, end]}
        offset = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(parts)


def read(body: bytes) -> dict[str, NDArray[np.generic]]:
    """The tensors by name; a body that is no safetensors fails in one way or another."""
    (length,) = struct.unpack_from("<Q", body)
    header: dict[str, dict[str, Any]] = json.loads(body[8 : 8 + length])
    data = memoryview(body)[8 + length :]
    found: dict[str, NDArray[np.generic]] = {}
    for name, about in header.items():
        if name != "__metadata__":
            begin, end = about["data_offsets"]
            flat: NDArray[np.generic] = np.frombuffer(data[begin:end], TYPES[about["dtype"]])
            found[name] = flat.reshape(about["shape"])
    return found


def _tensors(asked: Problem, prefix: str = "") -> dict[str, NDArray[np.generic]]:
    return {f"{prefix}input": asked.input, f"{prefix}target": asked.target}


def loss(call: Sequence[Problem]) -> bytes:
    (asked,) = call
    return write(_tensors(asked), {"request": json.dumps({"loss": asked.loss, **asked.options})})


def batch(call: Sequence[Problem]) -> bytes:
    tensors: dict[str, NDArray[np.generic]] = {}
    for index, asked in enumerate(call):
        tensors |= _tensors(asked, f"{index}.")
    members = [{"loss": asked.loss, **asked.options} for asked in call]
    return write(tensors, {"request": json.dumps({"requests": members})})


def _answer(tensors: Mapping[str, NDArray[np.generic]], prefix: str = "") -> Answer:
    gradient = tensors[f"{prefix}gradients.input"].astype(np.float32)
    return Answer(float(tensors[f"{prefix}loss"].astype(np.float32)), gradient)


def answer(body: bytes) -> list[Answer]:
    return [_answer(read(body))]


def answers(body: bytes) -> list[Answer]:
    tensors = read(body)
    return [_answer(tensors, f"{index}.") for index in range(sum(name.endswith(".loss") for name in tensors))]
