"""Computing a composite: each term as the request that it is, its factor as the cotangent; then the sums, in order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.losses.composition import Composite
from schemas.result import LossResult, TermResult
from service.compute import batch as batches
from service.compute.batch import typed
from service.compute.transfer import Device


def compute_composite(request: Composite, device: Device) -> LossResult:
    """The weighted sum and its gradients, for one cotangent or many. Raises whatever torch raises."""
    many = request.checked.cotangents
    if many is None:
        return _compute(request, device)
    wanted, dtype = request.checked.gradients, FLOATING[request.checked.dtype]
    for part in request.parts:
        part.start((), 1.0)
    result = _compute(request, device)
    shapes = {name: request.checked.tensors[name].shape for name in wanted}
    products = {name: np.zeros((len(many), *shape), dtype) for name, shape in shapes.items()}
    for at, cotangent in enumerate(many):
        for term, part in zip(request.terms, request.parts, strict=True):
            part.start(wanted, term.factor * float(cotangent))
        for name, gradient in _compute(request, device).gradients.items():
            products[name][at] = gradient
    result.gradients = dict(products)
    return result


def _compute(request: Composite, device: Device) -> LossResult:
    """The weighted sum, and its gradients from where the terms start."""
    checked = request.checked
    dtype = FLOATING[checked.dtype]
    # Half types are added up in float32, and rounded once.
    wide = np.dtype(np.float64 if checked.dtype == "float64" else np.float32)
    total = 0.0
    terms: list[TermResult] = []
    sums: dict[str, NDArray[Any]] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for term, part in zip(request.terms, request.parts, strict=True):
            [result] = batches.compute([part.request], device)
            total += term.factor * float(result.loss)
            terms.append(TermResult(term.told(), _shortest(result.loss), term.factor, result.divisor))
            for own, gradient in result.gradients.items():
                name = part.names[own]
                added = gradient.astype(wide, copy=False)
                sums[name] = sums[name] + added if name in sums else added
    gradients = {
        name: typed(sums[name], dtype) if name in sums else np.zeros(checked.tensors[name].shape, dtype)
        for name in checked.gradients
    }
    loss = typed(np.array(total), dtype)[()]
    return LossResult(
        loss, gradients, checked.reduction, 1.0, checked.count, 0, checked.dtype, checked.warnings, terms=terms
    )


def _shortest(loss: Any) -> float:
    """A loss as the double whose shortest decimal is its own: 0.1 in float32 is told as 0.1."""
    return float(loss) if loss.dtype == np.float64 else float(str(np.float32(loss)))
