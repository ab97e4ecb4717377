"""One request computed as a POST of it would be: through the JSON form, alone, on the CPU."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.request import LossRequest
from schemas.result import LossResult
from schemas.vectors.drawing import Drawing
from service.compute import compute, open_device
from service.wire import json

MAX_ELEMENTS: Final = 1 << 16
"""Far more than any vector needs."""
MOVE: Final = 2.0**-33
"""How far predictions are moved to see whether an answer jumps there: far above float64's own rounding."""
JUMP: Final = 1e-6
"""A part of the largest number by which an answer may change then; where a slope jumps, it changes by far more."""
LEAST: Final = 1e-9

Array = NDArray[Any]


class Answered(NamedTuple):
    """A request and its result."""

    request: LossRequest
    result: LossResult

    def numbers(self) -> dict[str, Array]:
        """All that is answered in numbers, by name."""
        found = {"loss": self.result.loss, **self.result.extras}
        found |= {f"gradients.{name}": gradient for name, gradient in self.result.gradients.items()}
        return {name: np.asarray(array, np.float64) for name, array in found.items()}

    def finite(self) -> bool:
        """Whether all of it is finite."""
        return all(bool(np.isfinite(array).all()) for array in self.numbers().values())


def jsoned(members: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Members as JSON has them; a tensor without elements is told with its shape, which lists cannot hold.

    Lists hold no booleans: a mask is 0 and 1.
    """

    def told(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if value.size or value.shape == (0,):
                return (value.astype(np.int64) if value.dtype.kind == "b" else value).tolist()
            kind = {"f": dtype, "b": "bool"}.get(value.dtype.kind, "int64")
            return {"dtype": kind, "shape": list(value.shape), "data": []}
        if isinstance(value, dict):
            return {name: told(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [told(inner) for inner in value]
        return value

    return {**told(members), "dtype": dtype}


def answer(members: dict[str, Any]) -> Answered:
    """The answer to a request. Raises `InvalidRequest`."""
    request = json.decode(orjson.dumps(members), None, max_elements=MAX_ELEMENTS)
    return Answered(request, compute([request], open_device("cpu"))[0])


def jumps(members: dict[str, Any], found: Answered) -> tuple[str, ...]:
    """What of the answer jumps beside these predictions, by name: another implementation may be right on either side.

    Each prediction is moved a little to one side and to the other; what is smooth there hardly changes.
    """
    odd: dict[str, None] = {}
    here = found.numbers()
    for side in (1, -1):
        there = _moved(members, side).numbers()
        for name, array in here.items():
            if not _alike(array, there[name]):
                odd[name] = None
    return tuple(odd)


def _moved(members: dict[str, Any], side: int) -> Answered:
    request = json.decode(orjson.dumps(members), None, max_elements=MAX_ELEMENTS)
    checked = request.checked
    drawing = Drawing("moves")
    fields = request.fields_of(request.arrays())
    for name in request.default_gradients():
        array = checked.tensors.get(name)
        if array is None:
            continue
        moved = array + side * MOVE * np.maximum(np.abs(array), 1) * (drawing.floats(array.shape) + 2)
        checked.tensors[name] = np.asarray(moved.clip(0, 1) if fields[name].domain == "unit" else moved)
    return Answered(request, compute([request], open_device("cpu"))[0])


def _alike(here: Array, there: Array) -> bool:
    if not np.array_equal(np.isfinite(here), np.isfinite(there)):
        return False
    held = np.isfinite(here)
    if not np.array_equal(here[~held], there[~held], equal_nan=True):
        return False
    largest = float(np.abs(here[held]).max(initial=0))
    return bool((np.abs(here[held] - there[held]) <= JUMP * largest + LEAST).all())
