"""Every way in which a request can be sent and its answer read. A further one is one more `Wire` in `WIRES`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from typer.testing import CliRunner

from schemas.dtype import FLOATING, NAMES, is_floating
from schemas.result import LossResult
from service import cli
from tests.asgi import InProcess, strict
from tests.binary import MEDIA_TYPE, Array, pack, unpack
from tests.contract.answers import Request, parse
from tests.oip import speaking as oip

JSON: Final = "application/json"
NAMED: Final = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
FACTS: Final = ("reduction", "divisor", "count", "ignored", "dtype", "warnings")


class Answer(NamedTuple):
    """All that an answer holds: `loss`, `gradients.<name>` and what else a loss answers; and what is told of them."""

    tensors: dict[str, Array]
    facts: dict[str, Any]


class Wire(NamedTuple):
    """A way to send a request and read its answer. `lists`: nested lists, which end where a size is 0."""

    name: str
    send: Callable[[InProcess, Request], Answer]
    lists: bool = False


def computed(result: LossResult) -> Answer:
    """What a wire should bring, of a result computed right here."""
    gradients = {f"gradients.{name}": gradient for name, gradient in result.gradients.items()}
    facts = {name: getattr(result, name) for name in FACTS}
    if result.terms is not None:
        facts["terms"] = [each_number(term._asdict()) for term in result.terms]
    return Answer({"loss": result.loss, **gradients, **result.extras}, facts)


def bits(answer: Answer, *, lists: bool = False) -> Any:
    """All of an answer, so that equal means equal to the bit; but any NaN is as good as another."""
    told = {}
    for name, array in answer.tensors.items():
        shape = array.shape[: array.shape.index(0) + 1] if lists and 0 in array.shape else array.shape
        same = np.where(np.isnan(array), array.dtype.type(np.nan), array)
        told[name] = (NAMES[array.dtype], shape, same.tobytes())
    divisor = answer.facts["divisor"]
    return told, {**answer.facts, "divisor": None if divisor is None else float(NAMED.get(divisor, divisor)).hex()}


# Requests.


def each_tensor(value: Any, write: Callable[[Array], Any]) -> Any:
    """A request's members with every array written in some form."""
    if isinstance(value, np.ndarray):
        return write(value)
    if isinstance(value, dict):
        return {name: each_tensor(inner, write) for name, inner in value.items()}
    return [each_tensor(inner, write) for inner in value] if isinstance(value, list) else value


def json_of(value: Any) -> bytes:
    """A JSON body; what JSON has no numbers for, as strings."""
    return json.dumps(each_number(value), allow_nan=False).encode()


def each_number(value: Any) -> Any:
    """The same value, with strings for what is not finite."""
    if isinstance(value, dict):
        return {name: each_number(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [each_number(inner) for inner in value]
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def flat(array: Array) -> list[Any]:
    """All numbers of an array: every floating type as a float64 holds it, booleans as 0 and 1."""
    wide = np.float64 if is_floating(array.dtype) else np.int64 if array.dtype == np.bool_ else array.dtype
    numbers: list[Any] = array.astype(wide).reshape(-1).tolist()
    return numbers


def as_lists(array: Array) -> Any:
    """Nested lists, or a flat one with its shape where nested lists would lose a size."""
    if 0 in array.shape[:-1]:
        return {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data": []}
    return np.array(flat(array), object).reshape(array.shape).tolist()


def as_base64(array: Array) -> Any:
    """An object with the array's bytes."""
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data": data}


def list_body(request: Request) -> bytes:
    """The request as nested lists, which need to be told the type that arrays had."""
    return json_of({**each_tensor(request, as_lists), "dtype": parse(request).checked.dtype})


def base64_body(request: Request) -> bytes:
    """The request as base64 objects, which asks for the same."""
    return json_of({**each_tensor(request, as_base64), "encoding": "base64"})


def binary_body(request: Request) -> bytes:
    """The request as safetensors: all arrays as tensors, the rest in `request`."""
    members = each_number(request)
    tensors = {name: members.pop(name) for name, value in request.items() if isinstance(value, np.ndarray)}
    for at, cluster in enumerate(members.get("tail", [])):
        for name in [name for name, value in cluster.items() if isinstance(value, np.ndarray)]:
            tensors[f"tail.{at}.{name}"] = cluster.pop(name)
    for name in [name for name, value in members.get("tensors", {}).items() if isinstance(value, np.ndarray)]:
        tensors[f"tensors.{name}"] = members["tensors"].pop(name)
    if members.get("tensors") == {}:
        del members["tensors"]
    return pack(tensors, **members)


# Answers.


def tensor_of(value: Any, dtype: str) -> Array:
    """A tensor of a JSON answer."""
    if isinstance(value, dict):
        assert value["dtype"] == dtype
        raw = base64.b64decode(value["data"], validate=True)
        return np.frombuffer(raw, FLOATING[dtype]).reshape(value["shape"])
    shape = np.shape(value)
    numbers = np.array(value, object).reshape(-1).tolist()
    return (
        np.array([NAMED.get(number, number) for number in numbers], np.float64).astype(FLOATING[dtype]).reshape(shape)
    )


def from_json(body: bytes) -> Answer:
    """A JSON answer."""
    answer = strict(body)
    facts = {name: answer.pop(name) for name in (*FACTS, "terms") if name in answer}
    tensors = {f"gradients.{name}": value for name, value in answer.pop("gradients").items()} | answer
    return Answer({name: tensor_of(value, facts["dtype"]) for name, value in tensors.items()}, facts)


def from_binary(body: bytes) -> Answer:
    """A safetensors answer."""
    tensors, metadata = unpack(body)
    assert list(metadata) == ["result"]
    return Answer(tensors, strict(metadata["result"]))


# The wires.


def over_http(
    write: Callable[[Request], bytes],
    read: Callable[[bytes], Answer],
    media: str = "application/json",
    accept: str = "",
) -> Callable[[InProcess, Request], Answer]:
    """A request in one form, and its answer in the same or another."""

    def send(client: InProcess, request: Request) -> Answer:
        response = client.post(write(request), content_type=media, accept=accept or media)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == (accept or media)
        return read(response.content)

    return send


def by_command(_client: InProcess, request: Request) -> Answer:
    """What `gradwire loss` does, in this process."""
    done = CliRunner().invoke(cli.app, ["loss", "-", "--device", "cpu"], input=base64_body(request))
    assert done.exit_code == 0, done.stderr
    return from_json(done.stdout_bytes)


def in_batch(
    media: str, join: Callable[[list[Request]], bytes], split: Callable[[bytes, int], Answer]
) -> Callable[[InProcess, Request], Answer]:
    """The request amid a batch call: behind one that is refused, and before one that is like it."""

    def send(client: InProcess, request: Request) -> Answer:
        body = join([{"loss": "mse_loss"}, request, request])
        response = client.post(body, "/v1/loss/batch", content_type=media)
        assert response.status_code == 200, response.text
        return split(response.content, 1)

    return send


def batch_body(requests: list[Request]) -> bytes:
    """A batch call in JSON."""
    return b'{"requests": [' + b", ".join([base64_body(request) for request in requests]) + b"]}"


def from_batch(body: bytes, at: int) -> Answer:
    """One result of a batch call in JSON."""
    return from_json(json.dumps(strict(body)["results"][at]).encode())


def binary_batch_body(requests: list[Request]) -> bytes:
    """A batch call in safetensors."""
    tensors: dict[str, Array] = {}
    rest = []
    for at, request in enumerate(requests):
        own, metadata = unpack(binary_body(request))
        tensors |= {f"{at}.{name}": array for name, array in own.items()}
        rest.append(strict(metadata["request"]))
    return pack(tensors, requests=rest)


def from_binary_batch(body: bytes, at: int) -> Answer:
    """One result of a batch call in safetensors."""
    tensors, metadata = unpack(body)
    own = {name.partition(".")[2]: array for name, array in tensors.items() if name.startswith(f"{at}.")}
    return Answer(own, strict(metadata["result"])["results"][at])


def by_inference(*, binary: bool) -> Callable[[InProcess, Request], Answer]:
    """The request by the Open Inference Protocol, all its tensors in JSON or all binary, and its answer alike."""

    def send(client: InProcess, request: Request) -> Answer:
        tensors, rest = oip.tensors(request)
        inputs = [(oip.of_binary if binary else oip.of_json)(name, array) for name, array in tensors.items()]
        parameters = {**each_number(rest), "binary_data_output": binary}
        document = {"inputs": inputs, "parameters": parameters}
        answer = oip.infer(client, request["loss"], document, *(tensors.values() if binary else ()))
        facts = {name: answer.parameters.get(name) for name in FACTS}
        told = answer.parameters
        texts: dict[str, Any] = {name: strict(told[name]) for name in ("warnings", "terms") if name in told}
        return Answer(answer.outputs, {**facts, **texts})

    return send


WIRES: Final = (
    Wire("JSON lists", over_http(list_body, from_json), lists=True),
    Wire("JSON base64", over_http(base64_body, from_json)),
    Wire("safetensors", over_http(binary_body, from_binary, MEDIA_TYPE)),
    Wire("JSON, answered in safetensors", over_http(list_body, from_binary, accept=MEDIA_TYPE)),
    Wire(
        "safetensors, answered in JSON", over_http(binary_body, from_json, MEDIA_TYPE, "application/json"), lists=True
    ),
    Wire("Open Inference Protocol, JSON", by_inference(binary=False)),
    Wire("Open Inference Protocol, binary", by_inference(binary=True)),
    Wire("batch call, JSON", in_batch(JSON, batch_body, from_batch)),
    Wire("batch call, safetensors", in_batch(MEDIA_TYPE, binary_batch_body, from_binary_batch)),
    Wire("gradwire loss", by_command),
)
