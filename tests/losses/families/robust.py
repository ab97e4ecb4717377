"""Requests of the regression losses that outliers, quantiles or positive targets ask for, and what they are."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Draw
from tests.losses.families.plain import Request, pair


def quantile(d: Draw) -> Request:
    return {**pair(d), **d.option("quantile", 0.9, 0.125)}


def pinball(t: Tensors, options: Options) -> Tensor:
    """scikit-learn's mean_pinball_loss (1.7, sklearn/metrics/_regression.py), where y is true and x predicted."""
    q = options.get("quantile", 0.5)
    error = t["target"] - t["input"]
    kink = (error == 0) * (0.5 - q) * (t["input"] - t["input"].detach())  # its value there is 0
    return torch.where(error > 0, q * error, torch.where(error < 0, (q - 1) * error, kink))


BUILDERS = {"quantile_loss": quantile}
REFERENCES = {"quantile_loss": Reference(pinball)}
