"""Regression losses that outliers, quantiles or positive targets ask for."""

from __future__ import annotations

import torch

from schemas.losses.robust import Quantile
from service.losses.formula import Tensors, Terms, register


@register(Quantile, half=False)
def _(r: Quantile, t: Tensors) -> Terms:
    error = t["target"] - t["input"]
    return Terms(torch.maximum(r.quantile * error, (r.quantile - 1) * error))
