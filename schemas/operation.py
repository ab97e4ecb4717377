"""One request for an operation: what is computed around a loss, such as a softmax or an optimizer's step.

`Operation` is the base of every operation's own class (in `schemas.operations`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import BaseModel, Field

from schemas.check import Checked, check_tensors
from schemas.dtype import FloatingName
from schemas.problem import Fault
from schemas.tensor import Reading
from schemas.tensor_request import TensorRequest

Path = tuple[str, ...]


class Operation(TensorRequest):
    """The members that every operation has."""

    name: ClassVar[str]
    """What its path ends with and clients call it by: `softmax` is served at `/v1/softmax`."""
    path: ClassVar[str]
    family: ClassVar[str]
    """The kind of operation, by which the reference orders them."""
    description: ClassVar[str]
    """What a caller has to know beside the members."""
    example: ClassVar[dict[str, Any]]
    """A request that can be sent as it is."""
    answer: ClassVar[type[BaseModel]]
    """What it is answered with, as JSON callers read it."""
    unreduced: ClassVar[str] = "()"
    """Dims that tensors which broadcast expand to."""

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """The tensors, and what the operation adds."""
        checked, state = check_tensors(self, reading, broken, faults)
        if state == "sound":
            self.check(checked, faults)
        return checked

    def numbers(self) -> int:
        """As many as the request has, if the class does not know better."""
        return self.checked.layout.elements


class OperationAnswer(BaseModel):
    """What every operation answers beside its own."""

    dtype: FloatingName = Field(description="The type that was computed in.")
    warnings: list[str] = Field(description="What was odd about the request, and computed nevertheless.")


@dataclass(slots=True)
class OperationResult:
    """What an operation is answered with: tensors by where they stand in the answer, and all other members."""

    tensors: dict[Path, NDArray[Any]]
    members: dict[str, Any]
    dtype: FloatingName
    warnings: list[str] = field(default_factory=list)
