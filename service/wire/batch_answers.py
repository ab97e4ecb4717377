"""Results of a batch call to bodies: answers and problems in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from numpy.typing import NDArray

from schemas.result import LossResult
from service.wire import json, safetensors
from service.wire.answer import facts
from service.wire.batch import Id

Problem = dict[str, Any]
Answered = tuple[LossResult, str] | Problem
"""A result and the encoding that its request asks for, or the problem in its place."""

JOINED: Final = 1 << 14
"""Bytes of a tensor below which its memory is copied next to its neighbours'."""


def encode_json(ids: Sequence[Id | None], answers: Sequence[Answered]) -> list[bytes]:
    """`{"results": [...]}`; every answer is to the byte what it is alone, but for its id."""
    texts = [orjson.dumps(answered) if isinstance(answered, dict) else json.encode(*answered) for answered in answers]
    for at, found in enumerate(ids):
        if found is not None:
            texts[at] = b'{"id":%b,%b' % (orjson.dumps(found), texts[at][1:])
    return [b'{"results":[', b",".join(texts), b"]}"]


def encode_safetensors(ids: Sequence[Id | None], answers: Sequence[Answered]) -> list[safetensors.Buffer]:
    """Tensors named by position, such as `0.loss` and `3.gradients.input`; all else in the text `result`."""
    tensors: dict[str, NDArray[Any]] = {}
    results: list[Mapping[str, Any]] = []
    for at, (found, answered) in enumerate(zip(ids, answers, strict=True)):
        own = {} if found is None else {"id": found}
        if isinstance(answered, dict):
            results.append({**own, **answered})
        else:
            results.append({**own, **facts(answered[0])})
            tensors.update(safetensors.answer_tensors(answered[0], f"{at}."))
    parts = safetensors.write(tensors, {"result": orjson.dumps({"results": results}).decode()})
    return _joined(parts)


def _joined(parts: list[safetensors.Buffer]) -> list[safetensors.Buffer]:
    """The same bytes in fewer parts: small neighbours in one."""
    found: list[safetensors.Buffer] = []
    small: list[safetensors.Buffer] = []
    for part in parts:
        if len(part) < JOINED:
            small.append(part)
            continue
        found += [b"".join(small), part]
        small = []
    if small:
        found.append(b"".join(small))
    return [part for part in found if len(part)]
