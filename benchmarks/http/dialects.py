"""The bytes that servers are sent and that they answer, one record a body form and API."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.http import safetensors
from benchmarks.http.cases import Answer, Problem


@dataclass(frozen=True)
class Dialect:
    """How a server is asked in one body form. `path` may hold `{answer_bytes}`, the length of Gradwire's own answer.

    `encode` and `decode` take all losses of a call. Without `decode` only the length of the answer is checked.
    """

    path: str
    headers: dict[str, str]
    encode: Callable[[Sequence[Problem]], bytes]
    decode: Callable[[bytes], list[Answer]] | None


def numbers(array: NDArray[np.generic]) -> str:
    """A JSON list. NumPy writes a float32 with the fewest digits that read back the same; float() makes it 17."""
    if array.ndim > 1:
        return f"[{','.join(numbers(row) for row in array)}]"
    return f"[{','.join(str(number) for number in array)}]"


def _members(asked: Problem) -> str:
    named = {"loss": asked.loss, **asked.options}
    return f'{json.dumps(named)[:-1]},"input":{numbers(asked.input)},"target":{numbers(asked.target)}}}'


def loss_json(call: Sequence[Problem]) -> bytes:
    (asked,) = call
    return _members(asked).encode()


def batch_json(call: Sequence[Problem]) -> bytes:
    return f'{{"requests":[{",".join(_members(asked) for asked in call)}]}}'.encode()


def _answer(members: dict[str, Any]) -> Answer:
    return Answer(members["loss"], np.array(members["gradients"]["input"], dtype=np.float32))


def answer_json(body: bytes) -> list[Answer]:
    return [_answer(json.loads(body))]


def answers_json(body: bytes) -> list[Answer]:
    return [_answer(members) for members in json.loads(body)["results"]]


JSON = {"Content-Type": "application/json"}
SAFETENSORS = {"Content-Type": "application/vnd.safetensors"}
LOSS_JSON = Dialect("/v1/loss", JSON, loss_json, answer_json)

LOSS = {
    "json": LOSS_JSON,
    "binary": Dialect("/v1/loss", SAFETENSORS, safetensors.loss, safetensors.answer),
    "json batch": Dialect("/v1/loss/batch", JSON, batch_json, answers_json),
    "binary batch": Dialect("/v1/loss/batch", SAFETENSORS, safetensors.batch, safetensors.answers),
    "mixed json": LOSS_JSON,
}
NAIVE = {"json": LOSS_JSON, "mixed json": replace(LOSS_JSON, path="/v1/any-loss")}
ECHO = {form: replace(dialect, path="/{answer_bytes}", decode=None) for form, dialect in LOSS.items()}
