"""One request for an operation: what is computed around a loss, such as a softmax or an optimizer's step.

`Operation` is the base of every operation's own class (in `schemas.operations`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import BaseModel, Field

from schemas.check import Checked, check_tensors
from schemas.dtype import FLOATING, FloatingName
from schemas.layout import Layout, Shapes, layout_of
from schemas.problem import Entry, Fault, place
from schemas.tensor import Reading, Tensor
from schemas.tensor_request import TensorRequest

Path = tuple[str, ...]

MAX_NAME = 256
"""Characters of a name that a caller gives to a tensor."""


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
    in_turns: ClassVar[bool] = False
    """Whether it may be computed in several turns, between which others have theirs."""
    answer: ClassVar[type[BaseModel]]
    """What it is answered with, as JSON callers read it."""
    unreduced: ClassVar[str] = "()"
    """Dims that tensors which broadcast expand to."""

    def arrays(self) -> dict[str, Tensor]:
        """The tensors that are there, those of maps as `<member>.<name>`, in the order of the fields."""
        found = super().arrays()
        for member in type(self).model_fields if self.maps else ():
            if member in self.maps:
                entries = self.__dict__[member] or {}
                found |= {Entry(f"{member}.{name}"): tensor for name, tensor in entries.items()}
        return found

    def layout(self, shapes: Shapes) -> Layout:
        """Of maps, whose names are the caller's, none is remembered."""
        return layout_of.__wrapped__(type(self), shapes, self.unreduced) if self.maps else super().layout(shapes)

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """The tensors, and what the operation adds."""
        if self.maps and not self._named(broken, faults):
            return Checked({}, Layout({}))
        checked, state = check_tensors(self, reading, broken, faults)
        if state == "sound":
            self.check(checked, faults)
        return checked

    def numbers(self) -> int:
        """As many as the request has, if the class does not know better."""
        return self.checked.layout.elements

    def _named(self, broken: set[str], faults: list[Fault]) -> bool:
        """Whether maps are as small as they must be, and their names fit for use."""
        given = [name for name in self.arrays() if self.member_of(name) not in broken]
        if len(given) > self.max_tensors:
            faults.append(Fault("", f"{len(given)} tensors; at most {self.max_tensors} are taken"))
            return False
        odd = [name for name in given if type(name) is Entry and not 0 < len(name.partition(".")[2]) <= MAX_NAME]
        faults += [Fault(place(name), f"a name has 1 to {MAX_NAME} characters") for name in odd]
        return not odd

    @staticmethod
    def whole(count: int, dtype: FloatingName) -> int:
        """As how many numbers of a type so many int64 ones count, for memory."""
        return count * (8 // FLOATING[dtype].itemsize)


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
    rest: Operation | None = None
    """What is still to be computed, in a turn of its own: this is then no answer yet."""
    faults: list[Fault] = field(default_factory=list)
    """What turned out to be wrong with the request only when it was computed: this is then a refusal."""
