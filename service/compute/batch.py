"""One batch: stack, one forward, one backward, and each request's own answer cut out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.check import MEANS, Checked
from schemas.dims import Shape
from schemas.dtype import FLOATING
from schemas.request import LossRequest
from schemas.result import LossResult
from service.compute import reduce
from service.compute.backward_pass import backward_pass
from service.compute.stack import Segment, Stack, stack
from service.compute.transfer import Device, aligned
from service.losses import FORMULAS, Terms

HALF = ("float16", "bfloat16")
FLOAT32 = np.dtype(np.float32)

Gradients = dict[str, Tensor]


def compute(batch: Sequence[LossRequest], device: Device) -> list[LossResult]:
    """The answers to requests whose keys are equal (or to one request), in order.

    Raises whatever torch raises: the caller finds out whose fault it was by computing the requests one by one.
    """
    first = batch[0]
    checked = first.checked
    if 0 in checked.layout.unreduced:
        return [nothing(first)]
    stacked = stack(batch, pads=FORMULAS[type(first)].pads)
    run = evaluate(
        first,
        stacked.arrays,
        stacked.values,
        _wanted(batch),
        lambda dtype: reduce.host_scale(stacked, dtype),
        device,
    )
    if len(batch) == 1 and _plain(first, run.terms):
        return [_answer(first, stacked, run, device)]
    return answers(batch, stacked, run, device)


class Evaluated(NamedTuple):
    """A formula's terms; the tensors that gradients are wanted in; and, on the device, what these start from.

    `widened`: computed in float32, for a half type.
    """

    terms: Terms
    inputs: Gradients
    scale: Tensor | None
    widened: bool


def evaluate(
    first: LossRequest,
    arrays: dict[str, NDArray[Any]],
    values: Shape,
    wanted: Sequence[str],
    scale_in: Callable[[np.dtype], NDArray[Any]],
    device: Device,
) -> Evaluated:
    """The formula of stacked requests like the first; `values` is the shape that its values must have.

    `scale_in` makes, in a type, what each value's gradient starts from; it is asked where the divisors are known.
    """
    checked = first.checked
    formula = FORMULAS[type(first)]
    own = FLOATING[checked.dtype]
    widened = not formula.half and checked.dtype in HALF
    if widened:
        arrays = {name: array.astype(FLOAT32) if array.dtype == own else array for name, array in arrays.items()}
    uploads = list(arrays.values())
    scaled = bool(wanted) and checked.divisor is not None
    if scaled:
        uploads.append(scale_in(FLOAT32 if widened else own))
    uploaded = device.upload(uploads)
    scale = uploaded.pop() if scaled else None
    tensors = dict(zip(arrays, uploaded, strict=True))
    if formula.products:
        tensors = {name: aligned(tensor) for name, tensor in tensors.items()}
    terms = None
    kernels = formula.kernels
    if kernels is not None and ((len(wanted) == 1 and wanted[0] == "input") or (wanted and formula.everywhere)):
        terms = kernels(first, tensors)
    if terms is None:
        for name in wanted:
            tensors[name].requires_grad_()
        with torch.set_grad_enabled(bool(wanted)):
            terms = formula.function(first, tensors)
    _hold_to_contract(first, terms, values)
    return Evaluated(terms, {name: tensors[name] for name in wanted}, scale, widened)


def _wanted(batch: Sequence[LossRequest]) -> Sequence[str]:
    """The tensors that any request of the batch asks gradients for."""
    if len(batch) == 1:
        return batch[0].checked.gradients
    return list(dict.fromkeys(name for request in batch for name in request.checked.gradients))


def _plain(request: LossRequest, terms: Terms) -> bool:
    """Whether the answer is a reduced loss over a divisor known beforehand, and nothing was broadcast."""
    checked = request.checked
    return (
        checked.reduction != "none"
        and terms.shares is None
        and terms.sizes is None
        and not terms.extras
        and not checked.layout.spread
    )


def _answer(request: LossRequest, stacked: Stack, run: Evaluated, device: Device) -> LossResult:
    """What `answers` gives for one plain request, with none of what several need."""
    terms, inputs, scale, _ = run
    segments = stacked.segments
    checked = request.checked
    total = reduce.totals(terms.values, segments)
    gradients = backward(terms, inputs, scale, segments, total, None) if inputs else {}
    host_total, *arrays = device.download([total, *gradients.values()])
    reduced, divisor = host_total.item(), checked.divisor
    if checked.reduction in MEANS:
        reduced = reduce.quotient(reduced, divisor or 0, checked.count, request.on_empty)
    dtype = FLOATING[checked.dtype]
    segment = segments[0]
    own = {name: cut(array, name, segment, request) for name, array in zip(gradients, arrays, strict=True)}
    return _result(checked, typed(np.array(reduced), dtype)[()], own, divisor, {})


def answers(
    batch: Sequence[LossRequest],
    stacked: Stack,
    run: Evaluated,
    device: Device,
) -> list[LossResult]:
    """The answers to stacked requests, in order."""
    terms, inputs, scale, _ = run
    segments = stacked.segments
    reductions = {segment.checked.reduction for segment in segments}
    sums, numerators, divisors = totals(terms, segments)
    gradients = backward(terms, inputs, scale, segments, numerators, divisors) if inputs else {}
    narrowed = narrow(segments, gradients)

    downloads = [tensor for tensor in (sums, numerators, divisors) if tensor is not None]
    if "none" in reductions:
        downloads.append(terms.values)
    downloads += [*gradients.values(), *narrowed.values(), *terms.extras.values()]
    arrays = iter(device.download(downloads))
    host_sums = next(arrays).tolist() if sums is not None else None
    host_numerators = next(arrays).tolist() if numerators is not None else None
    host_divisors = next(arrays).tolist() if divisors is not None else [s.checked.divisor for s in segments]
    values = next(arrays) if "none" in reductions else None
    host_gradients = {name: next(arrays) for name in gradients}
    host_narrowed = {key: next(arrays) for key in narrowed}
    extras = {name: next(arrays) for name in terms.extras}

    reduced: list[float] = []
    for at, (request, segment) in enumerate(zip(batch, segments, strict=True)):
        checked = segment.checked
        if checked.reduction in MEANS and host_numerators is not None:
            divides: Any = checked.count if host_divisors[at] is None else host_divisors[at]
            reduced.append(reduce.quotient(host_numerators[at], divides, checked.count, request.on_empty))
        else:
            reduced.append(host_sums[at] if host_sums is not None else 0.0)
    losses = typed(np.array(reduced), FLOATING[segments[0].checked.dtype])

    results = []
    for at, (request, segment) in enumerate(zip(batch, segments, strict=True)):
        checked = segment.checked
        loss: Any = losses[at]
        if checked.reduction == "none" and values is not None:
            loss = reduce.part(values, segment).reshape(checked.layout.unreduced)
        own = {
            name: host_narrowed[at, name]
            if (at, name) in host_narrowed
            else cut(host_gradients[name], name, segment, request)
            for name in checked.gradients
        }
        divisor = None if terms.sizes is not None else host_divisors[at]
        results.append(_result(checked, loss, own, divisor, extras))
    return results


class Totals(NamedTuple):
    """One number a segment: plain sums (`None` where no segment asks), what means divide, and what they divide by."""

    sums: Tensor | None
    numerators: Tensor | None
    divisors: Tensor | None


def totals(terms: Terms, segments: Sequence[Segment]) -> Totals:
    """Plain sums, and what means divide: the same, but where a formula gives its values sizes."""
    reduced = any([segment.checked.reduction != "none" for segment in segments])  # noqa: C419 - quicker
    sums = reduce.totals(terms.values, segments) if reduced else None
    return Totals(
        sums,
        sums if terms.sizes is None else reduce.totals(terms.values.detach() / terms.sizes, segments),
        None if terms.shares is None else reduce.totals(terms.shares, segments),
    )


def backward(
    terms: Terms,
    inputs: dict[str, Tensor],
    scale: Tensor | None,
    segments: Sequence[Segment],
    numerators: Tensor | None,
    divisors: Tensor | None,
    *,
    again: bool = False,
) -> Gradients:
    """One backward pass over the whole stack, each segment with its own scale; `again`: more of them are to come."""
    if terms.backward is None and not terms.values.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in inputs.items()}
    outputs = [terms.values]
    if scale is not None:
        scales = [scale]
    else:
        kind = reduce.accumulator(terms.values.dtype)
        counts = torch.tensor([s.checked.count for s in segments], dtype=kind, device=terms.values.device)
        sums = torch.zeros_like(counts) if numerators is None else numerators
        for_values, for_shares = reduce.device_scale(terms, segments, sums, counts if divisors is None else divisors)
        scales = [for_values]
        if terms.shares is not None and terms.shares.requires_grad:
            outputs.append(terms.shares)
            scales.append(for_shares)
    if terms.backward is not None:
        return terms.backward(scales[0])
    found = backward_pass(outputs, list(inputs.values()), scales, again=again)
    return dict(zip(inputs, found, strict=True))


def narrow(segments: Sequence[Segment], gradients: Gradients) -> dict[tuple[int, str], Tensor]:
    """Gradients in tensors that were broadcast: summed back to the tensor's own shape, segment by segment."""
    found = {}
    for at, segment in enumerate(segments):
        layout = segment.checked.layout
        for name in layout.spread:
            if name in segment.checked.gradients and layout.shapes[name] != layout.unreduced:
                full = gradients[name][segment.start : segment.stop].reshape(layout.unreduced)
                own = full.sum_to_size(*layout.spread[name]) if layout.spread[name] else full.sum()
                found[at, name] = own.reshape(layout.shapes[name])
    return found


def cut(gradient: NDArray[Any], name: str, segment: Segment, request: LossRequest) -> NDArray[Any]:
    """A segment's gradient in one tensor, of the tensor's own shape."""
    if request.stacking == "alone" or name in segment.checked.layout.shared:
        return gradient
    return gradient[segment.start : segment.stop].reshape(segment.checked.tensors[name].shape)


def typed(array: Any, dtype: np.dtype) -> Any:
    """The array in the request's type: computed wider, it is rounded here."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype)


def _result(
    checked: Checked,
    loss: Any,
    gradients: dict[str, NDArray[Any]],
    divisor: float | None,
    extras: dict[str, NDArray[Any]],
) -> LossResult:
    dtype = FLOATING[checked.dtype]
    return LossResult(
        typed(loss, dtype),
        {name: typed(gradient, dtype) for name, gradient in gradients.items()},
        checked.reduction,
        None if divisor is None else float(divisor),
        checked.count,
        checked.ignored,
        checked.dtype,
        checked.warnings,
        {name: typed(extra, dtype) for name, extra in extras.items()} if extras else extras,
    )


def nothing(request: LossRequest) -> LossResult:
    """The answer where the unreduced loss has no elements: torch is not asked."""
    checked = request.checked
    dtype = FLOATING[checked.dtype]
    divisor = 0.0 if checked.divisor is None else float(checked.divisor)
    loss: Any = np.zeros(checked.layout.unreduced, dtype)
    if checked.reduction != "none":
        mean = reduce.quotient(0.0, divisor, 0, request.on_empty)
        loss = np.array(mean if checked.reduction in MEANS else 0.0).astype(dtype)
    gradients = {name: np.zeros_like(checked.tensors[name]) for name in checked.gradients}
    extras = {name: np.zeros(checked.layout.unreduced, dtype) for name in request.extra_answers}
    return _result(checked, loss, gradients, divisor, extras)


def _hold_to_contract(request: LossRequest, terms: Terms, values: Shape) -> None:
    """A formula that breaks its class's word must fail here, not answer wrongly."""
    if tuple(terms.values.shape) != values:
        raise AssertionError(
            f"{request.name}: the formula gave {tuple(terms.values.shape)}, the class promises {values}"
        )
    if (terms.shares is None and terms.sizes is None) != (request.checked.divisor is not None):
        raise AssertionError(f"{request.name}: the class and its formula disagree on who tells the divisor")
    if tuple(terms.extras) != request.extra_answers:
        raise AssertionError(f"{request.name}: extras {tuple(terms.extras)}, promised {request.extra_answers}")
