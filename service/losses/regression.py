"""Regression losses."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from schemas.losses.regression import L1, MSE, GaussianNLL, Huber, PoissonNLL, SmoothL1
from service.losses.formula import Tensors, Terms, register


@register(L1)
def _(_r: L1, t: Tensors) -> Terms:
    if "weight" in t:
        return Terms(torch.abs(t["input"] - t["target"]) * t["weight"], shares=t["weight"])
    return Terms(F.l1_loss(t["input"], t["target"], reduction="none"))


@register(MSE)
def _(_r: MSE, t: Tensors) -> Terms:
    if "weight" in t:
        return Terms(torch.pow(t["input"] - t["target"], 2) * t["weight"], shares=t["weight"])
    return Terms(F.mse_loss(t["input"], t["target"], reduction="none"))


@register(SmoothL1)
def _(r: SmoothL1, t: Tensors) -> Terms:
    return Terms(F.smooth_l1_loss(t["input"], t["target"], beta=r.beta, reduction="none"))


@register(Huber)
def _(r: Huber, t: Tensors) -> Terms:
    values = F.huber_loss(t["input"], t["target"], delta=r.delta, reduction="none")
    return Terms(values * t["weight"] if "weight" in t else values)


# In float16 the default eps is 0: a rate of 0 with a count of 0 would be NaN.
@register(PoissonNLL, half=False)
def _(r: PoissonNLL, t: Tensors) -> Terms:
    values = F.poisson_nll_loss(
        t["input"], t["target"], log_input=r.log_input, full=r.full, eps=r.eps, reduction="none"
    )
    return Terms(values)


@register(GaussianNLL)
def _(r: GaussianNLL, t: Tensors) -> Terms:
    # (log v + (x - y)^2 / v) / 2; the clamp is outside the graph, as in torch. F.gaussian_nll_loss would look at the
    # values again, which the request's own check has done, and on a GPU wait for them.
    var = t["var"].clone()
    with torch.no_grad():
        var.clamp_(min=r.eps)
    values = 0.5 * (torch.log(var) + (t["input"] - t["target"]) ** 2 / var)
    return Terms(values + 0.5 * math.log(2 * math.pi) if r.full else values)
