"""Operations over every form of requests and answers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from schemas.dtype import DTYPES, FLOATING, NAMES
from schemas.operation import Operation, OperationResult
from schemas.operations import OPERATIONS
from service.compute import Device, compute, open_device
from tests.asgi import InProcess, strict
from tests.binary import MEDIA_TYPE, Array, pack, unpack
from tests.contract.wires import NAMED, as_base64, as_lists, each_tensor, json_of
from tests.operations.cases import Request

CPU: Final = open_device("cpu")
WHOLE: Final = ("order", "classes", "counts")
"""Members of answers that hold whole numbers; so do steps."""


class Answer(NamedTuple):
    """An answer: its tensors by their paths, joined by dots, and all other members."""

    tensors: dict[str, Array]
    members: dict[str, Any]


def parsed(name: str, request: Request) -> Operation:
    """The checked request."""
    return OPERATIONS[name].model_validate(request)


def computed(name: str, request: Request, device: Device = CPU) -> OperationResult:
    """The result, computed right here."""
    (result,) = compute([parsed(name, request)], device)
    assert isinstance(result, OperationResult)
    return result


def told(result: OperationResult) -> Answer:
    """A result as answers tell it."""
    members = {**result.members, "dtype": result.dtype, "warnings": result.warnings}
    return Answer({".".join(path): array for path, array in result.tensors.items()}, members)


def bits(answer: Answer, *, lists: bool = False) -> Any:
    """All of an answer, so that equal means equal to the bit. `lists` end where a size is 0."""
    found = {}
    for name, array in answer.tensors.items():
        shape = array.shape[: array.shape.index(0) + 1] if lists and 0 in array.shape else array.shape
        found[name] = (NAMES[array.dtype], shape, array.tobytes())
    return found, answer.members


def list_body(name: str, request: Request) -> bytes:
    """JSON with nested lists."""
    return json_of({**each_tensor(request, as_lists), "dtype": parsed(name, request).checked.dtype})


def base64_body(_name: str, request: Request) -> bytes:
    """JSON with base64 objects, answered so."""
    return json_of({**each_tensor(request, as_base64), "encoding": "base64"})


def binary_body(_name: str, request: Request) -> bytes:
    """safetensors: tensors by their paths, the rest in `request`."""
    tensors: dict[str, Array] = {}
    members: dict[str, Any] = {}
    for member, value in request.items():
        if isinstance(value, np.ndarray):
            tensors[member] = value
        elif isinstance(value, dict) and value:
            tensors |= {f"{member}.{name}": array for name, array in value.items()}
        else:
            members[member] = value
    return pack(tensors, **members)


def from_json(cls: type[Operation], body: bytes) -> Answer:
    """A JSON answer."""
    answer = strict(body)
    members: dict[str, Any] = {name: answer.pop(name) for name in ("dtype", "warnings")}
    tensors: dict[str, Array] = {}
    for name, value in answer.items():
        if isinstance(value, dict) and value.keys() != {"dtype", "shape", "data"}:
            tensors |= {f"{name}.{inner}": _tensor(inner, it, members["dtype"]) for inner, it in value.items()}
            if not value:
                members[name] = {}
        else:
            tensors[name] = _tensor(name, value, members["dtype"])
    assert answer.keys() <= cls.answer.model_fields.keys()
    return Answer(tensors, members)


def _tensor(name: str, value: Any, dtype: str) -> Array:
    kind = DTYPES["int64"] if name in WHOLE or name.endswith(".step") else FLOATING[dtype]
    if isinstance(value, dict):
        assert DTYPES[value["dtype"]] == kind
        return np.frombuffer(base64.b64decode(value["data"], validate=True), kind).reshape(value["shape"])
    numbers = [NAMED.get(number, number) for number in np.array(value, object).reshape(-1).tolist()]
    return np.array(numbers, np.float64 if kind.kind != "i" else kind).astype(kind).reshape(np.shape(value))


def from_binary(_cls: type[Operation], body: bytes) -> Answer:
    """A safetensors answer."""
    tensors, metadata = unpack(body)
    assert list(metadata) == ["result"]
    return Answer(tensors, strict(metadata["result"]))


class Wire(NamedTuple):
    """How a request is written and its answer read."""

    write: Callable[[str, Request], bytes]
    media: str
    read: Callable[[type[Operation], bytes], Answer]
    accept: str
    lists: bool = False

    def send(self, client: InProcess, name: str, request: Request) -> Answer:
        """The answer to a request that must succeed."""
        cls = OPERATIONS[name]
        response = client.post(self.write(name, request), cls.path, content_type=self.media, accept=self.accept)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == self.accept
        return self.read(cls, response.content)


JSON: Final = "application/json"
WIRES: Final = {
    "JSON lists": Wire(list_body, JSON, from_json, JSON, lists=True),
    "JSON base64": Wire(base64_body, JSON, from_json, JSON),
    "safetensors": Wire(binary_body, MEDIA_TYPE, from_binary, MEDIA_TYPE),
    "JSON, answered in safetensors": Wire(list_body, JSON, from_binary, MEDIA_TYPE),
    "safetensors, answered in JSON": Wire(binary_body, MEDIA_TYPE, from_json, JSON, lists=True),
}
