"""An operation on a loss: a request for that loss is one of its members.

`LossOperation` is the base of the operations that need a loss's formula, its second derivatives or another
implementation of it beside it.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.check import Checked, not_differentiable
from schemas.layout import Layout
from schemas.nested_request import NestedRequest
from schemas.operation import Operation
from schemas.problem import Fault
from schemas.tensor import Reading


class LossOperation(Operation):
    """The members that operations on a loss have."""

    nested: ClassVar[frozenset[str]] = frozenset(("request",))
    one_cotangent: ClassVar[str]
    """Why the request has no more than one."""

    request: NestedRequest = Field(description="The loss.")

    def examine(self, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
        """The tensors are the request's, as `request.<name>`; what the operation adds to them is `check`'s."""
        if broken:
            return Checked({}, Layout({}))
        inner = self.request.checked
        tensors = {f"request.{name}": array for name, array in inner.tensors.items()}
        layout = Layout({name: array.shape for name, array in tensors.items()})
        checked = Checked(tensors, layout, inner.dtype, max_elements=reading.max_elements, warnings=inner.warnings)
        if self.__dict__["dtype"] not in (None, inner.dtype):
            faults.append(Fault("/dtype", f"the request is of type {inner.dtype}: tell the type there"))
        if inner.cotangents is not None:
            faults.append(Fault("/request/cotangents", f"{self.one_cotangent}: give one cotangent"))
        self.check(checked, faults)
        return checked

    def without_gradient(self, name: str) -> str | None:
        """Why the request has no gradient in a tensor of that name, if it has none."""
        request = self.request
        given = request.arrays()
        if name not in given:
            return f"{request.name} has no such tensor here; there are {', '.join(given)}"
        return not_differentiable(request, name, request.fields_of(given)[name], request.checked.layout)
