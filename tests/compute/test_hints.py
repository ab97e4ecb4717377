"""Hints at what is wrong with another implementation: each known fault gets its own, in any type."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from service.compute import compute
from service.compute.checking.causes import CAUSES
from tests.compute.checks import CPU, checked

Array = NDArray[Any]
RNG = np.random.default_rng(5)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


# Plain implementations with a fault each: the request, and the loss and the gradient in `input` that they make of it.


class Faulty(NamedTuple):
    code: str
    request: dict[str, Any]
    loss: Any
    gradient: Array


N, C = 6, 4
X = RNG.normal(size=(N, C))
T = RNG.integers(0, C, N)
W = np.array([0.5, 2.0, 1.5, 0.7])
HOT = np.eye(C)[T]
CE: dict[str, Any] = {"loss": "cross_entropy", "input": X, "target": T}
Y = RNG.uniform(0, 1, (N, C))
A, B = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
MSE: dict[str, Any] = {"loss": "mse_loss", "input": A, "target": B}


def ce(x: Array, hot: Array, rows: Array | None = None, divisor: float = N) -> tuple[float, Array]:
    """Softmax cross entropy against target probabilities, each row times a weight, over a divisor."""
    rows = np.ones(len(x)) if rows is None else rows
    p = softmax(x)
    loss = -(rows * (hot * np.log(p)).sum(1)).sum() / divisor
    return float(loss), np.asarray(rows[:, None] * (p * hot.sum(1, keepdims=True) - hot) / divisor)


def smoothed(epsilon: float, hot: Array = HOT) -> Array:
    return (1 - epsilon) * hot + epsilon / C


def faulty() -> list[Faulty]:
    loss, gradient = ce(X, HOT)
    weights = W[T]
    ignored = T.copy()
    ignored[:2] = -100
    kept = (ignored != -100).astype(float)
    total, own = float(((A - B) ** 2).sum()), 2 * (A - B)
    found = [
        Faulty("sign", CE, loss, -gradient),
        Faulty("sign", CE, -loss, -gradient),
        Faulty("sum_instead_of_mean", CE, loss * N, gradient * N),
        Faulty("mean_instead_of_sum", {**MSE, "reduction": "sum"}, total / 15, own / 15),
        Faulty("gradients_not_divided", CE, loss, gradient * N),
        Faulty("gradients_divided", {**MSE, "reduction": "sum"}, total, own / 15),
        Faulty("batchmean_instead_of_mean", MSE, total / 5, own / 5),
        Faulty("divided_by_count", {**CE, "weight": W}, *ce(X, HOT, weights)),
        Faulty("ignored_in_denominator", {**CE, "target": ignored}, *ce(X, HOT, kept)),
        Faulty("divided_by_input_elements", CE, loss / C, gradient / C),
        Faulty("cotangent_ignored", {**CE, "cotangent": 2.5}, loss, gradient),
        Faulty("factor_half", MSE, total / 30, own / 30),
        Faulty("factor_half", MSE, total / 15, own / 30),
        Faulty("base_two_logarithm", CE, loss / math.log(2), gradient / math.log(2)),
        Faulty("weights_left_out", {**CE, "weight": W}, loss, gradient),
        Faulty("label_smoothing_left_out", {**CE, "label_smoothing": 0.1}, loss, gradient),
        Faulty("label_smoothing_twice", {**CE, "label_smoothing": 0.1}, *ce(X, smoothed(0.1, smoothed(0.1)))),
    ]
    as_first = np.eye(C)[np.where(ignored == -100, 0, T)]
    found.append(Faulty("ignore_index_not_honoured", {**CE, "target": ignored}, *ce(X, as_first)))
    as_last = np.where(T == 1, 3, T)  # rows of class 1 are to be ignored, and are computed as what they say
    found.append(Faulty("ignore_index_not_honoured", {**CE, "target": T, "ignore_index": int(T[0])}, loss, gradient))
    assert (as_last != 1).all()
    # A transposed gradient, in its own shape and in the reference's.
    found.append(Faulty("transposed", CE, loss, gradient.T))
    found.append(Faulty("transposed", CE, loss, gradient.reshape(-1, order="F").reshape(N, C)))
    # Softmax twice: d/dx of CE(softmax(x)), through the inner softmax and not.
    p = softmax(X)
    twice, inner = ce(p, HOT)
    through = p * (inner - (p * inner).sum(1, keepdims=True))
    found.append(Faulty("softmax_twice", CE, twice, through))
    found.append(Faulty("softmax_twice", CE, twice, inner))
    # -p instead of -log p.
    plain = -(HOT * p).sum() / N
    found.append(Faulty("log_missing", CE, plain, -p * (HOT - (HOT * p).sum(1, keepdims=True)) / N))
    found.append(Faulty("log_softmax_left_out", CE, -(HOT * X).sum() / N, -HOT / N))
    logs = np.log(p)
    nll: dict[str, Any] = {"loss": "nll_loss", "input": logs, "target": T}
    found.append(Faulty("log_softmax_of_probabilities", nll, twice, inner * p))
    found.append(Faulty("log_missing", nll, plain, -HOT * p / N))
    # Binary: sigmoid twice, the logarithm missing.
    bce: dict[str, Any] = {"loss": "binary_cross_entropy_with_logits", "input": X, "target": Y}
    s = sigmoid(X)
    ss = sigmoid(s)
    value = -(Y * np.log(ss) + (1 - Y) * np.log(1 - ss)).mean()
    found.append(Faulty("sigmoid_twice", bce, value, (ss - Y) * s * (1 - s) / X.size))
    value = -(Y * s + (1 - Y) * (1 - s)).mean()
    found.append(Faulty("log_missing", bce, value, (1 - 2 * Y) * s * (1 - s) / X.size))
    positive = {**bce, "pos_weight": W}
    found.append(Faulty("weights_left_out", positive, -(Y * np.log(s) + (1 - Y) * np.log(1 - s)).mean(), (s - Y) / 24))
    # Divergence: batchmean against mean, the logarithm of the target missing.
    kl: dict[str, Any] = {"loss": "kl_div", "input": logs, "target": softmax(Y)}
    q = softmax(Y)
    value = (q * (np.log(q) - logs)).sum()
    found.append(Faulty("mean_instead_of_batchmean", {**kl, "reduction": "batchmean"}, value / 24, -q / 24))
    found.append(Faulty("batchmean_instead_of_mean", kl, value / N, -q / N))
    found.append(Faulty("log_missing", kl, (q * (q - logs)).mean(), -q / 24))
    # Options at their default: a Huber loss with a delta of 1, a ranking loss without its margin.
    huber: dict[str, Any] = {"loss": "huber_loss", "input": 2 * A, "target": B, "delta": 0.3}
    e = 2 * A - B
    small = np.abs(e) < 1
    value = np.where(small, e * e / 2, np.abs(e) - 0.5).mean()
    found.append(Faulty("option_at_default", huber, value, np.where(small, e, np.sign(e)) / 15))
    return found


FAULTY = faulty()


@pytest.mark.parametrize("fault", FAULTY, ids=[f"{at}-{fault.code}" for at, fault in enumerate(FAULTY)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_fault_gets_its_hint_first(fault: Faulty, dtype: str) -> None:
    theirs = {"loss": np.asarray(fault.loss, dtype), "gradients": {"input": np.asarray(fault.gradient, dtype)}}
    found = checked({"request": {**fault.request, "dtype": dtype}, **theirs})
    assert found.members["verdict"] == "wrong"
    first = found.members["hints"][0]
    assert first["code"] == fault.code, found.members["hints"]
    assert first["explains"] == ["loss", "gradients.input"]
    assert first["sentence"].endswith(".")


MASKED = [
    (name, member)
    for name, cls in LOSSES.items()
    for member, spec in cls.tensor_fields.items()
    if spec.kind == "mask" and not cls.model_fields[member].is_required()
]


@pytest.mark.parametrize(("name", "member"), MASKED)
def test_a_mask_that_is_left_out_gets_its_hint(name: str, member: str) -> None:
    without = {"loss": name, **LOSSES[name].about.example, "reduction": "mean"}
    without.pop(member, None)
    whole = np.shape(without[LOSSES[name].predictions[0]])
    for shape in (whole, whole[:-1]):  # one of each element, or one of each row
        mask = np.ones(shape, bool)
        mask.reshape(-1)[0] = False
        try:
            LOSSES[name].model_validate({**without, member: mask})
            break
        except InvalidRequest:
            continue
    plain = compute([LOSSES[name].model_validate(without)], CPU)[0]
    theirs = {"loss": np.asarray(plain.loss), "gradients": plain.gradients}
    found = checked({"request": {**without, member: mask}, **theirs})
    assert found.members["hints"][0]["code"] == "mask_left_out"


def test_every_cause_is_tried_by_a_faulty_implementation() -> None:
    assert {cause.code for cause in CAUSES} - {fault.code for fault in FAULTY} == {"mask_left_out"}
