"""What of an operation is left for later turns."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import PrivateAttr

from schemas.check import Checked
from schemas.layout import Layout
from schemas.operation import Operation, OperationResult
from service.compute.operations.register import register
from service.compute.transfer import Device

Turn = Callable[[Device], OperationResult]


class Rest(Operation):
    """One more turn of an operation: never asked for by a caller."""

    _turn: Turn = PrivateAttr()

    def run(self, device: Device) -> OperationResult:
        """Compute it."""
        return self._turn(device)


def later(operation: Operation, elements: int, turn: Turn) -> OperationResult:
    """No answer yet: what is left of this operation, which so many elements take."""
    rest = Rest.model_construct(encoding=operation.encoding)
    rest._turn = turn  # noqa: SLF001 - made here alone
    checked = operation.checked
    rest.__dict__["checked"] = Checked({}, Layout({}, elements=elements), checked.dtype)
    rest.__dict__["name"] = operation.name
    return OperationResult({}, {}, checked.dtype, rest=rest)


@register(Rest)
def _(r: Rest, device: Device) -> OperationResult:
    return r.run(device)
