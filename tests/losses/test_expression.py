"""Formulas of the caller's own: equal to the losses that they spell, by either way of differentiating them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from schemas.expression import FUNCTIONS
from schemas.losses import LOSSES
from schemas.losses.expression import Expression
from schemas.problem import InvalidRequest
from schemas.result import LossResult
from service.compute import compute, open_device
from service.losses import expression

CPU = open_device("cpu")
HUBER = Expression.about.example["expression"]
RNG = np.random.default_rng(19)
X, Y = RNG.normal(size=(2, 40, 300))
TENSORS = {"x": X[:2, :3] + 3.1, "y": Y[0, :3] + 4.2, "z": np.array(1.7), "w": X[2:4, :3] / 8}


def answer(loss: str, **members: Any) -> LossResult:
    return compute([LOSSES[loss].model_validate({"loss": loss, **members})], CPU)[0]


@pytest.mark.parametrize("shape", [(1, 10), (40, 300)])
def test_a_users_huber_loss_is_the_huber_loss(shape: tuple[int, int]) -> None:
    x, y = X[: shape[0], : shape[1]], Y[: shape[0], : shape[1]]
    known = answer("huber_loss", input=x, target=y, delta=0.75, gradients=["input", "target"])
    found = answer("expression", expression=HUBER, tensors={"x": x, "y": y}, constants={"d": 0.75})
    np.testing.assert_allclose(found.loss, known.loss, rtol=1e-15, atol=0)
    np.testing.assert_allclose(found.gradients["x"], known.gradients["input"], rtol=1e-15, atol=0)
    np.testing.assert_allclose(found.gradients["y"], known.gradients["target"], rtol=1e-15, atol=0)


def test_a_large_result_is_reduced_as_any_loss_is() -> None:
    for reduction in ("none", "sum", "mean"):
        known = answer("mse_loss", input=X, target=Y, reduction=reduction)
        found = answer("expression", expression="(x - y)**2", tensors={"x": X, "y": Y}, reduction=reduction)
        np.testing.assert_allclose(found.loss, known.loss, rtol=1e-15)
        np.testing.assert_allclose(found.gradients["x"], known.gradients["input"], rtol=1e-15)
        assert (found.divisor, found.count) == (known.divisor, known.count) == (12_000, 12_000)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_result_that_is_one_number_is_the_loss(reduction: str) -> None:
    found = answer("expression", expression="sum(x)", tensors={"x": X}, reduction=reduction, cotangent=3.0)
    assert found.loss == pytest.approx(X.sum())
    assert (found.gradients["x"] == 3).all()
    assert (found.divisor, found.count) == (1, 1)


def texts() -> list[str]:
    """Every function and operator on tensors of other shapes and on numbers."""
    values = ("x", "y", "z", "w", "0.7")
    found = []
    for name, function in FUNCTIONS.items():
        if function.rule in ("reduction", "along"):
            dims = (
                "",
                ", dim=0",
                ", dim=-1",
                ", dim=(0, 1)",
                ", keepdim=True",
                ", dim=1, keepdim=True",
                ", p=1",
                ", p=inf",
            )
            found += [f"{name}({value}{dim})" for value in ("x", "z", "x * y") for dim in dims]
        else:
            found += [
                f"{name}({', '.join(some)})" for some in itertools.product(values, repeat=len(function.parameters))
            ]
    found += [
        f"{a} {op} {b}" for op in ("+", "-", "*", "/", "**", "<", ">=", "==", "and") for a in values for b in values
    ]
    found += [f"-{one} * z" for one in values] + ["clamp(x, min=3)", "clamp(x, max=y)", "not x", "x * (y > 4)"]
    return [
        *found,
        "sum(x) * y",
        "mean(x - y) / x",
        "sum(sum(y) + x * y)",
        "stop_gradient(x) * x",
        "relu(x - 3)",
        "abs(w)",
    ]


def test_every_step_has_the_gradient_that_finite_differences_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same by autograd and by the rules here, and one of the second order too."""
    tried = 0
    for text in texts():
        given = {name: value for name, value in TENSORS.items() if name in text.replace("max", "").replace("exp", "")}
        try:
            request = Expression.model_validate({"expression": text, "tensors": given or TENSORS})
        except InvalidRequest:
            continue
        [found] = compute([request], CPU)
        with monkeypatch.context() as patched:
            patched.setattr(expression, "rules_of", lambda _program, _wanted: None)
            [other] = compute([request], CPU)
        np.testing.assert_allclose(found.loss, other.loss, rtol=1e-14, err_msg=text)
        for name, gradient in found.gradients.items():
            np.testing.assert_allclose(
                gradient, other.gradients[name], rtol=1e-13, atol=1e-13, err_msg=f"{text}: {name}"
            )
        if not any(word in text for word in ("stop", "isnan", "==", "sign(", "floor")):
            assert_differentiable(request, text)
        tried += 1
    assert tried > 300


def assert_differentiable(request: Expression, text: str) -> None:
    """By finite differences, once and twice."""
    steps = expression.steps_of(request.program)
    names = list(request.tensors)
    numbers = request.numbers_used()

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = expression.run(steps, dict(zip(names, tensors, strict=True)), numbers)[-1]
        return found

    inputs = tuple(torch.tensor(request.checked.tensors[name], requires_grad=True) for name in names)
    if not function(*inputs).requires_grad:
        return
    with torch.no_grad():
        if not function(*inputs).isfinite().all():
            return
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-5), text
    assert torch.autograd.gradgradcheck(function, inputs, eps=1e-6, atol=1e-4), text


@pytest.mark.parametrize(
    "text", ["mean(where(x > y, x * y, 0))", "sum(where(x > 0, 1, x))", "mean(relu(x) * where(y > x, y, x))"]
)
def test_large_selections_have_the_bits_of_small_ones(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"x": X.copy(), "y": Y}
    tensors["x"][0, :3] = np.inf, -np.inf, np.nan
    found = answer("expression", expression=text, tensors=tensors)
    monkeypatch.setattr("service.losses.reverse.LARGE", 1 << 30)
    known = answer("expression", expression=text, tensors=tensors)
    np.testing.assert_array_equal(found.loss, known.loss)
    for name in found.gradients:
        np.testing.assert_array_equal(found.gradients[name], known.gradients[name])


def test_integers_and_booleans_are_numbers() -> None:
    tensors = {"x": np.array([1.0, 2.0]), "n": np.array([3, 4], np.int8), "m": np.array([True, False])}
    found = answer("expression", expression="sum(x * n * m)", tensors=tensors)
    assert found.loss == 3
    assert {name: gradient.tolist() for name, gradient in found.gradients.items()} == {"x": [3, 0]}


def test_nothing_differentiable_has_gradients_of_zero() -> None:
    found = answer(
        "expression", expression="mean(x > 0) + mean(stop_gradient(x))", tensors={"x": np.array([1.0, -2.0])}
    )
    assert found.gradients["x"].tolist() == [0, 0]
