"""The register of operations: one function a request class, and what most of them begin and end with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from schemas.dtype import FLOATING, is_floating
from schemas.operation import Operation, OperationResult, Path
from service.compute.batch import FLOAT32, HALF, typed
from service.compute.transfer import Device

Function = Callable[[Any, Device], OperationResult]

FUNCTIONS: dict[type[Operation], Function] = {}


def register(cls: type[Operation]) -> Callable[[Function], Function]:
    """Make the decorated function the one that answers this class's requests."""

    def accept(function: Function) -> Function:
        FUNCTIONS[cls] = function
        return function

    return accept


def uploaded(request: Operation, device: Device) -> dict[str, Tensor]:
    """A request's tensors on the device; half types widened to float32, as all of them are computed."""
    checked = request.checked
    arrays = checked.tensors
    if checked.dtype in HALF:
        own = FLOATING[checked.dtype]
        arrays = {name: array.astype(FLOAT32) if array.dtype == own else array for name, array in arrays.items()}
    return dict(zip(arrays, device.upload(list(arrays.values())), strict=True))


def answered(
    request: Operation, device: Device, tensors: dict[Path, Tensor], members: dict[str, Any] | None = None
) -> OperationResult:
    """The answer of these tensors, floating ones in the request's type, and other members."""
    checked = request.checked
    dtype = FLOATING[checked.dtype]
    arrays = device.download(list(tensors.values()))
    found = {
        path: typed(array, dtype) if is_floating(array.dtype) else np.asarray(array)
        for path, array in zip(tensors, arrays, strict=True)
    }
    return OperationResult(found, members or {}, checked.dtype, checked.warnings)
