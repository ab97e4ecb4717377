"""Causes that lie in a member of the request: it is left out, taken twice, or at its default."""

from __future__ import annotations

import numpy as np

from schemas.dtype import is_floating
from schemas.tensor import Tensor
from service.compute.checking.case import Case
from service.compute.checking.causes import Found, cause

OWN_CAUSES = ("label_smoothing", "ignore_index")
"""Options that have causes of their own."""


@cause("weights_left_out", "Weights are left out.")
def _(case: Case) -> Found:
    there = [name for name in ("weight", "pos_weight") if name in case.request.checked.tensors]
    for name in there:
        yield name, case.again((name,), gradients=[one for one in case.request.checked.gradients if one != name])
    if len(there) > 1:
        kept = [one for one in case.request.checked.gradients if one not in there]
        yield " and ".join(there), case.again(tuple(there), gradients=kept)


@cause("mask_left_out", "A mask is left out: what it leaves out contributes.")
def _(case: Case) -> Found:
    request = case.request
    for name, spec in request.tensor_fields.items():
        if (
            spec.kind == "mask"
            and name in request.checked.tensors
            and not type(request).model_fields[name].is_required()
        ):
            yield name, case.again((name,))


@cause("label_smoothing_left_out", "label_smoothing is left out.")
def _(case: Case) -> Found:
    if case.request.__dict__.get("label_smoothing"):
        yield "", case.again(label_smoothing=0.0)


@cause("label_smoothing_twice", "label_smoothing is applied twice.")
def _(case: Case) -> Found:
    smoothing = case.request.__dict__.get("label_smoothing")
    if smoothing:
        yield "smoothed targets are smoothed again", case.again(label_smoothing=smoothing * (2 - smoothing))
        yield "twice its share", case.again(label_smoothing=2 * smoothing)


@cause("ignore_index_not_honoured", "ignore_index is not honoured: what is to be ignored contributes.")
def _(case: Case) -> Found:
    request = case.request
    target = request.checked.tensors.get("target")
    ignored = request.__dict__.get("ignore_index")
    classes = request.checked.layout.classes
    if ignored is None or target is None or not classes or is_floating(target.dtype) or not (target == ignored).any():
        return
    own = [ignored] if 0 <= ignored < classes else []
    for stands_for in dict.fromkeys((*own, 0, classes - 1)):
        replaced = Tensor(np.where(target == ignored, stands_for, target), typed=True)
        yield f"as class {stands_for}", case.again(target=replaced, ignore_index=-1)


@cause("option_at_default", "An option has its default, not what was asked for.")
def _(case: Case) -> Found:
    request = case.request
    for name in request.option_names:
        info = type(request).model_fields[name]
        if name in OWN_CAUSES or info.is_required() or request.__dict__[name] == info.default:
            continue
        told = "left out" if info.default is None else f"{info.default}, not {request.__dict__[name]}"
        yield f"{name}: {told}", case.again((name,))
