"""Requests of the regression losses that outliers, quantiles or positive targets ask for, and what they are."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors, every
from tests.losses.draw import Array, Draw, Shape
from tests.losses.families.plain import Request, pair, weighted


def quantile(d: Draw) -> Request:
    return {**weighted(d), **d.option("quantile", 0.9, 0.125)}


def far(d: Draw) -> Request:
    """Errors large and small."""
    request = pair(d)
    return {**request, "input": d.typed(request["input"].astype("float64") * d.own(st.sampled_from((1, 8))))}


def charbonnier(d: Draw) -> Request:
    return {**far(d), **d.option("eps", 0.5, 1.0)}


def cauchy(d: Draw) -> Request:
    return {**far(d), **d.option("scale", 0.5, 3.0)}


def lorentzian(t: Tensors, options: Options) -> Tensor:
    """Barron (CVPR 2019), equation 8 where alpha is 0."""
    return torch.log(1 + ((t["input"] - t["target"]) / options.get("scale", 1.0)) ** 2 / 2)


def wing(d: Draw) -> Request:
    return {**far(d), **d.option("width", 1.0, 10.0), **d.option("curvature", 2.0)}


POWERS = (-1.5, 0.0, 1.0, 1.5, 2.0, 2.5, 3.0)


def positive(d: Draw, shape: Shape) -> Array:
    return d.floats(shape, 0.25, 3)


def deviance(d: Draw, power: float) -> Request:
    shape = d.shape()
    logarithmic = d.option("log_input", True, False)
    means = d.floats(shape) if power == 0 or logarithmic.get("log_input") else positive(d, shape)
    target = positive(d, shape) if power >= 1 else d.floats(shape)
    return {"input": means, "target": target, **logarithmic, **d.maybe("weight", d.floats(shape, 0.25, 2)), "_": shape}


def tweedie(d: Draw) -> Request:
    power = d.option("power", *POWERS)
    return {**deviance(d, power.get("power", 0.0)), **power}


def gamma(d: Draw) -> Request:
    return deviance(d, 2.0)


def by_weight(t: Tensors, options: Options, unreduced: Tensor) -> tuple[float, int]:
    """The sum of weights, where there are any."""
    return (float(t["weight"].detach().sum()), 0) if "weight" in t else every(t, options, unreduced)


def mean_by_weight(t: Tensors, values: Tensor) -> Tensor:
    """What NumPy's average is: also a function of the weights."""
    if not values.numel():
        return torch.full((), math.nan, dtype=torch.float64)
    return values.sum() / t["weight"].sum() if "weight" in t else values.mean()


def pinball(t: Tensors, options: Options) -> Tensor:
    """scikit-learn's mean_pinball_loss (1.7, sklearn/metrics/_regression.py), where y is true and x predicted."""
    q = options.get("quantile", 0.5)
    error = t["target"] - t["input"]
    kink = (error == 0) * (0.5 - q) * (t["input"] - t["input"].detach() - t["target"] + t["target"].detach())
    found = torch.where(error > 0, q * error, torch.where(error < 0, (q - 1) * error, kink))  # its value there is 0
    return found * t["weight"] if "weight" in t else found


def log_cosh(t: Tensors, _options: Options) -> Tensor:
    """optax.losses.log_cosh: log(e^d + e^-d) - log 2."""
    error = t["input"] - t["target"]
    return torch.logaddexp(error, -error) - math.log(2)


def root(t: Tensors, options: Options) -> Tensor:
    """As its paper has it."""
    return torch.sqrt((t["input"] - t["target"]) ** 2 + options.get("eps", 1e-3) ** 2)


def winged(t: Tensors, options: Options) -> Tensor:
    """Feng et al. (1711.06753), equation 5: element by element."""
    w, epsilon = options.get("width", 5.0), options.get("curvature", 0.5)
    constant = w - w * math.log(1 + w / epsilon)

    def one(error: Tensor) -> Tensor:
        size = error.abs()
        bent: Tensor = w * torch.log(1 + size / epsilon)
        return bent if size < w else size - constant

    errors = t["input"] - t["target"]
    return torch.stack([one(error) for error in errors.reshape(-1)]).view(errors.shape) if errors.numel() else errors


def deviant(t: Tensors, options: Options, power: float) -> Tensor:
    """The unit deviance 2 * integral from mu to y of (y - s) / s^p ds, solved; for p < 0 scikit-learn's y^+ in it."""
    found: Tensor
    y = t["target"]
    mu = torch.exp(t["input"]) if options.get("log_input") else t["input"]
    if power == 1:
        found = 2 * (y * torch.log(y / mu) - (y - mu))
    elif power == 2:
        found = 2 * (y / mu - 1 - torch.log(y / mu))
    else:

        def part(s: Tensor) -> Tensor:
            """The integrand's own integral: y s^(1-p) / (1-p) - s^(2-p) / (2-p)."""
            primitive: Tensor = y * s ** (1 - power) / (1 - power) - s ** (2 - power) / (2 - power)
            return primitive

        above = torch.where(y > 0, y, torch.ones_like(y))
        at_y = part(above) if power != 0 else y * y / 2
        if power < 0:
            at_y = torch.where(y > 0, at_y, torch.zeros_like(y))
        found = 2 * (at_y - part(mu))
    return found * t["weight"] if "weight" in t else found


def tweedie_deviance(t: Tensors, options: Options) -> Tensor:
    return deviant(t, options, options.get("power", 0.0))


def gamma_deviance(t: Tensors, options: Options) -> Tensor:
    return deviant(t, options, 2.0)


BUILDERS = {
    "quantile_loss": quantile,
    "log_cosh_loss": far,
    "charbonnier_loss": charbonnier,
    "cauchy_loss": cauchy,
    "wing_loss": wing,
    "tweedie_deviance_loss": tweedie,
    "gamma_deviance_loss": gamma,
}
REFERENCES = {
    "quantile_loss": Reference(pinball, by_weight, lambda t, o: mean_by_weight(t, pinball(t, o))),
    "log_cosh_loss": Reference(log_cosh),
    "charbonnier_loss": Reference(root),
    "cauchy_loss": Reference(lorentzian),
    "wing_loss": Reference(winged),
    "tweedie_deviance_loss": Reference(
        tweedie_deviance, by_weight, lambda t, o: mean_by_weight(t, tweedie_deviance(t, o))
    ),
    "gamma_deviance_loss": Reference(gamma_deviance, by_weight, lambda t, o: mean_by_weight(t, gamma_deviance(t, o))),
}
