"""Every loss and every gradient is torch's own, over generated shapes, options, targets, types and reductions."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import DataObject
from numpy.typing import NDArray

from schemas.losses import LOSSES
from schemas.losses.regression import WeightedRegression
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.losses.cases import case
from tests.losses.families import REFERENCES
from tests.losses.reference import Expected, adaptive_output, reference, tensors_of

CHECKED = settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
CPU = open_device("cpu")
EPSILON = {"float64": 2**-52, "float32": 2**-23, "float16": 2**-10, "bfloat16": 2**-7}
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 8 * EPSILON["float16"], "bfloat16": 8 * EPSILON["bfloat16"]}
"""Relative. Half types: eight of their own roundings."""


def answer(request: dict[str, Any]) -> LossResult:
    return compute([LOSSES[request["loss"]].model_validate(request)], CPU)[0]


def assert_close(
    found: NDArray[Any], expected: NDArray[Any], dtype: str, scale: float, what: str, roundings: int = 1
) -> None:
    """Equal within the tolerance; where terms have cancelled, of `scale`, or of so many roundings of numbers near 1.

    NaN equals NaN.
    """
    assert found.shape == expected.shape, what
    relative = TOLERANCE[dtype]
    floor = relative * scale + EPSILON[dtype] * roundings
    np.testing.assert_allclose(found.astype(np.float64), expected, rtol=relative, atol=floor, err_msg=what)


def largest(array: NDArray[Any]) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


def assert_as_torch(found: LossResult, expected: Expected, request: dict[str, Any]) -> None:
    relative = TOLERANCE[expected.dtype]
    terms = largest(expected.unreduced)
    if found.reduction == "sum":
        terms *= max(expected.unreduced.size, 1)
    assert found.dtype == expected.dtype
    assert_close(found.loss, expected.loss, expected.dtype, terms, "loss")
    assert list(found.gradients) == list(expected.gradients)
    for name, gradient in expected.gradients.items():
        assert found.gradients[name].dtype == found.loss.dtype
        # A weighted mean's gradient in a weight is a difference of unweighted errors; weights are at least 1/4.
        weight = name == "weight" and issubclass(LOSSES[request["loss"]], WeightedRegression)
        scale = 4 * terms if weight else largest(gradient)
        if request["loss"] in REFERENCES and REFERENCES[request["loss"]].cancels:
            scale = max(scale, terms)
        # The linear layer's gradient sums over all rows.
        summed = name.startswith("linear_") and expected.dtype in ("float64", "float32")
        roundings = expected.unreduced.size if summed else 1
        assert_close(found.gradients[name], gradient, expected.dtype, scale, f"gradient in {name}", roundings)
    assert (found.count, found.ignored) == (expected.count, expected.ignored)
    if expected.divisor is None:
        assert found.divisor is None
    else:
        assert found.divisor == pytest.approx(expected.divisor, rel=max(relative, 1e-15), abs=0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@CHECKED
@given(data=st.data())
def test_loss_and_gradients_are_torchs(name: str, dtype: str, data: DataObject) -> None:
    request = data.draw(case(name, (dtype,)))
    assert_as_torch(answer(request), reference(request), request)


@pytest.mark.parametrize("name", LOSSES)
@settings(CHECKED, max_examples=8)
@given(data=st.data())
def test_half_types_are_float32_rounded(name: str, data: DataObject) -> None:
    request = data.draw(case(name, ("float16", "bfloat16")))
    assert_as_torch(answer(request), reference(request), request)


@settings(CHECKED, max_examples=8)
@given(request=case("adaptive_log_softmax_with_loss", ("float64",)))
def test_adaptive_softmax_answers_each_targets_log_probability(request: dict[str, Any]) -> None:
    expected = adaptive_output(tensors_of(request, "float64"), {"div_value": 2.0})
    found = answer(request).extras["output"]
    assert_close(found, expected.numpy(), "float64", 0.0, "output")


@pytest.mark.parametrize("name", LOSSES)
@settings(CHECKED, max_examples=8)
@given(data=st.data())
def test_no_gradient_asked_for_means_no_backward_pass(name: str, data: DataObject) -> None:
    request = {**data.draw(case(name, ("float32",))), "gradients": []}

    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a backward pass ran")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.compute.batch.backward_pass", forbidden)
        assert answer(request).gradients == {}
