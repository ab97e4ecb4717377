"""Batch calls in both forms, and the single calls that they must answer like."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.dtype import NAMES
from service.wire.safetensors import read, write
from tests.asgi import InProcess, strict
from tests.http.test_encodings import write as packed

PATH = "/v1/loss/batch"
SAFETENSORS = "application/vnd.safetensors"

Request = dict[str, Any]
Tensors = dict[str, NDArray[Any]]


def in_json(value: Any) -> Any:
    """A request, or a part of one, with its arrays as JSON writes them."""
    if isinstance(value, np.ndarray):
        return packed(value, NAMES[value.dtype])
    if isinstance(value, float) and math.isinf(value):
        return "Infinity"
    if isinstance(value, dict):
        return {name: in_json(inner) for name, inner in value.items()}
    return [in_json(inner) for inner in value] if isinstance(value, list) else value


def call(client: InProcess, requests: list[Any], **headers: str) -> httpx.Response:
    """A batch call in JSON."""
    return client.post(json.dumps({"requests": in_json(requests)}, allow_nan=False).encode(), PATH, **headers)


def results(client: InProcess, requests: list[Any]) -> list[Any]:
    """Its results, each of them sound JSON."""
    response = call(client, requests)
    assert response.status_code == 200, response.text
    found: list[Any] = strict(response.content)["results"]
    assert len(found) == len(requests)
    return found


def alone(client: InProcess, request: Any) -> Any:
    """What `POST /v1/loss` answers to it, an answer or a problem."""
    return strict(client.post(json.dumps(in_json(request), allow_nan=False).encode()).content)


def as_file(requests: list[Request]) -> bytes:
    """A batch call in safetensors: arrays of any depth out of the requests, the rest as text."""
    tensors: Tensors = {}
    rest = [_taken(request, f"{at}", tensors) for at, request in enumerate(requests)]
    return file(tensors, {"requests": rest})


def _taken(value: Any, name: str, tensors: Tensors) -> Any:
    if isinstance(value, dict):
        found = {key: _taken(inner, f"{name}.{key}", tensors) for key, inner in value.items()}
        return {key: inner for key, inner in found.items() if inner is not None}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        entries = [_taken(inner, f"{name}.{at}", tensors) for at, inner in enumerate(value)]
        return entries if any(entries) else None
    if isinstance(value, np.ndarray):
        tensors[name] = value
        return None
    return in_json(value)


def file(tensors: Tensors, request: Any) -> bytes:
    """A safetensors file with a JSON text among its metadata."""
    return b"".join(bytes(part) for part in write(tensors, {"request": orjson.dumps(request).decode()}))


def opened(content: bytes) -> tuple[Tensors, Any]:
    """The tensors of an answer in safetensors, and its JSON."""
    found = read(content, 1 << 20)
    return {name: tensor.array for name, tensor in found.tensors.items()}, json.loads(found.metadata["result"])
