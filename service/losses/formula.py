"""The register of formulas: one torch function a request class, unreduced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from schemas.request import LossRequest

Tensors = dict[str, Tensor]


@dataclass(slots=True)
class Terms:
    """What a formula answers.

    `values`: the unreduced loss. `shares`: what each value adds to `mean`'s divisor, where that is not 1 (only where
    the request's class leaves the divisor to the formula). `sizes`: what `mean` divides each value by first; what the
    quotients' sum is divided by is then no divisor of the plain sum's, and the answer tells none.
    `extras`: further answers by name. `backward`: from what each value's gradient starts from to the gradients that are
    wanted, where the formula knows them without autograd.
    """

    values: Tensor
    shares: Tensor | None = None
    sizes: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)
    backward: Callable[[Tensor], Tensors] | None = None


Function = Callable[[Any, Tensors], Terms]
Kernels = Callable[[Any, Tensors], Terms | None]


@dataclass(frozen=True, slots=True)
class Formula:
    """A loss's function, and what its torch kernels need.

    `half`: they know float16 and bfloat16 on every device; else those are computed in float32 and rounded.
    `pads`: the rows hold element-wise exp, log or pow, whose last bit changes with the position in the buffer.
    `products`: it multiplies matrices, whose last bits change with where their memory begins.
    `kernels`: the function again with `Terms.backward`, for a gradient in `input` alone, or `everywhere`, in any; it
    answers `None` for what it does not cover.
    """

    function: Function
    half: bool = True
    pads: bool = False
    products: bool = False
    kernels: Kernels | None = None
    everywhere: bool = False


FORMULAS: dict[type[LossRequest], Formula] = {}


def register(
    cls: type[LossRequest], *, half: bool = True, pads: bool = False, products: bool = False
) -> Callable[[Function], Function]:
    """Make the decorated function the formula of this class; `t` holds the stacked tensors by name."""

    def accept(function: Function) -> Function:
        FORMULAS[cls] = Formula(function, half, pads, products)
        return function

    return accept


def with_kernels(cls: type[LossRequest], *, everywhere: bool = False) -> Callable[[Kernels], Kernels]:
    """Make the decorated function the kernels of this class's formula; nothing that it is given records a graph."""

    def accept(function: Kernels) -> Kernels:
        FORMULAS[cls] = replace(FORMULAS[cls], kernels=function, everywhere=everywhere)
        return function

    return accept
