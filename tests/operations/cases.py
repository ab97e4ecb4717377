"""Requests for every operation: members as NumPy arrays, objects of arrays, and options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.dtype import FLOATING, is_floating

Array = NDArray[Any]
Request = dict[str, Any]
Rng = np.random.Generator

SHAPES: Final = [(), (1,), (7,), (3, 5), (2, 3, 4), (2, 0, 3)]


def _activations(rng: Rng) -> Iterator[Request]:
    for shape in SHAPES:
        x = np.asarray(rng.normal(scale=4, size=shape))
        yield {"input": x}
        yield {"input": x, "cotangent": np.asarray(rng.normal(size=shape)), "temperature": 1.7}


def _over_dim(rng: Rng) -> Iterator[Request]:
    for request in _activations(rng):
        for dim in range(max(request["input"].ndim, 1)):
            yield {**request, "dim": dim}


def distributions(rng: Rng, shape: tuple[int, ...], dim: int, given: str) -> Array:
    """Some, as probabilities (one of them often 0), logits or logarithms."""
    logits = np.asarray(rng.normal(scale=2, size=shape))
    if given == "logits":
        return logits
    p = np.exp(logits) * (rng.random(shape) < 0.8)
    axis = dim if shape else None
    total = p.sum(axis=axis, keepdims=True)
    p = np.where(total > 0, p / np.where(total > 0, total, 1), 1 / max(shape[dim], 1) if shape else 1.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(p, 0, 1) if given == "probabilities" else np.log(p))


def _entropies(rng: Rng) -> Iterator[Request]:
    for shape in SHAPES:
        for given in ("probabilities", "logits", "log_probabilities"):
            dim = int(rng.integers(max(len(shape), 1)))
            p = distributions(rng, shape, dim, given)
            own: Request = {"p": p, "dim": dim, "given": given}
            yield own
            reduced = shape[:dim] + shape[dim + 1 :]
            yield {**own, "cotangent": np.asarray(rng.normal(size=reduced)), "base": "2"}


def _divergences(rng: Rng) -> Iterator[Request]:
    for request in _entropies(rng):
        cotangent = request.pop("cotangent", None)
        q = distributions(rng, request["p"].shape, request["dim"], request["given"])
        yield {
            **request,
            "q": q,
            **({} if cotangent is None else {"cotangents": {"kl": cotangent, "entropy": cotangent}}),
        }


def _class_weights(rng: Rng) -> Iterator[Request]:
    for method in ("inverse", "balanced", "effective_number"):
        for normalize in ("sum", "mean", "none"):
            yield {"counts": rng.integers(0, 50, 6), "method": method, "normalize": normalize}
    yield {"labels": rng.integers(0, 5, (4, 9)), "classes": 7, "ignore_index": 2}
    yield {"labels": np.zeros(0, np.int64)}


def _balanced_order(rng: Rng) -> Iterator[Request]:
    for count in (0, 1, 40):
        labels = rng.integers(-3, 4, count)
        yield {"labels": labels}
        yield {"labels": labels, "seed": int(rng.integers(2**62)), "interleave": False}


def _optimizer_step(rng: Rng) -> Iterator[Request]:
    parameters = {"0.weight": rng.normal(size=(3, 4)), "0.bias": rng.normal(size=3), "scale": np.array(0.3)}
    gradients = {name: np.asarray(rng.normal(size=array.shape)) for name, array in parameters.items()}
    own: Request = {"parameters": parameters, "gradients": gradients}
    for optimizer in ("sgd", "adam", "adamw", "rmsprop", "adagrad"):
        yield {**own, "optimizer": optimizer, "weight_decay": 0.1}
    yield {**own, "optimizer": "sgd", "momentum": 0.9, "clip_norm": 0.5}
    gradients = {"0.bias": gradients["0.bias"]}
    state = {
        "0.bias.step": np.array(4),
        "0.bias.exp_avg": rng.normal(size=3),
        "0.bias.exp_avg_sq": rng.uniform(size=3),
        "scale.step": np.array(2),
        "scale.exp_avg": np.array(0.1),
        "scale.exp_avg_sq": np.array(0.2),
    }
    yield {"optimizer": "adam", "parameters": parameters, "gradients": gradients, "state": state}


CASES: Final[dict[str, Callable[[Rng], Iterator[Request]]]] = {
    "softmax": _over_dim,
    "log_softmax": _over_dim,
    "sigmoid": _activations,
    "logsigmoid": _activations,
    "entropy": _entropies,
    "divergences": _divergences,
    "class_weights": _class_weights,
    "balanced_order": _balanced_order,
    "optimizer_step": _optimizer_step,
}


def requests(name: str, dtype: str, seed: int = 0) -> list[Request]:
    """Requests for an operation, their floating-point arrays of that type."""
    return [
        each_array(request, lambda array: of_type(array, dtype)) for request in CASES[name](np.random.default_rng(seed))
    ]


def of_type(array: Array, dtype: str) -> Array:
    """A floating-point array in that type; others as they are."""
    return array.astype(FLOATING[dtype]) if is_floating(array.dtype) else array


def each_array(value: Any, change: Callable[[Array], Any]) -> Any:
    """The same value with every array changed."""
    if isinstance(value, dict):
        return {name: each_array(inner, change) for name, inner in value.items()}
    return change(value) if isinstance(value, np.ndarray) else value


def large(n: int) -> Iterator[tuple[str, Request]]:
    """Requests of about so many numbers, in the shapes that take most memory."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n // 100, 100)).astype(np.float32)
    for name in ("softmax", "log_softmax", "sigmoid", "logsigmoid"):
        yield name, {"input": x, "cotangent": x, "temperature": 2.0}
    yield "softmax", {"input": x, "cotangent": x, "temperature": 2.0, "dim": 0}
    p = np.full((n // 100, 100), 0.01, np.float32)
    for given in ("probabilities", "logits", "log_probabilities"):
        numbers = np.log(p) if given == "log_probabilities" else p
        own = {"given": given, "p": numbers, "base": "2"}
        yield "entropy", {**own, "cotangent": numbers[:, 0]}
        every = ("entropy", "cross_entropy", "kl", "reverse_kl", "jensen_shannon")
        yield "divergences", {**own, "q": numbers, "cotangents": dict.fromkeys(every, numbers[:, 0])}
    for method in ("inverse", "balanced", "effective_number"):
        yield "class_weights", {"counts": np.arange(n), "method": method, "normalize": "mean"}
        yield "class_weights", {"labels": rng.permutation(n), "method": method, "normalize": "mean"}
    yield "class_weights", {"labels": np.array([0]), "classes": n}
    yield "balanced_order", {"labels": rng.integers(0, 2, n), "seed": 1}
    yield "balanced_order", {"labels": np.arange(n), "seed": 1}
    yield "balanced_order", {"labels": np.maximum(np.arange(2000) - 1000, 0), "seed": 1}
    weights = {"w": x}
    for optimizer, options in (
        ("sgd", {"momentum": 0.9, "nesterov": True}),
        ("adam", {"amsgrad": True}),
        ("adamw", {}),
        ("rmsprop", {"centered": True, "momentum": 0.9}),
        ("adagrad", {}),
    ):
        more = {"weight_decay": 0.1, "clip_norm": 1.0, "maximize": True, **options}
        yield "optimizer_step", {"optimizer": optimizer, "parameters": weights, "gradients": weights, **more}
