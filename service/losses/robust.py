"""Regression losses that outliers, quantiles or positive targets ask for."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F

from schemas.losses.robust import Cauchy, Charbonnier, GammaDeviance, LogCosh, Quantile, TweedieDeviance, Wing
from service.losses.formula import Tensors, Terms, register


def weighted(values: torch.Tensor, t: Tensors) -> Terms:
    """The values times their weights, where there are any; those are what mean divides by."""
    return Terms(values * t["weight"], shares=t["weight"]) if "weight" in t else Terms(values)


@register(Quantile, half=False)
def _(r: Quantile, t: Tensors) -> Terms:
    error = t["target"] - t["input"]
    return weighted(torch.maximum(r.quantile * error, (r.quantile - 1) * error), t)


@register(LogCosh, half=False)
def _(_r: LogCosh, t: Tensors) -> Terms:
    error = t["input"] - t["target"]
    size = error.abs()
    # Near 0 the large form cancels, in its gradient too; far from it the small one overflows, and is kept from there.
    small = torch.log1p(2 * torch.sinh(error.clamp(-1, 1) / 2).square())
    large = size + F.softplus(-2 * size) - math.log(2)
    return Terms(torch.where(size <= 1, small, large))


@register(Charbonnier, half=False)
def _(r: Charbonnier, t: Tensors) -> Terms:
    error = t["input"] - t["target"]
    return Terms(torch.hypot(error, error.new_full((), r.eps)))  # squares neither overflow nor vanish


@register(Cauchy, half=False)
def _(r: Cauchy, t: Tensors) -> Terms:
    error = (t["input"] - t["target"]) / r.scale
    near = torch.log1p(0.5 * error.clamp(-1, 1).square())
    far = 2 * torch.log(
        torch.hypot(error.new_ones(()), error * math.sqrt(0.5))
    )  # its square may be beyond every number
    return Terms(torch.where(error.abs() < 1, near, far))


@register(Wing, half=False)
def _(r: Wing, t: Tensors) -> Terms:
    size = (t["input"] - t["target"]).abs()
    bent = r.width * torch.log1p(size / r.curvature)
    straight = size - (r.width - r.width * math.log1p(r.width / r.curvature))
    return Terms(torch.where(size < r.width, bent, straight))


def deviance(power: float, x: torch.Tensor, y: torch.Tensor, *, log_input: bool) -> torch.Tensor:
    """The Tweedie deviance of each observation y, of a mean x or its logarithm."""
    if power == 0:
        return (y - (x.exp() if log_input else x)).square()
    # Where both are close, the definition's terms cancel; there it is told by y/m - 1 and its logarithm.
    with torch.no_grad():
        close = (y > 0) & ((y.log() - x).abs() < CLOSE if log_input else (y - x).abs() < CLOSE * x)
    near = torch.where(close, y, 1.0), torch.where(close, x, 0.0 if log_input else 1.0)
    return 2 * torch.where(close, _close(power, *near, log_input), _defined(power, x, y, log_input))


CLOSE: Final = 0.5
"""How far from 1 their quotient may be (with `log_input`: from 0 its logarithm)."""


def _close(power: float, y: torch.Tensor, x: torch.Tensor, log_input: bool) -> torch.Tensor:
    """Half of it for positive y, near the mean m: by u = y/m - 1 and log(y/m)."""
    if log_input:
        log_ratio = y.log() - x
        u = log_ratio.expm1()
    else:
        u = (y - x) / x
        log_ratio = u.log1p()
    if power == 2:
        return u - log_ratio
    low, high = 1 - power, 2 - power
    to_high = torch.exp(high * x) if log_input else x.pow(high)
    if power == 1:
        return to_high * ((1 + u) * log_ratio - u)
    return to_high * ((high * log_ratio).expm1() - high * u) / (low * high)


def _defined(power: float, x: torch.Tensor, y: torch.Tensor, log_input: bool) -> torch.Tensor:
    """Half of it, as it is defined."""
    if power == 1:
        mean, log_mean = (x.exp(), x) if log_input else (x, x.log())
        # entr(y) = -y log y is 0 at 0, and its gradient what it must be.
        negated: torch.Tensor = torch.special.entr(y)
        return mean - y - y * log_mean - negated
    if power == 2:
        log_mean, ratio = (x, y * torch.exp(-x)) if log_input else (x.log(), y / x)
        return log_mean - y.log() + ratio - 1

    def mean_to(exponent: float) -> torch.Tensor:
        return torch.exp(exponent * x) if log_input else x.pow(exponent)

    low, high = 1 - power, 2 - power
    alone = (y.clamp(min=0) if power < 0 else y).pow(high) / (low * high)
    return alone - y * mean_to(low) / low + mean_to(high) / high


@register(TweedieDeviance, half=False)
def _(r: TweedieDeviance, t: Tensors) -> Terms:
    return weighted(deviance(r.power, t["input"], t["target"], log_input=r.log_input), t)


@register(GammaDeviance, half=False)
def _(r: GammaDeviance, t: Tensors) -> Terms:
    return weighted(deviance(2, t["input"], t["target"], log_input=r.log_input), t)
