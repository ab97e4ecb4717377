"""A loss's vectors as a file: JSON, or safetensors with all that is no tensor as JSON in its metadata."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import orjson
import torch
from numpy.typing import NDArray

from schemas.request import LossRequest
from schemas.vectors.answer import LeftOut
from schemas.vectors.drawing import SEED
from service.vectors.cases import Case, cases
from service.wire import json, safetensors
from service.wire.answer import facts

FORMAT: Final = 1
"""The version of the files' form (docs/vectors.md)."""


def origin() -> dict[str, Any]:
    """Where vectors are from."""
    return {"format": FORMAT, "gradwire": version("gradwire"), "torch": str(torch.__version__), "seed": SEED}


class Made:
    """The vectors of one loss, in either form. Raises `Undrawable` when made."""

    def __init__(self, cls: type[LossRequest]) -> None:
        self.name = cls.name
        self.cases, self.left_out = cases(cls)

    def as_json(self) -> bytes:
        """The JSON file: a line for each case."""
        head = orjson.dumps(self._head())
        lines = [orjson.dumps(_told(case)) for case in self.cases]
        return head[:-1] + b',"cases":[\n' + b",\n".join(lines) + b"\n]}\n"

    def as_safetensors(self) -> bytes:
        """The safetensors file: each case's tensors under its name, all else in the text `vectors`."""
        tensors: dict[str, NDArray[Any]] = {}
        told = []
        for case in self.cases:
            members = _members(case)
            for name, array in _taken(members, case).items():
                tensors[f"{case.name}.request.{name}"] = array
            tensors |= safetensors.answer_tensors(case.answered.result, f"{case.name}.expected.")
            told.append({**_told(case), "request": members, "expected": facts(case.answered.result)})
        widest_first = dict(sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize))  # so that all lie even
        text = orjson.dumps({**self._head(), "cases": told}).decode()
        return b"".join(safetensors.write(widest_first, {"vectors": text}))

    def _head(self) -> dict[str, Any]:
        return {"loss": self.name, **origin(), "left_out": [_plain(one) for one in self.left_out]}


def _told(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "kind": case.kind,
        "description": case.description,
        "request": case.members,
        "expected": orjson.Fragment(json.encode(case.answered.result, "list")),
        "tolerance": case.tolerance.model_dump(),
    }


def _plain(one: LeftOut) -> dict[str, str]:
    return {"name": one.name, "reason": one.reason}


def _members(case: Case) -> dict[str, Any]:
    """The case's members, to take tensors from."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(case.members))
    return found


def _taken(members: dict[str, Any], case: Case) -> dict[str, NDArray[Any]]:
    """The tensors of a request, which are no members any more; floating ones in the request's type."""
    request = case.answered.request
    own = {request.path_of(name): tensor.array for name, tensor in request.arrays().items()}
    if request.cotangent is not None:
        own["cotangent"] = request.cotangent.array
    for name in own:
        *path, last = name.split(".")
        holder: Any = members
        for part in path:
            holder = holder[int(part) if isinstance(holder, list) else part]
        del holder[last]
    return own
