"""What can be computed at once: requests with equal keys, a bundle (which is a batch), a composite, or an operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, overload

from schemas.bundle import Bundle, BundleResult
from schemas.losses.composite import Composite
from schemas.operation import Operation, OperationResult
from schemas.request import LossRequest
from schemas.result import LossResult
from service.compute import batch as batches
from service.compute.bundle import compute_bundle
from service.compute.composite import compute_composite
from service.compute.cotangents import compute_products
from service.compute.operations import FUNCTIONS
from service.compute.transfer import Device

Work = LossRequest | Bundle | Operation
Result = LossResult | BundleResult | OperationResult


@overload
def compute(batch: Sequence[LossRequest], device: Device) -> list[LossResult]: ...


@overload
def compute(batch: Sequence[Work], device: Device) -> Sequence[Result]: ...


def compute(batch: Sequence[Work], device: Device) -> Sequence[Result]:
    """The answers to requests whose keys are equal, in order; or to one bundle or operation.

    Raises whatever torch raises: the caller finds out whose fault it was by computing the requests one by one.
    """
    first = batch[0]
    if isinstance(first, Bundle):
        return [compute_bundle(first, device)]
    if isinstance(first, Operation):
        return [FUNCTIONS[type(first)](first, device)]
    if type(first) is Composite:
        return [compute_composite(first, device)]
    if first.checked.cotangents is not None:
        return [compute_products(first, device)]  # without a key: alone
    return batches.compute(cast(Sequence[LossRequest], batch), device)  # all others are always alone
