"""A request's loss as one number that torch can differentiate as often as its formula allows.

Where an answer needs one gradient, `service.compute.batch` is faster. This is for what needs more: second derivatives,
and the loss at many points.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from schemas.check import MEANS
from schemas.dtype import FLOATING, is_floating
from schemas.request import LossRequest
from service.compute.transfer import Device, aligned
from service.losses import FORMULAS, Tensors, Terms


def leaves(request: LossRequest, device: Device, dtype: str, wanted: Iterable[str]) -> Tensors:
    """A request's tensors on the device, floating ones in that type; graphs begin at the wanted ones."""
    tensors = request.checked.tensors
    arrays = [
        array.astype(FLOATING[dtype]) if is_floating(array.dtype) else np.asarray(array) for array in tensors.values()
    ]
    found = dict(zip(tensors, device.upload(arrays), strict=True))
    if FORMULAS[type(request)].products:
        found = {name: aligned(tensor) for name, tensor in found.items()}
    for name in wanted:
        found[name].requires_grad_()
    return found


def objective(request: LossRequest, tensors: Tensors) -> Tensor:
    """The reduced loss times its cotangent, or the unreduced one's sum weighted by it; 0-d.

    `tensors`: of the shapes that the request has them in.
    """
    terms = terms_of(request, tensors)
    checked = request.checked
    values = terms.values
    if checked.reduction == "none":
        if checked.cotangent is None:
            return values.sum()
        cotangent = torch.tensor(checked.cotangent.astype(np.float64), device=values.device)
        return (values * cotangent.to(values.dtype).reshape(values.shape)).sum()
    cotangent_of_one = 1.0 if checked.cotangent is None else float(checked.cotangent)
    return cotangent_of_one * reduced(request, terms)


def terms_of(request: LossRequest, tensors: Tensors) -> Terms:
    """What the formula makes of the tensors, laid out as it has them."""
    layout = request.checked.layout
    arranged = tensors
    if request.stacking == "elements":
        arranged = {}
        for name, tensor in tensors.items():
            fits = layout.shapes[name] == layout.unreduced
            whole = tensor if fits else tensor.reshape(layout.spread[name]).expand(layout.unreduced)
            arranged[name] = whole.reshape(-1)
    elif request.stacking == "rows":
        trailing = dict(layout.trailing)
        arranged = {
            name: tensor if name in layout.shared else tensor.reshape(layout.rows, *trailing[name])
            for name, tensor in tensors.items()
        }
    terms: Terms = FORMULAS[type(request)].function(request, arranged)
    return terms


def reduced(request: LossRequest, terms: Terms) -> Tensor:
    """The sum or the mean of a formula's values."""
    checked = request.checked
    values = terms.values
    if checked.reduction not in MEANS:
        return values.sum()
    divisor: Tensor | int | None = checked.divisor
    if divisor is None:
        divisor = checked.count if terms.shares is None else terms.shares.sum()
    if not checked.count or (isinstance(divisor, int) and not divisor):
        return values.new_zeros(())  # nothing contributes: no gradient either
    return (values if terms.sizes is None else values / terms.sizes).sum() / divisor
