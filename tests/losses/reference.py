"""What an answer must be: by torch's own function called straight from the request, or by the loss's canonical form.

Half types are computed in float32, from tensors rounded to the half type first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from schemas.dtype import FLOATING, NAMES, is_floating
from schemas.losses import LOSSES
from tests.losses.families import REFERENCES

Request = dict[str, Any]
Tensors = dict[str, Any]
COMMON = ("loss", "reduction", "gradients", "cotangent", "dtype", "on_empty", "encoding", "tail", "cutoffs", "tensors")
WHOLE = {"nll_loss", "multi_margin_loss", "multilabel_margin_loss", "ctc_loss", "adaptive_log_softmax_with_loss"}
OWN_HALF = {"cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"}
"""Computed in the half type itself: on which side of its hinge a rounded distance falls depends on the type."""
UNWRITTEN = {"multi_margin_loss", "multilabel_margin_loss"}
"""torch 2.13 leaves their sum and mean over no rows unwritten: whatever the memory held."""
PREDICTIONS = {
    "margin_ranking_loss": ("input1", "input2"),
    "cosine_embedding_loss": ("input1", "input2"),
    "triplet_margin_loss": ("anchor", "positive", "negative"),
    "triplet_margin_with_distance_loss": ("anchor", "positive", "negative"),
    "ctc_loss": ("log_probs",),
    "linear_cross_entropy": ("input", "linear_weight", "linear_bias"),
}


@dataclass
class Expected:
    """The answer by torch, in float64, and the unreduced loss that it was made from."""

    loss: NDArray[Any]
    gradients: dict[str, NDArray[Any]]
    divisor: float | None
    count: int
    ignored: int
    unreduced: NDArray[Any]
    dtype: str


def reference(request: Request) -> Expected:
    """What the request must be answered."""
    name = request["loss"]
    dtype = _dtype(request)
    t = tensors_of(request, dtype)
    options = {key: value for key, value in request.items() if key not in COMMON and key not in t}
    reduction = request.get("reduction", LOSSES[name].model_fields["reduction"].default)
    wanted = _wanted(request, t)
    for tensor in wanted:
        t[tensor].requires_grad_()
    call = REFERENCES[name].call if name in REFERENCES else CALLS.get(name) or _plain(name)
    loss = call(t, options, reduction)
    unreduced = call(t, options, "none").detach()
    gradients = {tensor: torch.zeros_like(t[tensor]) for tensor in wanted}
    if wanted and loss.requires_grad:
        cotangent = torch.ones_like(loss)
        if "cotangent" in request:
            cotangent = _tensor(request["cotangent"], dtype).reshape(loss.shape).to(loss.dtype)
        found: Any = torch.autograd.grad(loss, [t[tensor] for tensor in wanted], cotangent, allow_unused=True)
        gradients |= {tensor: grad for tensor, grad in zip(wanted, found, strict=True) if grad is not None}
    divisor, ignored = _divisor(name, t, options, reduction, unreduced)
    count = unreduced.numel() - ignored
    value = _array(loss, dtype)
    if name in UNWRITTEN and not unreduced.numel() and reduction != "none":
        value = np.array(0.0 if reduction == "sum" else math.nan)
    if count == 0 and request.get("on_empty") == "zero" and reduction in ("mean", "batchmean"):
        value = np.zeros(())
    return Expected(
        value,
        {tensor: _array(grad, dtype) for tensor, grad in gradients.items()},
        divisor,
        count,
        ignored,
        _array(unreduced, dtype),
        dtype,
    )


def _array(tensor: Tensor, dtype: str) -> NDArray[Any]:
    """In float64, after rounding to the request's type."""
    with np.errstate(over="ignore"):
        return np.asarray(tensor.detach().to(torch.float64).numpy()).astype(FLOATING[dtype]).astype(np.float64)


def _dtype(request: Request) -> str:
    if "dtype" in request:
        return str(request["dtype"])
    every = [*request.values(), *request.get("tensors", {}).values()]
    names = {NAMES[v.dtype] for v in every if isinstance(v, np.ndarray) and is_floating(v.dtype)}
    assert len(names) <= 1, "the reference knows requests of one floating type"
    return names.pop() if names else "float32"


def _numbers(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    found = np.array(value)
    return found.astype(np.float64) if found.dtype.kind == "U" else found


def _tensor(value: Any, dtype: str) -> Tensor:
    array = _numbers(value)
    if not is_floating(array.dtype):
        return torch.tensor(array.astype(np.int64))
    # NumPy's own way to the half types and back: exact where the values were of that type already.
    rounded = array.astype(FLOATING[dtype]).astype(np.float64 if dtype == "float64" else np.float32)
    return torch.tensor(rounded)


def _computed_in(name: str, dtype: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, dtype)
    return found if dtype == "float64" or name in OWN_HALF else torch.float32


def tensors_of(request: Request, dtype: str) -> Tensors:
    names = LOSSES[request["loss"]].tensor_fields
    found = {name: _tensor(value, dtype) for name, value in request.items() if name in names}
    for at, cluster in enumerate(request.get("tail", [])):
        for part, value in cluster.items():
            found[f"tail.{at}.{part}"] = _tensor(value, dtype)
    name = request["loss"]
    if "tensors" in request:
        given = {member: _tensor(value, dtype) for member, value in request["tensors"].items()}
        return {
            member: _canonical(tensor, "floating" if name == "expression" else "any")
            for member, tensor in given.items()
        }
    if name in REFERENCES:
        return {member: _canonical(tensor, names[member].kind) for member, tensor in found.items()}
    floats = _computed_in(name, dtype)
    integers = name in WHOLE or name.endswith("cross_entropy")
    for member, tensor in found.items():
        index = member in ("target", "targets", "input_lengths", "target_lengths")
        if tensor.is_floating_point() or not (integers and index):
            found[member] = tensor.to(floats)
    return found


def _canonical(tensor: Tensor, kind: str) -> Tensor:
    """As canonical forms take it."""
    if kind == "mask":
        return tensor.to(torch.bool)
    return tensor.to(torch.float64) if kind == "floating" or tensor.is_floating_point() else tensor


def _wanted(request: Request, t: Tensors) -> list[str]:
    if "gradients" in request:
        return list(request["gradients"])
    if request["loss"].startswith("adaptive"):
        return [name for name in t if name != "target"]
    if "tensors" in request:
        return list(t) if request["loss"] == "expression" else ["logits"]
    predictions = PREDICTIONS.get(request["loss"])
    if predictions is None:
        predictions = LOSSES[request["loss"]].predictions if request["loss"] in REFERENCES else ("input",)
    return [name for name in predictions if name in t]


def _divisor(
    name: str, t: Tensors, options: dict[str, Any], reduction: str, unreduced: Tensor
) -> tuple[float | None, int]:
    """What `mean` divides by, and how many elements are ignored."""
    if name in REFERENCES:
        return REFERENCES[name].divisor(t, options, unreduced)
    if name == "ctc_loss":
        return None, 0
    if name in ("nll_loss", "cross_entropy", "linear_cross_entropy") and not t["target"].is_floating_point():
        kept = t["target"][t["target"] != options.get("ignore_index", -100)]
        weights = t["weight"].detach()[kept] if "weight" in t else torch.ones(kept.shape)
        return float(weights.sum()), unreduced.numel() - kept.numel()
    if name in ("l1_loss", "mse_loss") and "weight" in t:
        return float(t["weight"].detach().sum()), 0
    if reduction == "batchmean":
        return float(unreduced.shape[0] if unreduced.dim() else 1), 0
    return float(unreduced.numel()), 0


Call = Callable[[Tensors, dict[str, Any], str], Tensor]


def _plain(name: str) -> Call:
    """The function of that name, whose parameters have the request's names."""

    def call(t: Tensors, options: dict[str, Any], reduction: str) -> Tensor:
        found: Tensor = getattr(F, name)(**t, **options, reduction=reduction)
        return found

    return call


def _kl_div(t: Tensors, options: dict[str, Any], reduction: str) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "reduction: 'mean' divides")  # torch recommends batchmean
        return F.kl_div(**t, **options, reduction=reduction)


def _linear_cross_entropy(t: Tensors, options: dict[str, Any], reduction: str) -> Tensor:
    # Whole, whatever the chunk size: chunks change the rounding only.
    kept = {name: value for name, value in options.items() if name != "chunk_size"}
    return F.linear_cross_entropy(**t, **kept, reduction=reduction)


def _triplet_with_distance(t: Tensors, options: dict[str, Any], reduction: str) -> Tensor:
    distance = DISTANCES[options.get("distance", "euclidean")]
    kept = {name: value for name, value in options.items() if name != "distance"}
    return F.triplet_margin_with_distance_loss(**t, **kept, distance_function=distance, reduction=reduction)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "euclidean": None,
    "squared_euclidean": lambda u, v: torch.sum(torch.pow(u - v, 2), -1),
    "manhattan": lambda u, v: torch.linalg.vector_norm(u - v, 1, -1),
    "chebyshev": lambda u, v: torch.linalg.vector_norm(u - v, math.inf, -1),
    "cosine": lambda u, v: 1 - torch.cosine_similarity(u, v, -1),
}


def _adaptive(t: Tensors, options: dict[str, Any], reduction: str) -> Tensor:
    output = adaptive_output(t, options)
    return -output if reduction == "none" else -output.sum() if reduction == "sum" else -output.mean()


def adaptive_output(t: Tensors, options: dict[str, Any]) -> Tensor:
    """The log-probability of each target, by torch's own module with the request's parameters in it."""
    tails = sum(name.endswith("output") for name in t)
    sizes = [t[f"tail.{at}.output"].shape[0] for at in range(tails)]
    first = t["head_weight"].shape[0] - tails
    cutoffs = [first + sum(sizes[:at]) for at in range(tails)]
    module = torch.nn.AdaptiveLogSoftmaxWithLoss(
        t["input"].shape[-1],
        first + sum(sizes),
        cutoffs,
        options.get("div_value", 4.0),
        head_bias="head_bias" in t,
        dtype=t["input"].dtype,
    )
    parameters = {"head.weight": t["head_weight"]}
    if "head_bias" in t:
        parameters["head.bias"] = t["head_bias"]
    for at in range(tails):
        parameters[f"tail.{at}.0.weight"] = t[f"tail.{at}.projection"]
        parameters[f"tail.{at}.1.weight"] = t[f"tail.{at}.output"]
    found: Tensor = torch.func.functional_call(module, parameters, (t["input"], t["target"])).output
    return found


def _gaussian(t: Tensors, options: dict[str, Any], reduction: str) -> Tensor:
    var = t["var"] if t["var"].dim() else t["var"].expand(t["input"].shape)  # what torch does with a number
    return F.gaussian_nll_loss(t["input"], t["target"], var, **options, reduction=reduction)


CALLS: dict[str, Call] = {
    "kl_div": _kl_div,
    "gaussian_nll_loss": _gaussian,
    "linear_cross_entropy": _linear_cross_entropy,
    "triplet_margin_with_distance_loss": _triplet_with_distance,
    "adaptive_log_softmax_with_loss": _adaptive,
}
