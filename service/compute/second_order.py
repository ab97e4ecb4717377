"""Hessian-vector products: a backward pass through a backward pass, without the Hessian itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.request import LossRequest
from service.compute.backward_pass import backward_pass
from service.compute.batch import HALF, typed
from service.compute.objective import leaves, objective
from service.compute.transfer import Device

Arrays = dict[str, NDArray[Any]]


def hessian_vector_product(request: LossRequest, vectors: Arrays, device: Device) -> Arrays:
    """H v by tensor name, each of its tensor's shape and the request's type.

    H: the second derivatives of the request's loss, weighted by its cotangent, in all tensors that `vectors` names
    taken together: what one answers also has what the others' vectors add. Half types are computed in float32.
    Raises whatever torch raises.
    """
    checked = request.checked
    kind = "float32" if checked.dtype in HALF else checked.dtype
    if 0 in checked.layout.unreduced:
        return {name: np.zeros_like(vector) for name, vector in vectors.items()}
    tensors = leaves(request, device, kind, vectors)
    inputs = [tensors[name] for name in vectors]
    given = device.upload([vector.astype(FLOATING[kind]) for vector in vectors.values()])
    scalar = objective(request, tensors)
    products = [torch.zeros_like(tensor) for tensor in inputs]
    if scalar.requires_grad:
        first = torch.autograd.grad(scalar, inputs, create_graph=True, allow_unused=True, materialize_grads=True)
        # A gradient that does not depend on any of the tensors adds nothing.
        pairs = [(one, vector) for one, vector in zip(first, given, strict=True) if one.requires_grad]
        if pairs:
            ours, theirs = zip(*pairs, strict=True)
            made = backward_pass(ours, inputs, theirs)
            products = [product.clone() for product in made]  # torch has zeros without memory, which NumPy cannot read
    found = device.download(products)
    dtype = FLOATING[checked.dtype]
    return {name: typed(array, dtype) for name, array in zip(vectors, found, strict=True)}
