"""What a hint is made from: a known fault, and the answers that an implementation with it would give.

Causes stand in the order of their simplicity: of two that fit equally well, the first is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.check import MEANS
from schemas.dims import numel
from service.compute.checking.case import Answer, Case, orders

Found = Iterator[tuple[str, Answer | None]]
"""Answers under a cause, each with what it says beside the cause's own sentence."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A known fault: its stable code, what it is in a sentence, and the answers that it leads to."""

    code: str
    sentence: str
    answers: Callable[[Case], Found]


CAUSES: Final[list[Cause]] = []
TRANSPOSED: Final = "transposed"


def cause(code: str, sentence: str) -> Callable[[Callable[[Case], Found]], Callable[[Case], Found]]:
    """Make the decorated function the answers under a cause of that code."""

    def accept(answers: Callable[[Case], Found]) -> Callable[[Case], Found]:
        CAUSES.append(Cause(code, sentence, answers))
        return answers

    return accept


def is_mean(case: Case) -> bool:
    """Whether the loss is a mean."""
    return case.request.checked.reduction in MEANS


@cause("sign", "The sign is wrong.")
def _(case: Case) -> Found:
    yield "of the gradients", case.scaled(1, -1)
    yield "of the loss and of the gradients", case.scaled(-1, -1)
    yield "of the loss", case.scaled(-1, 1)


@cause("sum_instead_of_mean", "It is the sum; the mean was asked for.")
def _(case: Case) -> Found:
    if is_mean(case):
        yield "", case.again(reduction="sum")


@cause("mean_instead_of_sum", "It is the mean; the sum was asked for.")
def _(case: Case) -> Found:
    if case.request.checked.reduction == "sum":
        yield "", case.again(reduction="mean")


@cause("gradients_not_divided", "The loss is a mean, but its gradients are not divided by what the mean divides by.")
def _(case: Case) -> Found:
    if is_mean(case) and case.divisor:
        yield f"by {case.divisor:g}", case.scaled(1, case.divisor)


@cause("gradients_divided", "The loss is a sum, but its gradients are divided as a mean's.")
def _(case: Case) -> Found:
    if case.request.checked.reduction == "sum" and case.divisor:
        yield f"by {case.divisor:g}", case.scaled(1, 1 / case.divisor)


@cause("batchmean_instead_of_mean", "It is divided by the size of the first dim alone; the mean was asked for.")
def _(case: Case) -> Found:
    checked = case.request.checked
    shape = checked.layout.unreduced
    if checked.reduction == "mean" and case.divisor and len(shape) > 1 and shape[0]:
        factor = case.divisor / shape[0]
        yield f"by {shape[0]}", case.scaled(factor, factor)
        yield f"by {shape[0]}, the gradients alone", case.scaled(1, factor)


@cause("mean_instead_of_batchmean", "It is the mean over all elements; batchmean was asked for.")
def _(case: Case) -> Found:
    if case.request.checked.reduction == "batchmean":
        yield "", case.again(reduction="mean")


@cause("divided_by_count", "It is divided by the number of elements that contribute, not by the sum of their weights.")
def _(case: Case) -> Found:
    count = case.request.checked.count
    if is_mean(case) and case.divisor and count and case.divisor != count:
        factor = case.divisor / count
        yield f"by {count}", case.scaled(factor, factor)
        yield f"by {count}, the gradients alone", case.scaled(1, factor)


@cause("ignored_in_denominator", "Ignored elements contribute nothing, but count in what the mean divides by.")
def _(case: Case) -> Found:
    checked = case.request.checked
    if is_mean(case) and case.divisor and checked.ignored:
        every = checked.count + checked.ignored
        factor = case.divisor / every
        yield f"by {every}", case.scaled(factor, factor)
        yield f"by {every}, the gradients alone", case.scaled(1, factor)


@cause("divided_by_input_elements", "It is divided by the number of the input's elements, not of the loss's.")
def _(case: Case) -> Found:
    first = next(iter(case.request.checked.tensors.values()))
    elements = numel(first.shape)
    if is_mean(case) and case.divisor and elements and elements != case.divisor:
        factor = case.divisor / elements
        yield f"by {elements}", case.scaled(factor, factor)
        yield f"by {elements}, the gradients alone", case.scaled(1, factor)


@cause("cotangent_ignored", "The cotangent is left out.")
def _(case: Case) -> Found:
    if case.request.checked.cotangent is not None:
        yield "", case.again(("cotangent",))


@cause(TRANSPOSED, "The dims are in another order: the numbers are right, but transposed.")
def _(case: Case) -> Found:
    def laid_out(array: np.ndarray) -> Iterator[np.ndarray]:
        for order in orders(array):
            yield order.reshape(array.shape)  # the memory of that order, read in this shape

    kinds = max([len(list(orders(array))) for array in (case.answer.loss, *case.answer.gradients.values())])
    for kind in range(kinds):
        loss = [*laid_out(case.answer.loss), case.answer.loss]
        gradients = {name: [*laid_out(array), array] for name, array in case.answer.gradients.items()}
        yield (
            "",
            Answer(
                loss[min(kind, len(loss) - 1)],
                {name: some[min(kind, len(some) - 1)] for name, some in gradients.items()},
            ),
        )


@cause("factor_half", "A factor of 1/2 is there that does not belong there, or one is missing.")
def _(case: Case) -> Found:
    yield "everything is half", case.scaled(0.5, 0.5)
    yield "everything is twice", case.scaled(2, 2)
    yield "the gradients are half: the derivative of a square has a factor 2", case.scaled(1, 0.5)
    yield "the gradients are twice", case.scaled(1, 2)


@cause("base_two_logarithm", "The logarithm is to base 2, not the natural one.")
def _(case: Case) -> Found:
    yield "", case.scaled(1 / math.log(2), 1 / math.log(2))
    yield "in the loss alone", case.scaled(1 / math.log(2), 1)
