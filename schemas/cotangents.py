"""Many cotangents in one request: K upstream gradients, and K products for one forward pass."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from schemas.dims import Shape, extent, numel, show
from schemas.dtype import FLOATING, cast_floating
from schemas.layout import MAX_EMPTY
from schemas.problem import TOO_LARGE, Fault
from schemas.tensor import Tensor

if TYPE_CHECKING:
    from schemas.check import Checked
    from schemas.request import LossRequest

MAX_COTANGENTS: Final = 256
"""Cotangents that one request may have: each is a backward pass."""
LEAST_WORK: Final = 1 << 11
"""Elements that a backward pass counts as at least; of a formula of many steps, for each of them a part of it."""


def extra_elements(checked: Checked) -> int:
    """The elements of the gradients that a request with many cotangents is answered with."""
    if checked.cotangents is None:
        return 0
    return len(checked.cotangents) * sum([numel(checked.tensors[name].shape) for name in checked.gradients])


def check_cotangents(request: LossRequest, given: Tensor, checked: Checked, faults: list[Fault]) -> None:
    """Check a request's cotangents and put them in place; what they and their gradients need is counted."""
    if request.cotangent is not None:
        faults.append(Fault("/cotangents", "goes without cotangent: one of them alone tells the upstream gradient"))
        return
    own: Shape = checked.layout.unreduced if checked.reduction == "none" else ()
    array = given.array
    if array.shape == (0,):  # an empty list, which cannot tell more of its shape
        array = array.reshape(0, *own) if 0 not in own else array
    if array.shape[1:] != own or not array.ndim:
        detail = f"shape {show(array.shape)} is not K times the loss's shape, which is {show(own)}"
        faults.append(Fault("/cotangents", detail))
        return
    count = len(array)
    if count > MAX_COTANGENTS:
        faults.append(Fault("/cotangents", f"{count} cotangents; a request has at most {MAX_COTANGENTS}"))
        return
    checked.cotangents = given.array = cast_floating(array, FLOATING[checked.dtype])
    elements = checked.layout.elements + array.size + extra_elements(checked)
    if elements > checked.max_elements:
        detail = f"the request needs {elements} elements, {count} times its gradients among them; the limit is"
        faults.append(Fault("/cotangents", f"{detail} {checked.max_elements}", TOO_LARGE))
    rows = [extent((count, *checked.tensors[name].shape)) for name in checked.gradients if not _holds(checked, name)]
    if count and max(rows, default=0) > MAX_EMPTY:
        detail = f"a gradient without elements may have at most {MAX_EMPTY} empty rows"
        faults.append(Fault("/cotangents", detail, TOO_LARGE))
    # The layout is shared by all requests of these shapes: this one has its own.
    checked.layout = replace(checked.layout, elements=max(elements, count * request.least_work(checked)))


def _holds(checked: Checked, name: str) -> bool:
    return numel(checked.tensors[name].shape) > 0
