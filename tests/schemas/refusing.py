"""What an invalid request is told."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.tensor import Reading


def faults(name: str, /, **members: Any) -> dict[str, str]:
    """The faults of a request by their pointers; it must have some."""
    return faults_within(1 << 24, name, **members)


def faults_within(limit: int, name: str, /, **members: Any) -> dict[str, str]:
    """The same under a limit of elements."""
    with pytest.raises(InvalidRequest) as caught:
        LOSSES[name].model_validate(members, context=Reading(max_elements=limit))
    return {fault.pointer: fault.detail for fault in caught.value.faults}


def elements(name: str, /, **members: Any) -> int:
    """The elements that a valid request needs."""
    found: int = LOSSES[name].model_validate(members).checked.layout.elements
    return found
