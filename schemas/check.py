"""The checks that all losses share: shapes, sizes, types, values, gradients, cotangent; and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from schemas import values
from schemas.cotangents import check_cotangents
from schemas.dims import numel, show
from schemas.dtype import FLOATING, LARGEST, NAMES, FloatingName, cast_floating, is_floating, widest
from schemas.field import TensorField
from schemas.layout import MAX_EMPTY, Layout
from schemas.problem import TOO_LARGE, Fault, place, pointer
from schemas.tensor import MAX_TENSORS, Reading, Tensor

if TYPE_CHECKING:
    from schemas.request import LossRequest
    from schemas.tensor_request import TensorRequest

MEANS = ("mean", "batchmean")


@dataclass(slots=True)
class Checked:
    """A request ready to compute: arrays of their final types, and all that was worked out on the way.

    `tensors` by name, floating ones of type `dtype`, index and integer ones int64, masks boolean. `count` and
    `ignored`: contributing and ignored elements of the unreduced loss. `divisor`: what `mean` divides by, where that is
    a count. `key`: requests with an equal key may be stacked; `None` never is. `max_elements`: the limit that it was
    checked against.
    """

    tensors: dict[str, NDArray[Any]]
    layout: Layout
    dtype: FloatingName = "float32"
    reduction: str = "mean"
    gradients: tuple[str, ...] = ()
    cotangent: NDArray[Any] | None = None
    cotangents: NDArray[Any] | None = None
    count: int = 0
    ignored: int = 0
    divisor: int | None = None
    key: Hashable = None
    max_elements: int = 0
    warnings: list[str] = field(default_factory=list)


def check(request: LossRequest, reading: Reading, broken: set[str], faults: list[Fault]) -> Checked:
    """Check a request whose fields are read, except those that are `broken`; append to `faults` all that is wrong."""
    own = request.__dict__
    many = own["cotangents"]
    cotangent = own["cotangent"] if many is None else many
    checked, state = check_tensors(request, reading, broken, faults, cotangent)
    if state == "refused":
        return checked
    checked.reduction = reduction_of(request, checked)
    checked.gradients = gradients_of(request, checked, broken, faults)
    if state == "sound":
        request.check(checked, faults)
        checked.count -= checked.ignored
        empty = checked.count == 0 and not request.mean_divides(checked)
        if request.on_empty == "error" and empty and checked.reduction in MEANS:
            faults.append(Fault("/on_empty", "nothing contributes to the mean, and on_empty is error"))
        if many is None:
            checked.cotangent = cotangent_of(cotangent, checked, faults)
        else:
            check_cotangents(request, many, checked, faults)
    if not faults:
        checked.divisor = request.mean_divides(checked)
        checked.key = _key(request, checked) if many is None else None
    return checked


State = Literal["refused", "broken", "sound"]


def check_tensors(
    request: TensorRequest, reading: Reading, broken: set[str], faults: list[Fault], beside: Tensor | None = None
) -> tuple[Checked, State]:
    """The tensors of a request, `beside` among what they may need and what tells their type.

    `refused`: they are too large to be looked at; `sound`: all are there, and fit.
    """
    given = request.arrays()
    if broken:
        given = {name: tensor for name, tensor in given.items() if request.member_of(name) not in broken}
    layout = request.layout(tuple([(name, tensor.array.shape) for name, tensor in given.items()]))
    faults.extend(layout.faults)
    elements = layout.elements + (0 if beside is None else beside.array.size)
    if layout.hollow is not None:
        detail = f"a tensor without elements may have at most {MAX_EMPTY} empty rows"
        faults.append(Fault(place(layout.hollow), detail, TOO_LARGE))
        return Checked({}, layout), "refused"
    if elements > reading.max_elements:
        detail = f"the request needs {elements} elements, broadcasts expanded; the limit is {reading.max_elements}"
        faults.append(Fault("", detail, TOO_LARGE))
        return Checked({}, layout), "refused"
    checked = Checked({}, layout, dtype_of(request, given, beside), max_elements=reading.max_elements)
    _check_options(request, checked, faults)
    checked.count = numel(layout.unreduced)
    _check_tensors(request, given, checked, faults)
    whole = not broken and not layout.faults and len(checked.tensors) == len(given)
    return checked, "sound" if whole else "broken"


def dtype_of(request: TensorRequest, given: dict[str, Tensor], cotangent: Tensor | None) -> FloatingName:
    """The type that a request asks for, or else the widest of its tensors."""
    if request.dtype is not None:
        return request.dtype
    every = given.values() if cotangent is None else (*given.values(), cotangent)
    typed = [tensor.array.dtype for tensor in every if tensor.typed]
    floating = {NAMES[dtype] for dtype in typed if is_floating(dtype)} if typed else None
    return cast(FloatingName, widest(floating)) if floating else "float32"


def _check_options(request: TensorRequest, checked: Checked, faults: list[Fault]) -> None:
    """Numbers among the options must be numbers of the loss's type: torch refuses to convert what overflows it."""
    own = request.__dict__
    for name in request.option_names:
        value = own[name]
        if type(value) is float and math.isfinite(value) and abs(value) > LARGEST[checked.dtype]:
            faults.append(Fault(pointer(name), f"{value} is beyond the range of {checked.dtype}"))


def _check_tensors(request: TensorRequest, given: dict[str, Tensor], checked: Checked, faults: list[Fault]) -> None:
    wanted = FLOATING[checked.dtype]
    layout = checked.layout
    fields = request.fields_of(given)
    for name, tensor in given.items():
        spec = fields[name]
        array = tensor.array
        if spec.kind == "floating" or (spec.kind == "index" and layout.probabilities):
            array = cast_floating(array, wanted)
            if spec.domain != "any":
                values.check_domain(spec.domain, name, array, faults, checked.warnings)
        elif array.dtype.kind not in ("iub" if spec.kind == "mask" else "iu") and array.size:
            faults.append(values.not_whole(name, tensor))
            continue
        elif spec.kind == "mask":
            array = values.to_mask(name, array, faults)
            if spec.dims == request.unreduced and not (spec.chooses or layout.faulty(name)):
                checked.ignored += array.size - int(np.count_nonzero(array))
        else:
            array = array.astype(np.int64, copy=False)
            if spec.kind == "index" and layout.classes is not None and not layout.faulty(name):
                ignore = request.__dict__.get("ignore_index")
                checked.ignored += values.check_indices(name, array, layout.classes, ignore, faults)
        tensor.array, tensor.source = array, None  # the caller's own form is not needed any more
        checked.tensors[name] = array


def reduction_of(request: LossRequest, checked: Checked) -> str:
    """The reduction, or what size_average and reduce make of it: torch.nn._reduction.legacy_get_string."""
    own = request.__dict__  # past the descriptors that warn of deprecated fields
    size_average, reduce = own["size_average"], own["reduce"]
    if size_average is None and reduce is None:
        return cast(str, own["reduction"])
    for member in ("size_average", "reduce"):
        if own[member] is not None:
            checked.warnings.append(f"{member} is deprecated: use reduction")
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def gradients_of(request: LossRequest, checked: Checked, broken: set[str], faults: list[Fault]) -> tuple[str, ...]:
    """The tensors that gradients are wanted in; names that are none of them are faults."""
    if "gradients" in broken:
        return ()
    if request.gradients is None:
        return tuple([name for name in request.default_gradients() if name in checked.tensors])
    if len(request.gradients) > MAX_TENSORS:
        faults.append(
            Fault("/gradients", f"{len(request.gradients)} names; no loss has more than {MAX_TENSORS} tensors")
        )
        return ()
    known = request.fields_of(request.arrays())
    for at, name in enumerate(request.gradients):
        reason = None
        if name not in known and name not in request.tensor_fields:
            reason = f"{request.name} has no tensor {name!r}; its tensors are {', '.join(known)}"
        elif name in request.gradients[:at]:
            reason = f"{name} is named twice"
        elif request.member_of(name) in broken:
            continue
        elif name not in request.arrays():
            reason = f"{name} is not in the request"
        else:
            reason = not_differentiable(request, name, known[name], checked.layout)
        if reason:
            faults.append(Fault(pointer("gradients", at), reason))
    return tuple([name for name in request.gradients if name in checked.tensors])  # cotangents count their elements


def not_differentiable(request: LossRequest, name: str, spec: TensorField, layout: Layout) -> str | None:
    """Why there is no gradient in this tensor, if there is none."""
    if spec.differentiable == "always" or (spec.differentiable == "with probabilities" and layout.probabilities):
        return None
    if spec.kind != "floating":
        held = "booleans" if spec.kind == "mask" else "integers"
        return f"{name} holds {held}: there is no gradient in it"
    if spec.differentiable == "with probabilities":
        return f"PyTorch has no gradient in {name} when the targets are class indices"
    return f"PyTorch has no gradient of {request.name} in {name}"


def cotangent_of(given: Tensor | None, checked: Checked, faults: list[Fault]) -> NDArray[Any] | None:
    """The upstream gradient, in the loss's type and of its shape."""
    if given is None:
        return None
    wanted = checked.layout.unreduced if checked.reduction == "none" else ()
    if given.array.shape != wanted:
        detail = f"shape {show(given.array.shape)} is not the loss's shape, which is {show(wanted)}"
        faults.append(Fault("/cotangent", detail))
        return None
    given.array = cast_floating(given.array, FLOATING[checked.dtype])
    return given.array


def _key(request: LossRequest, checked: Checked) -> Hashable:
    """What must be equal for two requests to be computed in one stack; `None` where that is never so."""
    layout = checked.layout
    if request.stacking == "alone" or layout.elements > request.stack_limit or 0 in layout.unreduced:
        return None
    shared: tuple[bytes, ...] = ()
    if layout.shared:
        # The gradient in a tensor that all rows share is a sum over the rows of the whole stack.
        if any(name in checked.gradients for name in layout.shared):
            return None
        shared = tuple([checked.tensors[name].tobytes() for name in layout.shared])
    own = request.__dict__
    options = tuple([own[name] for name in request.option_names])
    if 0.0 in options and any([_is_negative_zero(value) for value in options if value == 0]):  # noqa: C419 - quicker
        options += (repr(options),)  # -0.0 equals 0.0, and may compute otherwise
    return (type(request), checked.dtype, layout.probabilities, layout.trailing, options, shared)


def _is_negative_zero(value: Any) -> bool:
    return type(value) is float and math.copysign(1, value) < 0
