"""safetensors bodies for tests: sound ones, forged ones, and a strict reader. None of it is the service's own code."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

MEDIA_TYPE = "application/vnd.safetensors"
TYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
CODES = {dtype: code for code, dtype in TYPES.items()}

Array = NDArray[Any]


def forge(header: Any, data: bytes = b"") -> bytes:
    """A body with that header (JSON, or bytes as they are), sound or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def pack(tensors: dict[str, Array], /, **members: Any) -> bytes:
    """A request: these tensors, and the other members in `request`."""
    header: dict[str, Any] = {"__metadata__": {"request": json.dumps(members, allow_nan=False)}}
    data = b""
    for name, array in tensors.items():
        raw = array.tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": CODES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    return forge(header, data)


def unpack(body: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and texts of a body, once it is seen to be sound."""
    start = 8 + int.from_bytes(body[:8], "little")
    header = json.loads(body[8:start])
    metadata: dict[str, str] = header.pop("__metadata__", {})
    tensors: dict[str, Array] = {}
    reached = 0
    for name, entry in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        begin, end = entry["data_offsets"]
        assert begin == reached, f"{name} overlaps or leaves a hole"
        reached = end
        tensors[name] = np.frombuffer(body[start + begin : start + end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    assert start + reached == len(body)
    return tensors, metadata
