"""Activations and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from schemas.operation import OperationResult, Path
from schemas.operations.activations import Activation, LogSigmoid, LogSoftmax, Sigmoid, Softmax
from service.compute.backward_pass import backward_pass
from service.compute.operations.register import answered, register, uploaded
from service.compute.transfer import Device


def _activated(r: Activation, device: Device, activation: Callable[[Tensor], Tensor]) -> OperationResult:
    t = uploaded(r, device)
    scores, cotangent = t["input"], t.get("cotangent")
    with torch.set_grad_enabled(cotangent is not None):
        scores.requires_grad_(cotangent is not None)
        output = activation(scores if r.temperature == 1 else scores / r.temperature)
    found: dict[Path, Tensor] = {("output",): output}
    if cotangent is not None:
        (found["gradients", "input"],) = backward_pass([output], [scores], [cotangent])
    return answered(r, device, found, {"gradients": {}} if cotangent is None else None)


@register(Softmax)
def _(r: Softmax, device: Device) -> OperationResult:
    return _activated(r, device, lambda x: F.softmax(x, r.dim))


@register(LogSoftmax)
def _(r: LogSoftmax, device: Device) -> OperationResult:
    return _activated(r, device, lambda x: F.log_softmax(x, r.dim))


@register(Sigmoid)
def _(r: Sigmoid, device: Device) -> OperationResult:
    return _activated(r, device, torch.sigmoid)


@register(LogSigmoid)
def _(r: LogSigmoid, device: Device) -> OperationResult:
    return _activated(r, device, F.logsigmoid)
