"""Losses whose gradient in the input comes from torch's own backward kernels, called without recording a graph.

Autograd calls the same kernels with the same arguments, so the bits are the same; what it does around them takes longer
than computing a small batch (docs/adr/0006-kernels-without-a-graph.md).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from schemas.losses.classification import NLL, CrossEntropy
from schemas.losses.regression import MSE, Huber, SmoothL1
from service.losses import regression  # noqa: F401 - kernels are added to formulas that are there
from service.losses.classification import class_shares
from service.losses.formula import Tensors, Terms, with_kernels


def _kernel(name: str) -> Any:
    """An operator of ATen, without the Python around it, which takes as long again as the smallest of them."""
    return getattr(torch.ops.aten, name).default._op  # noqa: SLF001


_LOG_SOFTMAX: Final = torch._log_softmax  # noqa: SLF001 - what log_softmax calls
_NLL: Final = _kernel("nll_loss_forward")
_NLL_BACKWARD: Final = _kernel("nll_loss_backward")
_LOG_SOFTMAX_BACKWARD: Final = torch._log_softmax_backward_data  # noqa: SLF001
_MSE_BACKWARD: Final = _kernel("mse_loss_backward")
_SMOOTH_L1_BACKWARD: Final = _kernel("smooth_l1_loss_backward")
_HUBER_BACKWARD: Final = _kernel("huber_loss_backward")
_NONE: Final = 0
"""The reduction `none`, as kernels have it."""


@with_kernels(CrossEntropy)
def _(r: CrossEntropy, t: Tensors) -> Terms | None:
    """Logits N C against class indices N, with or without class weights."""
    logits, target, weight, ignored = t["input"], t["target"], t.get("weight"), r.ignore_index
    if logits.dim() != 2 or target.is_floating_point() or r.label_smoothing:
        return None
    log_probs = _LOG_SOFTMAX(logits, 1, False)  # no half to float
    values, total = _NLL(log_probs, target, weight, _NONE, ignored)

    def backward(scale: Tensor) -> Tensors:
        inner = _NLL_BACKWARD(scale, log_probs, target, weight, _NONE, ignored, total)
        return {"input": _LOG_SOFTMAX_BACKWARD(inner, log_probs, 1, logits.dtype)}

    return Terms(values, shares=None if weight is None else class_shares(t, ignored), backward=backward)


@with_kernels(NLL)
def _(r: NLL, t: Tensors) -> Terms | None:
    """Log-probabilities N C against class indices N, with or without class weights."""
    log_probs, target, weight, ignored = t["input"], t["target"], t.get("weight"), r.ignore_index
    if log_probs.dim() != 2:
        return None
    values, total = _NLL(log_probs, target, weight, _NONE, ignored)

    def backward(scale: Tensor) -> Tensors:
        return {"input": _NLL_BACKWARD(scale, log_probs, target, weight, _NONE, ignored, total)}

    return Terms(values, shares=None if weight is None else class_shares(t, ignored), backward=backward)


@with_kernels(MSE)
def _(_r: MSE, t: Tensors) -> Terms | None:
    """Squared errors."""
    if "weight" in t:
        return None
    x, y = t["input"], t["target"]
    values = torch.nn.functional.mse_loss(x, y, reduction="none")
    return Terms(values, backward=lambda scale: {"input": _MSE_BACKWARD(scale, x, y, _NONE)})


@with_kernels(SmoothL1)
def _(r: SmoothL1, t: Tensors) -> Terms | None:
    """Squared below beta, linear above; with a beta of 0 it is the absolute error, whose gradient at 0 is another."""
    beta = r.beta
    if not beta:
        return None
    x, y = t["input"], t["target"]
    values = torch.nn.functional.smooth_l1_loss(x, y, beta=beta, reduction="none")
    return Terms(values, backward=lambda scale: {"input": _SMOOTH_L1_BACKWARD(scale, x, y, _NONE, beta)})


@with_kernels(Huber)
def _(r: Huber, t: Tensors) -> Terms | None:
    """Squared below delta, linear above."""
    if "weight" in t:
        return None
    x, y, delta = t["input"], t["target"], r.delta
    values = torch.nn.functional.huber_loss(x, y, delta=delta, reduction="none")
    return Terms(values, backward=lambda scale: {"input": _HUBER_BACKWARD(scale, x, y, _NONE, delta)})
