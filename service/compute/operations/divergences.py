"""Entropies and divergences of distributions, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from schemas.operation import OperationResult, Path
from schemas.operations.divergences import Distributions, Divergences, Entropy
from service.compute.backward_pass import backward_pass
from service.compute.operations.register import answered, register, uploaded
from service.compute.transfer import Device


@register(Entropy)
def _(r: Entropy, device: Device) -> OperationResult:
    t = uploaded(r, device)
    cotangent = t.get("cotangent")
    return _measured(r, device, t, {} if cotangent is None else {"entropy": cotangent})


@register(Divergences)
def _(r: Divergences, device: Device) -> OperationResult:
    t = uploaded(r, device)
    return _measured(r, device, t, {name: t[f"cotangents.{name}"] for name in r.cotangents})


def _measured(r: Distributions, device: Device, t: dict[str, Tensor], cotangents: dict[str, Tensor]) -> OperationResult:
    inputs: dict[str, Tensor] = {name: t[name] for name in ("p", "q") if name in t}
    with torch.set_grad_enabled(bool(cotangents)):
        for tensor in inputs.values():
            tensor.requires_grad_(bool(cotangents))
        measures = _measures(r, inputs)
    found: dict[Path, Tensor] = {(name,): measure for name, measure in measures.items()}
    if not cotangents:
        return answered(r, device, found, {"gradients": {}})
    outputs = [measures[name] for name in cotangents]
    gradients = backward_pass(outputs, list(inputs.values()), list(cotangents.values()))
    found |= {("gradients", name): gradient for name, gradient in zip(inputs, gradients, strict=True)}
    return answered(r, device, found)


def _measures(r: Distributions, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    p, log_p = _distribution(r, inputs["p"])

    def expected(weights: Tensor, values: Tensor) -> Tensor:
        """The expected value over the dim, in the base's unit."""
        total = _product(weights, values).sum(r.dim)
        return total / math.log(2) if r.base == "2" else total

    found = {"entropy": 0 - expected(p, log_p)}
    if "q" not in inputs:
        return found
    q, log_q = _distribution(r, inputs["q"])
    log_m = _log((p + q) / 2)
    return {
        **found,
        "cross_entropy": 0 - expected(p, log_q),
        "kl": expected(p, log_p - log_q),
        "reverse_kl": expected(q, log_q - log_p),
        "jensen_shannon": (expected(p, log_p - log_m) + expected(q, log_q - log_m)) / 2,
    }


def _distribution(r: Distributions, numbers: Tensor) -> tuple[Tensor, Any]:
    """Probabilities and their logarithms."""
    if r.given == "probabilities":
        return numbers, _log(numbers)
    log = F.log_softmax(numbers, r.dim) if r.given == "logits" else numbers
    return log.exp(), log


def _product(weights: Tensor, values: Tensor) -> Tensor:
    """Weights times values; 0, with no gradient, where a weight is 0 and its value no finite number."""
    dead = (weights == 0) & ~values.isfinite()
    return weights * values.masked_fill(dead, 0)


def _log(x: Tensor) -> Tensor:
    found: Tensor = _Log.apply(x)  # type: ignore[no-untyped-call] # torch leaves it so
    return found


class _Log(torch.autograd.Function):
    """The logarithm; where no gradient comes down to it, none goes on: torch's own makes NaN of 0 / 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Save x."""
        ctx.save_for_backward(x)
        return x.log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The gradient over x."""
        (x,) = ctx.saved_tensors
        over: Tensor = gradient / x
        return over.masked_fill(gradient == 0, 0)
