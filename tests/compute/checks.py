"""Checks of other implementations, made as the engine makes them."""

from __future__ import annotations

from typing import Any

from schemas.operation import OperationResult
from schemas.operations.checking import Check
from schemas.problem import InvalidRequest
from service.compute import Work, compute, open_device

CPU = open_device("cpu")


def checked(body: dict[str, Any]) -> OperationResult:
    """The result of a check, whose turns are taken one after the other."""
    work: Work = Check.model_validate(body)
    while True:
        found: Any = compute([work], CPU)[0]
        if found.faults:
            raise InvalidRequest(found.faults)
        if found.rest is None:
            result: OperationResult = found
            return result
        work = found.rest
