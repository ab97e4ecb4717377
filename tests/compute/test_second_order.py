"""Hessian-vector products: torch's own over its own formula, and differences of the service's own gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from numpy.typing import NDArray

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.compute import compute, open_device
from service.compute.second_order import hessian_vector_product
from tests.losses.cases import case
from tests.losses.families import REFERENCES
from tests.losses.reference import CALLS, tensors_of

CPU = open_device("cpu")
FEW = settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
TWICE = [name for name, cls in LOSSES.items() if cls.twice_differentiable]
ONCE = [name for name, cls in LOSSES.items() if not (cls.twice_differentiable or cls.made_of_losses)]
COMMON = ("loss", "reduction", "gradients", "cotangent", "dtype", "on_empty", "encoding", "tail", "cutoffs")


def parse(request: dict[str, Any]) -> LossRequest:
    return LOSSES[request["loss"]].model_validate(request)


def vectors_of(request: LossRequest, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    tensors = request.checked.tensors
    return {
        name: rng.normal(size=tensors[name].shape).astype(tensors[name].dtype) for name in request.checked.gradients
    }


def by_torch(request: dict[str, Any], vectors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """`torch.autograd.functional.hvp` of the loss's reference."""
    t = tensors_of(request, "float64")
    name = request["loss"]
    options = {key: value for key, value in request.items() if key not in COMMON and key not in t}
    reduction = request.get("reduction", LOSSES[name].model_fields["reduction"].default)
    call: Any = REFERENCES[name].call if name in REFERENCES else CALLS.get(name)
    cotangent = torch.tensor(np.asarray(request.get("cotangent", 1.0), np.float64))

    def scalar(*inputs: torch.Tensor) -> torch.Tensor:
        if call is None:
            mine = {**t, **dict(zip(vectors, inputs, strict=True))}
            loss: torch.Tensor = getattr(torch.nn.functional, name)(**mine, **options, reduction=reduction)
        else:
            loss = call({**t, **dict(zip(vectors, inputs, strict=True))}, options, reduction)
        return (loss * cotangent.reshape(loss.shape if cotangent.dim() else ())).sum()

    given = tuple(torch.tensor(vector) for vector in vectors.values())
    product: Any = torch.autograd.functional.hvp
    found: Any = product(scalar, tuple(t[name] for name in vectors), given)[1]
    return {name: array.numpy() for name, array in zip(vectors, found, strict=True)}


@pytest.mark.parametrize("name", TWICE)
@FEW
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_products_are_torchs_own(name: str, data: DataObject, seed: int) -> None:
    request = data.draw(case(name, ("float64",)))
    request["gradients"] = [tensor for tensor in parse(request).checked.gradients if not tensor.startswith("tail.")]
    checked = parse(request).checked
    if request.get("chunk_size") or not checked.count or not checked.gradients:
        return
    vectors = vectors_of(parse(request), np.random.default_rng(seed))
    found = hessian_vector_product(parse(request), vectors, CPU)
    arrays = {key: np.asarray(value) if isinstance(value, list) and key in checked.tensors else value
              for key, value in request.items()}  # fmt: skip
    for tensor, expected in by_torch(arrays, vectors).items():
        # At its ends binary_cross_entropy divides by 1e-12 twice: which infinity comes of it, is the order's.
        sane = np.abs(expected) < 1e12
        scale = np.abs(expected[sane]).max(initial=1.0)
        np.testing.assert_allclose(found[tensor][sane], expected[sane], rtol=1e-12, atol=1e-12 * scale, err_msg=tensor)


def moved(example: dict[str, Any], by: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The gradients of an example whose tensors are moved by so much."""
    request = parse(example)
    for tensor, distance in by.items():
        request.checked.tensors[tensor] = request.checked.tensors[tensor] + distance
    return compute([request], CPU)[0].gradients


CONSTANT = ("cispo_loss", "complete_box_iou_loss")
"""Losses whose gradient holds a factor constant by intent, which moves all the same from one gradient to the next."""


@pytest.mark.parametrize("name", [name for name in TWICE if name not in CONSTANT])
def test_products_are_differences_of_gradients(name: str) -> None:
    """Where torch silently took a gradient for a constant, these would tell."""
    rng = np.random.default_rng(7)
    example = {"loss": name, **LOSSES[name].about.example, "dtype": "float64"}
    request = parse(example)
    step, off = 1e-6, [math.inf]
    for _ in range(20):  # until a step crosses no kink
        vectors = vectors_of(request, rng)
        ahead = moved(example, {tensor: step * vector for tensor, vector in vectors.items()})
        behind = moved(example, {tensor: -step * vector for tensor, vector in vectors.items()})
        found = hessian_vector_product(request, vectors, CPU)
        off = [np.abs(found[t] - (ahead[t] - behind[t]) / (2 * step)).max(initial=0) for t in vectors]
        if max(off) < 1e-6:
            break
    assert max(off) < 1e-6


@pytest.mark.parametrize("name", ONCE)
def test_what_is_told_to_have_no_second_derivative_has_none(name: str) -> None:
    request = parse({"loss": name, **LOSSES[name].about.example})
    with pytest.raises(RuntimeError, match="not implemented"):
        hessian_vector_product(request, vectors_of(request, np.random.default_rng(0)), CPU)
    assert name in (request.once_only() or "")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", TWICE)
def test_other_types_are_near_float64(name: str, dtype: str) -> None:
    example = {"loss": name, **LOSSES[name].about.example}
    narrow, wide = parse({**example, "dtype": dtype}), parse({**example, "dtype": "float64"})
    for tensor, array in narrow.checked.tensors.items():  # the same numbers, to the bit
        if tensor in wide.checked.gradients or wide.checked.tensors[tensor].dtype == np.float64:
            wide.checked.tensors[tensor] = array.astype(np.float64)
    vectors = {tensor: np.ones_like(narrow.checked.tensors[tensor]) for tensor in narrow.checked.gradients}
    found = hessian_vector_product(narrow, vectors, CPU)
    expected = hessian_vector_product(wide, {t: v.astype(np.float64) for t, v in vectors.items()}, CPU)
    tolerance = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1e-2}[dtype]
    for tensor, array in found.items():
        assert array.dtype == narrow.checked.tensors[tensor].dtype
        scale = np.abs(expected[tensor]).max(initial=1e-3)
        np.testing.assert_allclose(array.astype(np.float64), expected[tensor], rtol=tolerance, atol=tolerance * scale)
