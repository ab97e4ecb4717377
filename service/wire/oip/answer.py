"""Results to bodies of inference responses."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.oip_tensors import CODES, GRADIENT
from schemas.result import LossResult
from service.wire import array_text
from service.wire.answer import facts
from service.wire.json import HOLE, OPTIONS, SMALL, filled
from service.wire.oip.envelope import VERSION
from service.wire.oip.request import Buffer, Call
from service.wire.safetensors import memory


def encode(result: LossResult, call: Call) -> tuple[list[Buffer], int | None]:
    """The body of a result, in parts, and the size of its JSON in bytes: `None` where nothing follows it.

    What is binary is the tensors' own memory; it starts at a multiple of 8 bytes.
    """
    arrays = _arrays(result)
    wanted = [(one.name, one.binary) for one in call.outputs] or [(name, call.binary) for name in arrays]
    binary = [arrays[name] for name, as_binary in wanted if as_binary]
    size = sum([arrays[name].nbytes for name, as_binary in wanted if not as_binary])
    text = _dumps(result, call, wanted, arrays, small=size < SMALL)
    if not binary:
        return [text], None
    text += b" " * (-len(text) % 8)
    return [text, *(memory(array) for array in binary if array.nbytes)], len(text)


def _arrays(result: LossResult) -> dict[str, NDArray[Any]]:
    """Every output by name."""
    found = {"loss": np.asarray(result.loss)}
    for name, gradient in result.gradients.items():
        found[GRADIENT + name] = gradient
    found.update(result.extras)
    return found


def _dumps(
    result: LossResult,
    call: Call,
    wanted: list[tuple[str, bool]],
    arrays: dict[str, NDArray[Any]],
    *,
    small: bool,
) -> bytes:
    outputs: list[dict[str, Any]] = []
    texts: list[list[bytes | memoryview]] = []
    for name, as_binary in wanted:
        array = arrays[name]
        entry: dict[str, Any] = {"name": name, "datatype": CODES[array.dtype], "shape": array.shape}
        if as_binary:
            entry["parameters"] = {"binary_data_size": array.nbytes}
        else:
            entry["data"] = _numbers(array.reshape(-1), small, texts)
        outputs.append(entry)
    answer: dict[str, Any] = {
        "model_name": call.request.name,
        "model_version": VERSION,
        "parameters": _parameters(result),
        "outputs": outputs,
    }
    if call.id is not None:
        answer["id"] = call.id
    text = orjson.dumps(answer, option=OPTIONS)
    if small and b"null" in text:
        return _dumps(result, call, wanted, arrays, small=False)
    return filled(text, texts) if texts else text


def _numbers(array: NDArray[Any], small: bool, texts: list[list[bytes | memoryview]]) -> Any:
    """What orjson is to write for a flat array, or a hole for its text.

    orjson writes null for what is not finite: in a small answer, that is looked for when it is written.
    """
    array = array_text.known(array)
    if small:
        return array
    finite = np.isfinite(array)
    if finite.all():
        return array
    texts.append(array_text.with_strings(array, finite))
    return HOLE


def _parameters(result: LossResult) -> dict[str, Any]:
    """All of an answer but its tensors, in scalars: parameters are nothing else."""
    told = facts(result)
    for listed in ("warnings", "terms"):
        if listed in told:
            told[listed] = orjson.dumps(told[listed]).decode()
    if told["divisor"] is None:
        del told["divisor"]
    return told
