"""Results of a batch call to bodies: answers and problems in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.bundle import BundleResult
from schemas.result import LossResult
from service.wire import array_text, json, safetensors
from service.wire.answer import facts
from service.wire.batch import Id

Problem = dict[str, Any]
Answered = tuple[LossResult, str] | Problem
"""A result and the encoding that its request asks for, or the problem in its place."""

PLACE: Final = "\x00"
"""Stands in a template where numbers will: no name and no warning holds it."""

JOINED: Final = 1 << 14
"""Bytes of a tensor below which its memory is copied next to its neighbours'."""


class Answers(NamedTuple):
    """What a call is answered with: by position, and for bundles with the positions of their requests."""

    ids: Sequence[Id | None]
    singles: Mapping[int, Answered]
    bundles: Sequence[tuple[Sequence[int], BundleResult]]


def encode_json(answers: Answers) -> list[bytes]:
    """`{"results": [...]}`; every answer is to the byte what it is alone, but for its id."""
    texts = [b""] * len(answers.ids)
    for at, answered in answers.singles.items():
        texts[at] = orjson.dumps(answered) if isinstance(answered, dict) else json.encode(*answered)
    for positions, result in answers.bundles:
        for at, text in zip(positions, bundle_texts(result), strict=True):
            texts[at] = text
    for at, found in enumerate(answers.ids):
        if found is not None:
            texts[at] = b'{"id":%b,%b' % (orjson.dumps(found), texts[at][1:])
    return [b'{"results":[' + b",".join(texts) + b"]}"]


def bundle_texts(result: BundleResult) -> list[bytes]:
    """The JSON of each result of a bundle: the numbers of all are written at once, and cut where a result ends."""
    bundle = result.bundle
    arrays = [result.loss, *result.gradients.values()]
    if bundle.first.encoding != "list" or not all(np.isfinite(array_text.known(array)).all() for array in arrays):
        return [json.encode(result.alone(at), bundle.first.encoding) for at in range(bundle.size)]
    columns = [_rows(array) for array in arrays]
    places = [_place(array) for array in arrays]
    # As json.encode has it, with a place for each column of numbers.
    told: dict[str, Any] = {"loss": places[0], "gradients": dict(zip(result.gradients, places[1:], strict=True))}
    told |= facts(result.alone(0))
    for name, numbers in (("divisor", result.divisor), ("count", bundle.count), ("ignored", bundle.ignored)):
        if (numbers != numbers[0]).any():
            told[name] = PLACE
            columns.append(_rows(numbers))
    template = orjson.dumps(told).replace(b"%", b"%%").replace(orjson.dumps(PLACE), b"%b")
    return [template % row for row in zip(*columns, strict=True)]


def _place(array: NDArray[Any]) -> Any:
    """What stands in a template for the rows of an array: the brackets around each, which `_rows` leaves out."""
    place: Any = PLACE
    for _ in range(array.ndim - 1):
        place = [place]
    return place


def _rows(array: NDArray[Any]) -> list[bytes]:
    """The JSON of each row of an array, all of whose numbers are finite, without the brackets around it."""
    depth = array.ndim - 1
    if not depth and array.dtype.itemsize < 8:
        array = array.astype(np.float32)  # as json.encode writes a single number
    text = orjson.dumps(np.ascontiguousarray(array_text.known(array)), option=json.OPTIONS)
    return text[1 + depth : len(text) - 1 - depth].split(b"]" * depth + b"," + b"[" * depth)


def encode_safetensors(answers: Answers) -> list[safetensors.Buffer]:
    """Tensors named by position, such as `0.loss` and `3.gradients.input`; all else in the text `result`."""
    tensors: dict[str, NDArray[Any]] = {}
    results: list[dict[str, Any]] = [{} if found is None else {"id": found} for found in answers.ids]
    for at, answered in answers.singles.items():
        if isinstance(answered, dict):
            results[at].update(answered)
        else:
            results[at].update(facts(answered[0]))
            tensors.update(safetensors.answer_tensors(answered[0], f"{at}."))
    for positions, bundled in answers.bundles:
        for i, at in enumerate(positions):
            alone = bundled.alone(i)
            results[at].update(facts(alone))
            tensors.update(safetensors.answer_tensors(alone, f"{at}."))
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
