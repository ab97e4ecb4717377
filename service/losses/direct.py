"""Losses whose gradient in the input comes from torch's own backward kernels, called without recording a graph.

Autograd calls the same kernels with the same arguments, so the bits are the same; what it does around them takes longer
than computing a small batch (docs/adr/0006-kernels-without-a-graph.md).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from service.losses.formula import Tensors, Terms

_ATEN: Final[Any] = torch.ops.aten
_NLL: Final = _ATEN.nll_loss_forward.default
_NLL_BACKWARD: Final = _ATEN.nll_loss_backward.default
_LOG_SOFTMAX_BACKWARD: Final = _ATEN._log_softmax_backward_data.default  # noqa: SLF001 - an operator of ATen's core set
_MSE_BACKWARD: Final = _ATEN.mse_loss_backward.default
_SMOOTH_L1_BACKWARD: Final = _ATEN.smooth_l1_loss_backward.default
_HUBER_BACKWARD: Final = _ATEN.huber_loss_backward.default
_NONE: Final = 0
"""The reduction `none`, as kernels have it."""


def wanted(t: Tensors) -> bool:
    """Whether the gradient is wanted in the input, and in nothing else."""
    return [name for name, tensor in t.items() if tensor.requires_grad] == ["input"]


def cross_entropy(t: Tensors, ignore_index: int) -> Terms:
    """Logits N C against class indices N, with or without class weights."""
    logits = t["input"].detach()
    log_probs = torch.log_softmax(logits, 1)
    target, weight = t["target"], t.get("weight")
    values, total = _NLL(log_probs, target, weight, _NONE, ignore_index)

    def backward(scale: Tensor) -> Tensors:
        inner = _NLL_BACKWARD(scale, log_probs, target, weight, _NONE, ignore_index, total)
        return {"input": _LOG_SOFTMAX_BACKWARD(inner, log_probs, 1, logits.dtype)}

    return Terms(values, backward=backward)


def nll(t: Tensors, ignore_index: int) -> Terms:
    """Log-probabilities N C against class indices N, with or without class weights."""
    log_probs, target, weight = t["input"].detach(), t["target"], t.get("weight")
    values, total = _NLL(log_probs, target, weight, _NONE, ignore_index)

    def backward(scale: Tensor) -> Tensors:
        return {"input": _NLL_BACKWARD(scale, log_probs, target, weight, _NONE, ignore_index, total)}

    return Terms(values, backward=backward)


def mse(t: Tensors) -> Terms:
    """Squared errors."""
    x, y = t["input"].detach(), t["target"]
    values = torch.nn.functional.mse_loss(x, y, reduction="none")
    return Terms(values, backward=lambda scale: {"input": _MSE_BACKWARD(scale, x, y, _NONE)})


def smooth_l1(t: Tensors, beta: float) -> Terms:
    """Squared below `beta`, linear above."""
    x, y = t["input"].detach(), t["target"]
    values = torch.nn.functional.smooth_l1_loss(x, y, beta=beta, reduction="none")
    return Terms(values, backward=lambda scale: {"input": _SMOOTH_L1_BACKWARD(scale, x, y, _NONE, beta)})


def huber(t: Tensors, delta: float) -> Terms:
    """Squared below `delta`, linear above."""
    x, y = t["input"].detach(), t["target"]
    values = torch.nn.functional.huber_loss(x, y, delta=delta, reduction="none")
    return Terms(values, backward=lambda scale: {"input": _HUBER_BACKWARD(scale, x, y, _NONE, delta)})
