"""Many cotangents: one forward pass, and a backward pass for each of them.

Each pass starts from what the same request with that one cotangent would start from, over the same graph: every
gradient is to the bit what it is there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.check import Checked
from schemas.dtype import FLOATING
from schemas.request import LossRequest
from schemas.result import LossResult
from service.compute import batch, reduce
from service.compute.stack import Stack, stack
from service.compute.transfer import Device
from service.losses import FORMULAS


def compute_products(request: LossRequest, device: Device) -> LossResult:
    """The answer to a request with many cotangents: its gradients have their number in front.

    Raises whatever torch raises.
    """
    checked = request.checked
    dtype = FLOATING[checked.dtype]
    cotangents: Any = checked.cotangents
    products: dict[str, NDArray[Any]] = {
        name: np.zeros((len(cotangents), *checked.tensors[name].shape), dtype) for name in checked.gradients
    }
    if 0 in checked.layout.unreduced:
        result = batch.nothing(request)
        result.gradients = products
        return result
    stacked = stack([request], pads=FORMULAS[type(request)].pads)
    starts = [_with(stacked, replace(checked, cotangent=one)) for one in cotangents]
    wanted = checked.gradients if starts else ()
    run = batch.evaluate(
        request, stacked.arrays, stacked.values, wanted, lambda kind: reduce.host_scale(starts[0], kind), device
    )
    totals = batch.totals(run.terms, stacked.segments)
    scale = run.scale
    for at, start in enumerate(starts if wanted else ()):
        if at and scale is not None:
            kind = np.dtype(np.float32) if run.widened else dtype
            (scale,) = device.upload([reduce.host_scale(start, kind)])
        gradients = batch.backward(
            run.terms, run.inputs, scale, start.segments, totals.numerators, totals.divisors, again=True
        )
        narrowed = batch.narrow(start.segments, gradients)
        arrays = device.download([narrowed.get((0, name), gradient) for name, gradient in gradients.items()])
        for name, array in zip(gradients, arrays, strict=True):
            own = array if (0, name) in narrowed else batch.cut(array, name, start.segments[0], request)
            products[name][at] = batch.typed(own, dtype)
    bare = _with(stacked, replace(checked, gradients=()))
    (result,) = batch.answers([request], bare, run._replace(inputs={}), device)
    result.gradients = products
    return result


def _with(stacked: Stack, checked: Checked) -> Stack:
    """The stack of one request, as it would be of the same with this in place of what it is."""
    return stacked._replace(segments=[stacked.segments[0]._replace(checked=checked)])
