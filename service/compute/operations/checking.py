"""Checking another implementation: compare, look for the cause of what is wrong, and take differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from schemas.dims import Shape, show
from schemas.dtype import FLOATING
from schemas.operation import OperationResult, Path
from schemas.operations.checking import Check
from schemas.problem import Fault, pointer
from schemas.request import LossRequest
from service.compute.batch import typed
from service.compute.checking.case import Array, Case, answer_of, case_of, variant
from service.compute.checking.causes import TRANSPOSED
from service.compute.checking.comparison import Difference, Spot, Tolerance, compare, largest, tolerance
from service.compute.checking.finite_differences import Sweep, advance, largest_differences, sweep_of
from service.compute.checking.hints import Hint, by_name, hints
from service.compute.operations.register import register
from service.compute.operations.rest import later
from service.compute.transfer import Device

LEAST_ELEMENTS = 512
"""Elements whose loss takes about as long as that of none."""
SEVERITY = ("equal", "close", "wrong")


@dataclass(slots=True)
class Findings:
    """A check so far: the reference in its own type, and all that was found out.

    `turned`: given tensors whose dims stand in another order than the reference's, and both shapes.
    """

    reference: dict[str, Array]
    given: dict[str, Array]
    compared: dict[str, Difference]
    hints: list[Hint]
    warnings: list[str]
    turned: list[tuple[str, Shape, Shape]]


@register(Check)
def _(r: Check, device: Device) -> OperationResult:
    wanted = tuple(dict.fromkeys((*r.request.checked.gradients, *(r.gradients or {}))))
    case = case_of(r.request, wanted, device)
    findings = _compared(r, case, device)
    faults = [
        Fault(pointer(*name.split(".", 1)), f"shape {show(shape)} is not the reference's, which is {show(wanted)}")
        for name, shape, wanted in findings.turned
        if not any(hint.code == TRANSPOSED and name in hint.explains for hint in findings.hints)
    ]
    if faults:
        return OperationResult({}, {}, r.request.checked.dtype, faults=faults)
    if not r.finite_differences:
        return _answered(r, findings, {})
    return _swept(r, findings, case, sweep_of(case.request, r.step))


def _swept(r: Check, findings: Findings, case: Case, sweep: Sweep) -> OperationResult:
    """The rest of a check with differences: so many coordinates a turn."""
    if sweep.done:
        return _answered(r, findings, {"finite_differences": _slopes(sweep, case, findings.given)})
    elements = 2 * sweep.turn * max(sweep.request.checked.layout.elements, LEAST_ELEMENTS)
    return later(r, elements, lambda device: _swept(r, findings, case, advance(sweep, device)))


def _compared(r: Check, case: Case, device: Device) -> Findings:
    checked = r.request.checked
    own = _alike(case.request, checked.dtype)
    exact, _ = answer_of(own, device)
    reference = by_name(exact)
    narrow, _ = answer_of(_alike(case.request, "float32"), device)
    rounded, right = by_name(narrow), by_name(case.answer)
    given = {f"gradients.{name}": tensor.array for name, tensor in (r.gradients or {}).items()}
    loss = r.__dict__["loss"]
    if loss is not None:
        given = {"loss": loss.array, **given}
    compared: dict[str, Difference] = {}
    allowed: dict[str, Tolerance] = {}
    turned: dict[str, tuple[Shape, Shape]] = {}
    terms = _terms(case)
    for name, theirs in given.items():
        with np.errstate(invalid="ignore"):
            lost = largest(rounded[name] - right[name])
        allowed[name] = tolerance(right[name], lost, terms, checked.dtype, r.rtol, r.atol)
        if theirs.shape != reference[name].shape:
            turned[name] = (theirs.shape, reference[name].shape)
            given[name] = _in_memory_of(theirs, reference[name])
        compared[name] = compare(given[name], reference[name], checked.dtype, allowed[name])
    wrong = {name for name, difference in compared.items() if difference.verdict == "wrong" or name in turned}
    told = hints(case, given, allowed, wrong) if wrong else []
    for name in turned:
        compared[name] = replace(compared[name], verdict="wrong")
    shapes = [(name, *both) for name, both in turned.items()]
    return Findings(reference, given, compared, told, r.request.checked.warnings, shapes)


def _terms(case: Case) -> float:
    """About how large the terms of gradients are: upstream gradient times loss, or slopes of 1, over the divisor."""
    checked = case.request.checked
    upstream = 1.0 if checked.cotangent is None else largest(np.asarray(checked.cotangent, np.float64))
    divisor = case.divisor if checked.reduction in ("mean", "batchmean") and case.divisor else 1.0
    return upstream * max(1.0, largest(case.answer.loss)) / abs(divisor)


def _alike(request: LossRequest, dtype: str) -> LossRequest:
    """The same request in another type."""
    return variant(request, dtype=dtype)


def _in_memory_of(theirs: Array, reference: Array) -> Array:
    """The numbers of a tensor whose dims stand in another order, read in the reference's shape."""
    return np.ascontiguousarray(theirs).reshape(reference.shape)


def _answered(r: Check, findings: Findings, more: dict[str, Any]) -> OperationResult:
    dtype = FLOATING[r.request.checked.dtype]
    tensors: dict[Path, Array] = {}
    for name, array in findings.reference.items():
        tensors[tuple(name.split(".", 1))] = typed(np.asarray(array), dtype)
    verdicts = [difference.verdict for difference in findings.compared.values()]
    members: dict[str, Any] = {
        "verdict": max(verdicts, key=SEVERITY.index, default=None),
        "compared": [_told(name, difference) for name, difference in findings.compared.items()],
        "hints": [
            {"code": one.code, "sentence": one.sentence, "explains": list(one.explains), "difference": one.difference}
            for one in findings.hints
        ],
        "gradients": {},
        **more,
    }
    return OperationResult(tensors, members, r.request.checked.dtype, findings.warnings)


def _told(name: str, difference: Difference) -> dict[str, Any]:
    return {
        "tensor": name,
        "verdict": difference.verdict,
        "absolute": _spot(difference.absolute),
        "relative": _spot(difference.relative),
        "ulps": _spot(difference.ulps),
        "beyond": difference.beyond,
        "elements": difference.elements,
        "rtol": difference.tolerance.rtol,
        "atol": difference.tolerance.atol,
    }


def _spot(spot: Spot) -> dict[str, Any]:
    value: Any = spot.value if np.isfinite(spot.value) else "Infinity"
    return {"value": value, "at": None if spot.at is None else list(spot.at)}


def _slopes(sweep: Sweep, case: Case, given: dict[str, Array]) -> dict[str, Any]:
    theirs = {name: given[f"gradients.{name}"] for name in case.answer.gradients if f"gradients.{name}" in given}
    ours, others = largest_differences(sweep, case.answer.gradients), largest_differences(sweep, theirs)
    tensors = [
        {
            "tensor": name,
            "checked": found.checked,
            "reference": _spot(Spot(found.value, found.at)),
            "theirs": _spot(Spot(others[name].value, others[name].at)) if name in others else None,
        }
        for name, found in ours.items()
    ]
    return {"coordinates": len(sweep.coordinates), "of": sweep.total, "step": sweep.step, "tensors": tensors}
