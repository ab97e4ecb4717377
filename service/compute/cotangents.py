"""Many cotangents: one forward pass, and a backward pass for each of them.

Each pass starts from what the same request with that one cotangent would start from, over the same graph: every
gradient is to the bit what it is there.
"""

from __future__ import annotations

from collections.abc import Callable
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

Arrays = dict[str, NDArray[Any]]


def compute_products(request: LossRequest, device: Device) -> LossResult:
    """The answer to a request with many cotangents: its gradients have their number in front.

    Raises whatever torch raises.
    """
    forward = Forward(request, device)
    result = forward.result()
    result.gradients = in_front(request.checked, forward.gradients)
    return result


def in_front(checked: Checked, gradients: Callable[[int], Arrays]) -> Arrays:
    """The gradients from each of a request's cotangents, made one after the other, with their number in front."""
    dtype = FLOATING[checked.dtype]
    count = 0 if checked.cotangents is None else len(checked.cotangents)
    products: Arrays = {name: np.zeros((count, *checked.tensors[name].shape), dtype) for name in checked.gradients}
    for at in range(count if products else 0):
        for name, array in gradients(at).items():
            products[name][at] = array
    return products


class Forward:
    """The forward pass of a request with many cotangents, kept for a backward pass from any of them."""

    def __init__(self, request: LossRequest, device: Device) -> None:
        checked = request.checked
        cotangents: Any = checked.cotangents
        self.request = request
        self.device = device
        self.empty = 0 in checked.layout.unreduced
        if self.empty:
            return
        self.stacked = stack([request], pads=FORMULAS[type(request)].pads)
        self.starts = [_with(self.stacked, replace(checked, cotangent=one)) for one in cotangents]
        self.run = batch.evaluate(
            request,
            self.stacked.arrays,
            self.stacked.values,
            checked.gradients if self.starts else (),
            lambda kind: reduce.host_scale(self.starts[0], kind),
            device,
        )
        self.totals = batch.totals(self.run.terms, self.stacked.segments)

    def gradients(self, at: int) -> Arrays:
        """Those from the cotangent at this position."""
        checked = self.request.checked
        dtype = FLOATING[checked.dtype]
        if self.empty or not checked.gradients:
            return {name: np.zeros(checked.tensors[name].shape, dtype) for name in checked.gradients}
        run, segments = self.run, self.starts[at].segments
        scale = run.scale
        if at and scale is not None:
            kind = np.dtype(np.float32) if run.widened else dtype
            (scale,) = self.device.upload([reduce.host_scale(self.starts[at], kind)])
        found = batch.backward(
            run.terms, run.inputs, scale, segments, self.totals.numerators, self.totals.divisors, again=True
        )
        narrowed = batch.narrow(segments, found)
        arrays = self.device.download([narrowed.get((0, name), gradient) for name, gradient in found.items()])
        return {
            name: batch.typed(
                array if (0, name) in narrowed else batch.cut(array, name, segments[0], self.request), dtype
            )
            for name, array in zip(found, arrays, strict=True)
        }

    def result(self) -> LossResult:
        """The answer but for its gradients."""
        if self.empty:
            result = batch.nothing(self.request)
            result.gradients = {}
            return result
        bare = _with(self.stacked, replace(self.request.checked, gradients=()))
        (result,) = batch.answers([self.request], bare, self.run._replace(inputs={}), self.device)
        return result


def _with(stacked: Stack, checked: Checked) -> Stack:
    """The stack of one request, as it would be of the same with this in place of what it is."""
    return stacked._replace(segments=[stacked.segments[0]._replace(checked=checked)])
