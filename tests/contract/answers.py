"""Answers compared to the bit, and requests that are bad neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from schemas.result import LossResult
from service.losses.formula import FORMULAS, Formula, Tensors, Terms
from tests.losses.cases import differentiable
from tests.losses.members import tensor, with_tensor

Request = dict[str, Any]
Answer = LossResult | Exception

MARK = 0.3125
"""A number that all floating types hold, and all losses take; a formula that meets it raises."""


class Culprit(Exception):
    """What a formula raises that was told to."""


def parse(request: Request) -> LossRequest:
    return LOSSES[request["loss"]].model_validate(request)


def bits(answer: Answer) -> Any:
    """All that an answer holds, so that equal means equal to the bit; of a failure, its kind."""
    if isinstance(answer, Exception):
        return type(answer)
    arrays = {"loss": answer.loss, **answer.gradients, **answer.extras}
    told = {name: (array.dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}
    divisor = None if answer.divisor is None else float(answer.divisor).hex()
    return told, answer.reduction, divisor, answer.count, answer.ignored, answer.dtype, answer.warnings


def assert_same(found: list[Answer], alone: list[Answer]) -> None:
    assert len(found) == len(alone)
    for at, (one, other) in enumerate(zip(found, alone, strict=True)):
        assert bits(one) == bits(other), f"request {at}: {one} in a batch, {other} alone"


def first_tensor(request: Request) -> str:
    return differentiable(request["loss"], request)[0]


def accepted(request: Request) -> bool:
    """Whether a request is sound."""
    try:
        parse(request)
    except InvalidRequest:
        return False
    return True


def marked(request: Request) -> Request:
    """The same request with the mark in its first tensor, if that has an element: the last that may be the mark."""
    name = first_tensor(request)
    given = tensor(request, name)
    for at in reversed(range(given.size)):
        array = given.copy()
        array.reshape(-1)[at] = MARK
        made = with_tensor(request, name, array)
        if accepted(made):
            return made
    return request


def spoiled(request: Request, rng: np.random.Generator) -> Request:
    """The same request with NaN, infinities or huge numbers in a tensor; as it was, if it may not hold them."""
    name = first_tensor(request)
    spec = LOSSES[request["loss"]].tensor_fields.get(name)
    array = tensor(request, name).copy()
    if array.size and (spec is None or spec.domain == "any"):
        with np.errstate(over="ignore"):
            array.reshape(-1)[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e30, -1e30])
    made = with_tensor(request, name, array)
    return made if accepted(made) else request


def raising(formula: Formula) -> Formula:
    """A formula that raises where a tensor holds the mark."""

    def function(request: Any, tensors: Tensors) -> Terms:
        if any(bool((tensor == MARK).any()) for tensor in tensors.values() if tensor.is_floating_point()):
            raise Culprit
        return formula.function(request, tensors)

    return replace(formula, function=function, kernels=None)


@contextmanager
def formulas_that_raise() -> Iterator[None]:
    """Every formula raises where it meets the mark."""
    with pytest.MonkeyPatch.context() as patch:
        for cls, formula in list(FORMULAS.items()):
            patch.setitem(FORMULAS, cls, raising(formula))
        yield
