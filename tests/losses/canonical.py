"""The canonical form of a loss that is not torch's own: written plainly from its source, computed in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Any]
Options = dict[str, Any]


def every(_t: Tensors, _options: Options, unreduced: Tensor) -> tuple[float, int]:
    """Each element contributes, and counts once."""
    return float(unreduced.numel()), 0


def masked(t: Tensors, _options: Options, unreduced: Tensor) -> tuple[float, int]:
    """Each element counts once, but those that the mask takes out."""
    ignored = int((~t["mask"]).sum()) if "mask" in t else 0
    return float(unreduced.numel() - ignored), ignored


@dataclass(frozen=True)
class Reference:
    """How a loss is defined.

    `unreduced`: the loss of each element, of tensors (floating ones float64, indices int64, masks boolean) and the
    options that the request has. `divisor`: what `mean` divides by (`None`: it is no quotient), and how many elements
    are ignored. `mean`: the mean, where it is no quotient of the values' sum. `cancels`: gradients are differences of
    numbers as large as the loss, whose roundings stay in them.
    """

    unreduced: Callable[[Tensors, Options], Tensor]
    divisor: Callable[[Tensors, Options, Tensor], tuple[float | None, int]] = every
    mean: Callable[[Tensors, Options], Tensor] | None = None
    cancels: bool = False

    def call(self, t: Tensors, options: Options, reduction: str) -> Tensor:
        """The loss."""
        values = self.unreduced(t, options)
        if reduction == "none":
            return values
        if reduction == "sum":
            return values.sum()
        if self.mean is not None:
            return self.mean(t, options)
        divisor, _ = self.divisor(t, options, values)
        if not divisor:  # nothing contributes: NaN, without gradients
            return torch.full_like(values.detach().sum(), math.nan)
        return values.sum() / divisor
