"""A loss's unreduced values, for evaluation runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.evaluation.unreduced import Unreduced
from schemas.operation import OperationResult, Path
from service.compute.batch import HALF
from service.compute.objective import leaves, terms_of
from service.compute.operations.register import register
from service.compute.transfer import Device


@register(Unreduced)
def _(r: Unreduced, device: Device) -> OperationResult:
    request = r.request
    checked = request.checked
    shape = checked.layout.unreduced
    if 0 in shape:
        return OperationResult({("values",): np.zeros(shape)}, {}, checked.dtype, checked.warnings)
    with torch.no_grad():
        dtype = "float32" if checked.dtype in HALF else checked.dtype
        terms = terms_of(request, leaves(request, device, dtype, ()))
    told = {"values": terms.values, "shares": terms.shares, "sizes": terms.sizes}
    found = {name: tensor for name, tensor in told.items() if tensor is not None}
    arrays = device.download(list(found.values()))
    tensors: dict[Path, NDArray[Any]] = {
        (name,): array.reshape(shape) for name, array in zip(found, arrays, strict=True)
    }
    return OperationResult(tensors, {}, checked.dtype, checked.warnings)
