"""What all batches of a run share: its options, their tensors read once."""

from __future__ import annotations

from typing import Any, NamedTuple

from schemas.evaluation.spec import RunSpec
from schemas.losses import LOSSES
from schemas.named import MEMBER
from schemas.nested import TensorFault
from schemas.tensor import Tensor, read


class Shared(NamedTuple):
    """A run's spec, and its options as members of a batch's request.

    `elements`: those of the options' tensors. `scalar`: there are no lists among the options but those.
    """

    spec: RunSpec
    options: dict[str, Any]
    elements: int
    scalar: bool

    @classmethod
    def of(cls, spec: RunSpec) -> Shared:
        """Read the tensors among a run's options."""
        loss = LOSSES[spec.loss]
        found: dict[str, Any] = {}
        for name, value in spec.options.items():
            if name in loss.tensor_fields:
                found[name] = _read(value)
            elif name in loss.maps and type(value) is dict:
                found[name] = {inner: _read(one) for inner, one in value.items()}
            else:
                found[name] = value
        tensors = [one for one in _values(found) if type(one) is Tensor]
        rest = [one for one in _values(found) if type(one) is list or type(one) is dict]
        return cls(spec, found, sum([one.array.size for one in tensors]), not rest)

    def members(self) -> dict[str, Any]:
        """The options for one more request; checking changes `Tensor` objects, so that each gets its own."""
        return {
            name: {inner: _again(one) for inner, one in value.items()} if type(value) is dict else _again(value)
            for name, value in self.options.items()
        }

    @property
    def text(self) -> int:
        """Characters of the formula that each batch is laid out for; 0 where there is none."""
        formula = self.spec.options.get("expression")
        return len(formula) if type(formula) is str and MEMBER in LOSSES[self.spec.loss].maps else 0


def _values(options: dict[str, Any]) -> list[Any]:
    return [
        one
        for value in options.values()
        for one in (value.values() if type(value) is dict and _of_tensors(value) else (value,))
    ]


def _of_tensors(value: dict[str, Any]) -> bool:
    return all(type(one) is Tensor for one in value.values())


def _read(value: Any) -> Any:
    """A tensor; what is none is left as it is, for the request's own check to tell of."""
    try:
        return read(value)
    except TensorFault:
        return value


def _again(value: Any) -> Any:
    return Tensor(value.array, typed=value.typed, source=value.source) if type(value) is Tensor else value
