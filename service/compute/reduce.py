"""Reduction: each segment's own sum and divisor, and the scale that its gradients start from.

Sums are taken over one segment alone, in float32 for half types, so they are the same in any stack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.check import MEANS, Checked
from service.compute.stack import Segment, Stack
from service.losses import Terms


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type that sums are taken in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def part(array: NDArray[Any], segment: Segment) -> NDArray[Any]:
    """A segment's part of an array that is shaped as the values: for 0-d values, all of it."""
    return array[segment.start : segment.stop] if array.ndim else array


def slices(values: Tensor, segments: Sequence[Segment]) -> list[Tensor]:
    """Each segment's part of a tensor that is shaped as the values."""
    if not values.dim():
        return [values]
    return [values[segment.start : segment.stop] for segment in segments]


def totals(values: Tensor, segments: Sequence[Segment]) -> Tensor:
    """The sum of every segment, in the accumulator's type."""
    values = values.detach() if values.requires_grad else values
    kind = accumulator(values.dtype)
    if values.numel() == len(segments):  # one value each: its own sum
        flat = values if values.dim() == 1 else values.reshape(-1)
        return flat if flat.dtype == kind else flat.to(kind)
    if len(segments) == 1 and (not values.dim() or len(values) == segments[0].stop):
        return values.sum(dtype=kind).reshape(1)
    sums = [own.reshape(()).to(kind) if own.numel() == 1 else own.sum(dtype=kind) for own in slices(values, segments)]
    return sums[0].reshape(1) if len(sums) == 1 else torch.stack(sums)


def host_scale(stack: Stack, dtype: np.dtype) -> NDArray[Any]:
    """What each value's gradient starts from, where all divisors are known: the cotangent, for `mean` over the divisor.

    Shape as the values; 0 in the padding, and where a mean has nothing that contributes.
    """
    segments = stack.segments
    first = segments[0]
    if first.checked.reduction != "none" and stack.values == (first.stop,) and dtype in (np.float32, np.float64):
        return np.full(stack.values, _start(first.checked), dtype)  # one segment without padding
    scale = np.zeros(stack.values, np.float64)
    for segment in segments:
        checked = segment.checked
        cotangent = checked.cotangent
        if checked.reduction == "none":
            view = part(scale, segment)
            view[...] = 1.0 if cotangent is None else cotangent.reshape(view.shape)
            continue
        given = _start(checked)
        if scale.ndim:
            scale[segment.start : segment.stop] = given
        else:
            scale[...] = given
    return rounded(scale, dtype)


def _start(checked: Checked) -> float:
    """What a reduced loss's gradient starts from, for each of its values."""
    given = 1.0 if checked.cotangent is None else float(checked.cotangent)
    if checked.reduction not in MEANS:
        return given
    return given / checked.divisor if checked.count and checked.divisor else 0.0


def rounded(scale: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
    """What was worked out in float64, in the type that gradients start in."""
    if dtype in (np.float32, np.float64):
        return scale.astype(dtype, copy=False)
    with np.errstate(over="ignore"):
        return scale.astype(dtype)


def device_scale(
    terms: Terms, segments: Sequence[Segment], numerators: Tensor, divisors: Tensor
) -> tuple[Tensor, Tensor]:
    """The same on the device, where divisors are sums of shares or values have sizes: for values, and for shares.

    d(S/W) = dS/W - (S/W^2) dW, with S the sum of values and W that of shares.
    """
    values = terms.values
    for_values = torch.zeros(values.shape, dtype=values.dtype, device=values.device)
    for_shares = torch.zeros(values.shape, dtype=values.dtype, device=values.device)
    sizes = slices(terms.sizes, segments) if terms.sizes is not None else None
    owns, shares = slices(for_values, segments), slices(for_shares, segments)
    for at, segment in enumerate(segments):
        checked = segment.checked
        own = owns[at]
        if checked.reduction == "none" and checked.cotangent is not None:
            given = torch.as_tensor(checked.cotangent.astype(np.float64), device=values.device)
            own.copy_(given.reshape(own.shape))
            continue
        cotangent = 1.0 if checked.cotangent is None else float(checked.cotangent)
        if checked.reduction not in MEANS:
            own.fill_(cotangent)
        elif checked.count:
            own.copy_(cotangent / divisors[at])
            shares[at].copy_(-cotangent * numerators[at] / (divisors[at] * divisors[at]))
            if sizes is not None:
                own.div_(sizes[at])
    return for_values, for_shares


def quotient(numerator: float, divisor: float, count: int, on_empty: str) -> float:
    """A mean, as IEEE division has it; where nothing contributes, what `on_empty` says."""
    if count == 0 and divisor == 0:
        return 0.0 if on_empty == "zero" else math.nan
    if divisor == 0:
        return math.nan if numerator == 0 or math.isnan(numerator) else math.copysign(math.inf, numerator)
    return numerator / divisor
