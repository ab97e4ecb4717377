"""Inference requests and responses of the Open Inference Protocol, to and from NumPy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from schemas.losses import LOSSES
from tests.asgi import InProcess, pointers, problem_of, strict

Array = NDArray[Any]

DATATYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
}
NUMBERS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


def datatype(array: Array) -> str:
    """The protocol's name of an array's type."""
    return next(name for name, dtype in DATATYPES.items() if array.dtype == dtype)


def numbers(array: Array) -> Any:
    """A flat or nested list as JSON has it."""
    if array.dtype.kind in "iub":
        return array.tolist()
    wide = array.astype(np.float64)
    if wide.ndim:
        return [numbers(row) for row in wide]
    found = float(wide)
    return found if np.isfinite(found) else "NaN" if np.isnan(found) else "Infinity" if found > 0 else "-Infinity"


def tensors(request: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors of a request for a loss by their inputs' names, and all else of it."""
    known = {*LOSSES[request["loss"]].tensor_fields, "cotangent", "cotangents"}
    found: dict[str, Array] = {}
    rest: dict[str, Any] = {}
    for name, value in request.items():
        if name == "tail":
            for at, cluster in enumerate(value):
                found |= {f"tail.{at}.{part}": np.asarray(tensor) for part, tensor in cluster.items()}
        elif name == "tensors":
            found |= {f"tensors.{one}": np.asarray(tensor) for one, tensor in value.items()}
        elif name in known:
            found[name] = np.asarray(value)
        elif name != "loss":
            rest[name] = value
    return found, rest


def of_json(name: str, array: Array, *, nested: bool = False) -> dict[str, Any]:
    """An input whose data are JSON."""
    data = numbers(array if nested else array.reshape(-1))
    return {"name": name, "shape": list(array.shape), "datatype": datatype(array), "data": data}


def of_binary(name: str, array: Array) -> dict[str, Any]:
    """An input whose data are behind the JSON."""
    size = {"binary_data_size": array.nbytes}
    return {"name": name, "shape": list(array.shape), "datatype": datatype(array), "parameters": size}


@dataclass
class Answer:
    """What an inference response says."""

    outputs: dict[str, Array]
    parameters: dict[str, Any]
    document: dict[str, Any]


def answer_of(response: httpx.Response) -> Answer:
    """The outputs of a response that must be one."""
    assert response.status_code == 200, response.text
    told = response.headers.get("inference-header-content-length")
    assert response.headers["content-type"] == ("application/json" if told is None else "application/octet-stream")
    size = len(response.content) if told is None else int(told)
    document = strict(response.content[:size])
    rest = response.content[size:]
    outputs = {}
    for entry in document["outputs"]:
        dtype = DATATYPES[entry["datatype"]]
        length = entry.get("parameters", {}).get("binary_data_size")
        if length is None:
            flat = np.array([NUMBERS.get(number, number) for number in entry["data"]], np.float64).astype(dtype)
        else:
            flat, rest = np.frombuffer(rest[:length], dtype), rest[length:]
        outputs[entry["name"]] = flat.reshape(entry["shape"])
    assert rest == b""
    return Answer(outputs, document["parameters"], document)


def post(client: InProcess, loss: str, document: Any, *binary: Array, **headers: str) -> httpx.Response:
    """Send an inference request, with the data of its binary inputs behind it."""
    text = json.dumps(document, allow_nan=False).encode()
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if binary:
        told["inference-header-content-length"] = str(len(text))
    body = text + b"".join(array.tobytes() for array in binary)
    return client.request("POST", f"/v2/models/{loss}/infer", content=body, headers=told)


def infer(client: InProcess, loss: str, document: Any, *binary: Array) -> Answer:
    """The answer to an inference request that must succeed."""
    return answer_of(post(client, loss, document, *binary))


def refused(client: InProcess, status: int, loss: str, document: Any, *binary: Array) -> dict[str, Any]:
    """The problem document of one that must not; it bears an `error` too."""
    problem = problem_of(post(client, loss, document, *binary), status)
    assert problem["error"] == problem["detail"]
    return problem


def faults(client: InProcess, loss: str, document: Any, *binary: Array) -> dict[str, str]:
    """What a 422 lists, by JSON pointer."""
    return pointers(refused(client, 422, loss, document, *binary))
