"""The vectors hold an implementation that has nothing in common with the service: plain NumPy, derivatives by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.tensor import read
from tests.vectors.made import document

Array = NDArray[Any]
Request = dict[str, Any]


class Values(NamedTuple):
    """The unreduced loss, what mean divides by, and each value's derivative in its own part of `input`."""

    loss: Array
    divisor: float
    slope: Array


def tensor(request: Request, name: str, *, whole: bool = False) -> Array:
    """A tensor of the request, in its type."""
    return np.asarray(read(request[name]).array, np.int64 if whole else request["dtype"])


def huber(r: Request) -> Values:
    x, y, delta = tensor(r, "input"), tensor(r, "target"), r.get("delta", 1.0)
    e = x - y
    near = np.abs(e) < delta
    weight = tensor(r, "weight") if "weight" in r else np.ones_like(x)
    loss = weight * np.where(near, e * e / 2, delta * (np.abs(e) - delta / 2))
    return Values(loss, loss.size, weight * np.clip(e, -delta, delta))


def logistic(r: Request) -> Values:
    """Binary cross entropy with logits."""
    x, y = tensor(r, "input"), tensor(r, "target")
    weight = tensor(r, "weight") if "weight" in r else np.ones_like(x)
    positive = tensor(r, "pos_weight") if "pos_weight" in r else np.ones_like(x)
    log_one = -np.logaddexp(0, -x)
    log_zero = -np.logaddexp(0, x)
    sigmoid = np.exp(log_one)
    loss = -weight * (positive * y * log_one + (1 - y) * log_zero)
    return Values(loss, loss.size, weight * ((1 - y) * sigmoid - positive * y * np.exp(log_zero)))


def divergence(r: Request) -> Values:
    """kl_div."""
    x, y = tensor(r, "input"), tensor(r, "target")
    if r.get("log_target"):
        p, log_p = np.exp(y), y
    else:
        p, log_p = y, np.log(np.where(y > 0, y, 1))
    rows = x.shape[0] if x.ndim else 1
    return Values(p * (log_p - x), rows if r.get("reduction") == "batchmean" else x.size, -p)


def margins(r: Request) -> Values:
    """multi_margin_loss."""
    x, y = np.atleast_2d(tensor(r, "input")), np.atleast_1d(tensor(r, "target", whole=True))
    margin, p = r.get("margin", 1.0), r.get("p", 1)
    loss, slope = np.zeros(len(x), x.dtype), np.zeros_like(x)
    for n, true in enumerate(y):
        weight = tensor(r, "weight")[true] if "weight" in r else 1
        for c in range(x.shape[1]):
            over = margin - x[n, true] + x[n, c]
            if c != true and over > 0:
                loss[n] += weight * over**p / x.shape[1]
                slope[n, c] += weight * p * over ** (p - 1) / x.shape[1]
                slope[n, true] -= weight * p * over ** (p - 1) / x.shape[1]
    return Values(loss, len(x), slope)


def cross_entropy(r: Request) -> Values:
    """Logits C or N C, class indices or probabilities."""
    x = np.atleast_2d(tensor(r, "input"))
    log_p = x - x.max(1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
    classes = x.shape[1]
    weight = tensor(r, "weight") if "weight" in r else np.ones(classes, x.dtype)
    smoothing = r.get("label_smoothing", 0.0)
    asked = read(r["target"]).array
    divisor = float(len(x))
    if asked.ndim == np.ndim(r["input"]) and asked.dtype.kind == "f":
        target = weight * ((1 - smoothing) * np.atleast_2d(asked) + smoothing / classes)
    else:
        indices = np.atleast_1d(asked).astype(int)
        kept = indices != r.get("ignore_index", -100)
        hot = np.eye(classes)[np.where(kept, indices, 0)] * kept[:, None]
        target = weight * ((1 - smoothing) * hot + smoothing / classes * kept[:, None])
        divisor = float((weight * hot).sum())
    loss = -(target * log_p).sum(1)
    return Values(loss, divisor, target.sum(1, keepdims=True) * np.exp(log_p) - target)


IMPLEMENTED: dict[str, Callable[[Request], Values]] = {
    "huber_loss": huber,
    "binary_cross_entropy_with_logits": logistic,
    "kl_div": divergence,
    "multi_margin_loss": margins,
    "cross_entropy": cross_entropy,
}


ROWS_ALONE = ("cross_entropy", "multi_margin_loss")
"""Implemented for logits C and N C, without further dims."""


def covered(case: dict[str, Any]) -> bool:
    """Whether a case is one that is implemented above: something contributes, and no further dims."""
    if case["name"].startswith(("edge/no-rows", "edge/all-ignored")):
        return False
    return case["request"]["loss"] not in ROWS_ALONE or np.ndim(case["request"]["input"]) <= 2


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_an_implementation_in_numpy_meets_every_vector_that_it_covers(name: str) -> None:
    cases = [case for case in document(name)["cases"] if covered(case)]
    assert len(cases) >= 30
    gradients = 0
    for case in cases:
        request, expected = case["request"], case["expected"]
        made = IMPLEMENTED[name](request)
        reduction = request.get("reduction", "mean")
        cotangent = tensor(request, "cotangent") if "cotangent" in request else np.ones((), request["dtype"])
        scale = 1 if reduction in ("none", "sum") else 1 / made.divisor
        loss = made.loss.reshape(np.shape(expected["loss"])) if reduction == "none" else made.loss.sum() * scale
        meets(loss, expected["loss"], case)
        if "input" in expected["gradients"]:
            upstream = np.broadcast_to(cotangent * scale, made.loss.shape)
            upstream = upstream.reshape(made.loss.shape + (1,) * (made.slope.ndim - made.loss.ndim))
            found = (upstream * made.slope).reshape(np.shape(request["input"]))
            meets(found, expected["gradients"]["input"], case)
            gradients += 1
    assert gradients >= 20


def meets(found: Any, expected: Any, case: dict[str, Any]) -> None:
    allowed = case["tolerance"]
    told = np.asarray(read(expected).array, np.float64)
    np.testing.assert_allclose(found, told, rtol=allowed["rtol"], atol=allowed["atol"], err_msg=case["name"])


def test_a_wrong_implementation_does_not_meet_them() -> None:
    case = next(case for case in document("huber_loss")["cases"] if case["name"] == "reduction/sum/float32")
    with pytest.raises(AssertionError):
        meets(huber(case["request"]).loss.sum() * (1 + 3e-4), case["expected"]["loss"], case)
