"""Second derivatives, beside what the loss is answered with."""

from __future__ import annotations

from typing import Any

from schemas.operation import OperationResult, Path
from schemas.operations.second_order import Hvp
from service.compute import batch
from service.compute.operations.register import register
from service.compute.second_order import hessian_vector_product
from service.compute.transfer import Device


@register(Hvp)
def _(r: Hvp, device: Device) -> OperationResult:
    (result,) = batch.compute([r.request], device)
    vectors = {name: vector.array for name, vector in r.vectors.items()}
    products = hessian_vector_product(r.request, vectors, device)
    tensors: dict[Path, Any] = {("loss",): result.loss}
    tensors |= {("gradients", name): gradient for name, gradient in result.gradients.items()}
    tensors |= {("hvp", name): product for name, product in products.items()}
    members: dict[str, Any] = {} if result.gradients else {"gradients": {}}
    return OperationResult(tensors, members, result.dtype, result.warnings)
