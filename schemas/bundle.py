"""A bundle: requests of one loss with the same options and shapes, checked all at once.

Reading and checking a tiny request costs many times what computing it does. Of requests that differ in nothing but
their numbers, the first is validated like any other; what depends on numbers is then checked for all in one go. Where
anything at all is wrong, there is no bundle, and each request is validated by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas import values
from schemas.check import MEANS, Checked
from schemas.columns import Column, Unlike, column
from schemas.dims import numel
from schemas.dtype import FLOATING, cast_floating
from schemas.problem import Fault
from schemas.request import LossRequest
from schemas.result import LossResult
from schemas.tensor import Reading, Tensor

LEAST: Final = 4
"""Requests from which on a bundle is less work than they are alone."""
MAX_ELEMENTS: Final = 1 << 16
"""Elements of a bundle: more of them are several bundles, between which others have their turn."""


@dataclass(slots=True)
class Bundle:
    """Requests that differ in their numbers alone.

    `tensors` and `cotangent` are those of `Checked`, with the number of requests in front; `count`, `ignored` and
    `divisor` have one entry a request. `checked` is what an engine goes by: all their elements, and no key.
    """

    first: LossRequest
    size: int
    tensors: dict[str, NDArray[Any]]
    cotangent: NDArray[Any] | None
    count: NDArray[np.int64]
    ignored: NDArray[np.int64]
    divisor: NDArray[np.int64]
    checked: Checked
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """The loss's name."""
        return self.first.name

    def alone(self, at: int) -> LossRequest:
        """One of its requests by itself."""
        members: dict[str, Any] = {**self.options, "dtype": self.first.checked.dtype}
        for name, array in self.tensors.items():
            members[name] = Tensor(array[at], typed=True)
        if self.cotangent is not None:
            members["cotangent"] = Tensor(np.asarray(self.cotangent[at]), typed=True)
        reading = Reading(max_elements=self.first.checked.max_elements)
        return type(self.first).model_validate(members, context=reading)


@dataclass(slots=True)
class BundleResult:
    """The results of a bundle, each array with the number of requests in front; `first` tells what they share."""

    bundle: Bundle
    loss: NDArray[Any]
    gradients: dict[str, NDArray[Any]]
    divisor: NDArray[np.float64]

    def alone(self, at: int) -> LossResult:
        """One request's result by itself."""
        bundle = self.bundle
        checked = bundle.first.checked
        return LossResult(
            np.asarray(self.loss[at]),
            {name: np.asarray(gradient[at]) for name, gradient in self.gradients.items()},
            checked.reduction,
            float(self.divisor[at]),
            int(bundle.count[at]),
            int(bundle.ignored[at]),
            checked.dtype,
            checked.warnings,
        )


def bundle(cls: type[LossRequest], members: list[dict[str, Any]], reading: Reading) -> Bundle | None:
    """The bundle of the first of these requests, as many as one takes, whose options are known to be the same.

    `None` where such requests are never bundled.
    Raises `Unlike` where only some of them might have one, and `InvalidRequest` where the first is not sound.
    """
    first_members = members[0]
    # Checking brings a tensor to its final type where it lies: not so the caller's, who may have to start anew.
    first = cls.model_validate({name: _own(value) for name, value in first_members.items()}, context=reading)
    if not _fit(first):
        return None
    size = min(len(members), MAX_ELEMENTS // first.checked.layout.elements)
    if size < LEAST:
        return None
    given = [name for name in (*cls.tensor_fields, "cotangent") if name in first_members]
    columns = {name: column([one[name] for one in members[:size]], plain=reading.plain) for name in given}
    tensors, ignored = _checked(first, size, {name: columns[name] for name in first.checked.tensors})
    checked = first.checked
    count = numel(checked.layout.unreduced) - ignored
    cotangent = columns.get("cotangent")
    return Bundle(
        first,
        size,
        tensors,
        None if cotangent is None else cast_floating(cotangent.array, FLOATING[checked.dtype]),
        count,
        ignored,
        _divisors(first, count),
        replace(checked, layout=replace(checked.layout, elements=size * checked.layout.elements), key=None),
        {name: value for name, value in first_members.items() if name not in given},
    )


def _own(value: Any) -> Any:
    return Tensor(value.array, typed=value.typed) if type(value) is Tensor else value


def _fit(first: LossRequest) -> bool:
    """Whether requests like this one can be computed side by side, and their parts told by arithmetic alone."""
    checked = first.checked
    layout = checked.layout
    if checked.key is None or checked.divisor is None or first.extra_answers:
        return False
    spread = [name for name in checked.gradients if name in layout.spread]
    return all(layout.shapes[name] == layout.unreduced for name in spread)


def _checked(
    first: LossRequest, size: int, columns: dict[str, Column]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """What `schemas.check` asks of the values of one request, asked of all at once: tensors, and how many are ignored.

    Raises `Unlike`.
    """
    like = first.checked
    layout = like.layout
    faults: list[Fault] = []
    stacked = replace(like, tensors={}, warnings=[], cotangent=None, ignored=0)
    ignored = np.zeros(size, np.int64)
    for name, (given, _) in columns.items():
        stacked.tensors[name] = _typed(first, name, given, stacked, ignored, faults)
    if not faults:
        first.check(stacked, faults)
    if faults or stacked.warnings:
        raise Unlike
    for name in layout.shared:
        rows = stacked.tensors[name].reshape(size, -1).view(np.uint8)
        if not (rows == rows[0]).all():
            raise Unlike
    return stacked.tensors, ignored


def _typed(
    first: LossRequest,
    name: str,
    given: NDArray[Any],
    stacked: Checked,
    ignored: NDArray[np.int64],
    faults: list[Fault],
) -> NDArray[Any]:
    """One tensor of all requests in its final type; what it ignores is added to `ignored`. Raises `Unlike`."""
    spec, layout, size = first.tensor_fields[name], stacked.layout, len(ignored)
    if spec.kind == "floating" or (spec.kind == "index" and layout.probabilities):
        array = cast_floating(given, FLOATING[stacked.dtype])
        values.check_domain(spec.domain, name, array, faults, stacked.warnings)
        return array
    if given.dtype.kind not in ("iub" if spec.kind == "mask" else "iu"):
        raise Unlike
    if spec.kind == "mask":
        mask = values.to_mask(name, given, faults)
        if spec.dims == first.unreduced and not spec.chooses:
            ignored += (~mask).reshape(size, -1).sum(axis=1)
        return mask
    array = given.astype(np.int64, copy=False)
    if spec.kind == "index" and layout.classes is not None:
        ignore = first.__dict__.get("ignore_index")
        if values.check_indices(name, array, layout.classes, ignore, faults):
            ignored += (array == ignore).reshape(size, -1).sum(axis=1)
    return array


def _divisors(first: LossRequest, count: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each mean divides by. Raises `Unlike`."""
    checked = first.checked
    if first.on_empty == "error" and checked.reduction in MEANS and not count.all():
        raise Unlike
    divisor = np.empty(len(count), np.int64)
    for contributing in np.unique(count).tolist():
        divides = first.mean_divides(replace(checked, count=contributing))
        if divides is None:
            raise Unlike
        divisor[count == contributing] = divides
    return divisor
