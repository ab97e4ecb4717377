"""Every gradient is the slope of the service's own loss, by central differences in float64 near each example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.catalogue import example
from schemas.losses import LOSSES
from schemas.result import LossResult
from service.compute import compute, open_device
from tests.losses.cases import differentiable

CPU = open_device("cpu")
Array = NDArray[np.float64]
Request = dict[str, Any]

STEP = 1e-4
"""With the second step of Richardson's, errors are of its fourth power; rounding is below 1e-11 of the loss."""

NOT_SLOPES = {
    "cispo_loss": "the clipped ratio is a constant for its gradient",
    "ctc_loss": "its gradient holds that of the log_softmax in front of log_probs",
    "complete_box_iou_loss": "the weight of the term for proportions is a constant for the gradient",
}
"""Losses whose answered gradient is by intent not the slope of the answered loss, and why."""


def near_the_example(name: str, rng: np.random.Generator) -> Request:
    """The example in float64, moved up a little: off kinks, and without turning positive numbers negative."""
    request = example(LOSSES[name])
    fields = LOSSES[name].tensor_fields
    found: Request = {**request, "dtype": "float64"}
    for member in fields.keys() & request.keys():
        array = np.array(request[member])
        found[member] = (
            array.astype(np.float64) if array.dtype.kind == "f" or fields[member].kind == "floating" else array
        )
    if "tensors" in found:
        found["tensors"] = {own: np.array(value) for own, value in found["tensors"].items()}
        for own, array in found["tensors"].items():
            found["tensors"][own] = array.astype(np.float64) if array.dtype.kind == "f" else array
    if "tail" in found:
        found["tail"] = [{part: np.array(value, np.float64) for part, value in one.items()} for one in found["tail"]]
    for tensor in differentiable(name, found):
        array = at(found, tensor)
        if tensor in fields and fields[tensor].domain == "unit":
            array *= 0.9
        array += rng.uniform(0.01, 0.05, array.shape)
    return found


def at(request: Request, tensor: str) -> Array:
    """A tensor by its name, such as `tail.0.output`: the request's own."""
    found: Any = request
    for part in LOSSES[request["loss"]].path_of(tensor).split("."):
        found = found[int(part) if isinstance(found, list) else part]
    assert isinstance(found, np.ndarray)
    return found


def answer(request: Request) -> LossResult:
    return compute([LOSSES[request["loss"]].model_validate(request)], CPU)[0]


def loss(request: Request, cotangent: Array) -> float:
    return float((answer({**request, "gradients": []}).loss * cotangent).sum())


def slopes(request: Request, tensor: str, cotangent: Array) -> Array:
    """The derivative of the cotangent's product with the loss in each element of a tensor, from losses alone."""
    array = at(request, tensor)
    found = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        kept = float(array[index])
        moved = []
        for step in (STEP, -STEP, STEP / 2, -STEP / 2):
            array[index] = kept + step
            moved.append(loss(request, cotangent))
        array[index] = kept
        wide, narrow = (moved[0] - moved[1]) / (2 * STEP), (moved[2] - moved[3]) / STEP
        found[index] = (4 * narrow - wide) / 3
    return found


def compared(name: str, reduction: str) -> Iterator[tuple[str, Array, Array]]:
    """Tensors that have gradients; what is answered; what it must be."""
    seed = 20_261
    rng = np.random.default_rng(seed)
    request = {**near_the_example(name, rng), "reduction": reduction}
    shape = np.shape(answer({**request, "gradients": []}).loss)
    cotangent = rng.uniform(0.5, 1.5, shape)
    names = differentiable(name, request)
    found = answer({**request, "gradients": names, "cotangent": cotangent}).gradients
    for tensor in names:
        yield tensor, found[tensor], slopes(request, tensor, cotangent)


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in NOT_SLOPES])
def test_gradients_are_the_slopes_of_the_loss(name: str, reduction: str) -> None:
    steepest = 0.0
    for tensor, found, expected in compared(name, reduction):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7, err_msg=tensor)
        steepest = max(steepest, float(np.abs(expected).max()))
    assert steepest > 1e-3, "an example whose loss is flat shows nothing"


@pytest.mark.parametrize("name", NOT_SLOPES)
def test_what_is_no_slope_is_told_as_such(name: str) -> None:
    assert not all(np.allclose(found, expected, rtol=1e-3) for _, found, expected in compared(name, "none"))


def test_ctc_gradients_are_slopes_in_the_logits_before_log_softmax() -> None:
    request = near_the_example("ctc_loss", np.random.default_rng(1))
    logits = request["log_probs"].copy()

    def loss_of(moved: Array) -> float:
        top = moved.max(-1, keepdims=True)
        request["log_probs"] = moved - top - np.log(np.exp(moved - top).sum(-1, keepdims=True))
        return loss(request, np.ones(()))

    expected = np.empty(logits.shape)
    for index in np.ndindex(logits.shape):
        step = np.zeros(logits.shape)
        step[index] = STEP
        expected[index] = (loss_of(logits + step) - loss_of(logits - step)) / (2 * STEP)
    loss_of(logits)
    np.testing.assert_allclose(answer(request).gradients["log_probs"], expected, rtol=1e-6, atol=1e-7)
