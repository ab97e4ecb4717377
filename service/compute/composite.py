"""Computing a composite: each term as the request that it is, its factor as the cotangent; then the sums, in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.losses.composite import Composite
from schemas.result import LossResult, TermResult
from service.compute import batch as batches
from service.compute.batch import typed
from service.compute.cotangents import Arrays, Forward, in_front
from service.compute.transfer import Device


def compute_composite(request: Composite, device: Device) -> LossResult:
    """The weighted sum and its gradients, for one cotangent or many. Raises whatever torch raises."""
    checked = request.checked
    if checked.cotangents is None:
        results = [batches.compute([part.request], device)[0] for part in request.parts]
        gradients = _sums(request, [result.gradients for result in results])
    else:
        # All graphs are kept at once, so that no more than the sums is there for each cotangent.
        forwards = [Forward(part.request, device) for part in request.parts]
        results = [forward.result() for forward in forwards]
        gradients = in_front(checked, lambda at: _sums(request, [forward.gradients(at) for forward in forwards]))
    total = 0.0
    terms: list[TermResult] = []
    for term, result in zip(request.terms, results, strict=True):
        total += term.factor * float(result.loss)
        terms.append(TermResult(term.told(), _shortest(result.loss), term.factor, result.divisor))
    loss = typed(np.array(total), FLOATING[checked.dtype])[()]
    return LossResult(
        loss, gradients, checked.reduction, 1.0, checked.count, 0, checked.dtype, checked.warnings, terms=terms
    )


def _sums(request: Composite, gradients: Iterable[Arrays]) -> Arrays:
    """The gradients of the sum, by those of its terms."""
    checked = request.checked
    dtype = FLOATING[checked.dtype]
    # Half types are added up in float32, and rounded once.
    wide = np.dtype(np.float64 if checked.dtype == "float64" else np.float32)
    sums: dict[str, NDArray[Any]] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for part, found in zip(request.parts, gradients, strict=True):
            for own, gradient in found.items():
                name = part.names[own]
                added = gradient.astype(wide, copy=False)
                sums[name] = sums[name] + added if name in sums else added
    return {
        name: typed(sums[name], dtype) if name in sums else np.zeros(checked.tensors[name].shape, dtype)
        for name in checked.gradients
    }


def _shortest(loss: Any) -> float:
    """A loss as the double whose shortest decimal is its own: 0.1 in float32 is told as 0.1."""
    return float(loss) if loss.dtype == np.float64 else float(str(np.float32(loss)))
