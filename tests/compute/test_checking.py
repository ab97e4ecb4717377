"""Checks of other implementations: sound ones pass in any type, and differences are told with their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from numpy.typing import NDArray

from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from service.compute import compute
from tests.compute.checks import CPU, checked
from tests.losses.cases import case
from tests.losses.reference import reference

Array = NDArray[Any]
CHECKED = [name for name, cls in LOSSES.items() if not cls.made_of_losses]
FEW = settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def loops_of_cross_entropy(x: Array, target: Array, kind: Callable[[Any], Any]) -> tuple[Any, Array]:
    """The plainest there is: loops, every number in the type, the textbook's logarithm of a quotient."""
    rows, classes = x.shape
    gradient = np.zeros(x.shape, x.dtype)
    total = kind(0)
    for n in range(rows):
        exponentials = [np.exp(kind(value)) for value in x[n]]
        below = kind(0)
        for one in exponentials:
            below = kind(below + one)
        total = kind(total - np.log(kind(exponentials[target[n]] / below)))
        for c in range(classes):
            gradient[n, c] = kind((exponentials[c] / below - kind(c == target[n])) / kind(rows))
    return kind(total / kind(rows)), gradient


@pytest.mark.parametrize("scale", [0.01, 1.0, 12.0])
@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_plain_loops_pass(dtype: str, rows: int, scale: float) -> None:
    rng = np.random.default_rng(rows)
    x, target = (rng.normal(size=(rows, 10)) * scale).astype(dtype), rng.integers(0, 10, rows)
    target[: rows // 2] = x[: rows // 2].argmax(1)  # confident rows, whose terms cancel
    loss, gradient = loops_of_cross_entropy(x, target, np.dtype(dtype).type)
    body = {"request": {"loss": "cross_entropy", "input": x, "target": target}}
    found = checked({**body, "loss": np.asarray(loss), "gradients": {"input": gradient}})
    assert found.members["verdict"] in ("equal", "close"), found.members["compared"]
    assert found.members["hints"] == []


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("epsilons", "verdict"), [(1, "close"), (1000, "wrong")])
def test_where_all_terms_cancel_rounding_passes(dtype: str, epsilons: int, verdict: str) -> None:
    """The softmax over one class is 1: the gradient is 0, or what rounding left of terms of the target's size."""
    request = {"loss": "cross_entropy", "input": [[0.3], [0.2]], "target": [0, 0], "dtype": dtype}
    gradient = np.array([[epsilons * np.finfo(dtype).eps / 2], [0.0]], dtype)
    found = checked({"request": request, "gradients": {"input": gradient}})
    assert found.members["verdict"] == verdict


@pytest.mark.parametrize("name", CHECKED)
@FEW
@given(data=st.data())
def test_sound_implementations_pass_for_every_loss(name: str, data: DataObject) -> None:
    """By torch itself, or the loss's canonical form, rounded to the type."""
    request = data.draw(case(name))
    expected = reference(request)
    theirs = {"loss": expected.loss, "gradients": expected.gradients}
    found = checked({"request": request, **theirs, **({} if expected.gradients else {"gradients": {}})})
    assert found.members["verdict"] in ("equal", "close"), found.members["compared"]


@pytest.mark.parametrize("name", CHECKED)
def test_the_services_own_answer_is_equal_to_the_bit(name: str) -> None:
    request = {"loss": name, **LOSSES[name].about.example}
    own = compute([LOSSES[name].model_validate(request)], CPU)[0]
    found = checked({"request": request, "loss": np.asarray(own.loss), "gradients": own.gradients})
    assert found.members["verdict"] == "equal"
    assert found.tensors["loss",].tobytes() == own.loss.tobytes()
    for tensor, gradient in own.gradients.items():
        assert found.tensors["gradients", tensor].tobytes() == gradient.tobytes()


# What is told of each tensor.


def test_the_largest_differences_are_told_with_their_places() -> None:
    body = {"request": {"loss": "l1_loss", "input": [[3.0, 5.0], [9.0, 2.0]], "target": [[1.0] * 2] * 2}}
    gradient = np.full((2, 2), 0.25, np.float32)
    gradient[1, 0] = np.nextafter(np.float32(0.25), np.float32(1))
    gradient[0, 1] = 0.5
    found = checked({**body, "loss": 3.75, "gradients": {"input": gradient}})
    loss, told = found.members["compared"]
    assert (loss["tensor"], loss["verdict"]) == ("loss", "equal")
    assert (told["tensor"], told["verdict"], told["beyond"], told["elements"]) == ("gradients.input", "wrong", 1, 4)
    assert told["absolute"] == {"value": 0.25, "at": [0, 1]}
    assert told["relative"] == {"value": 0.5, "at": [0, 1]}
    assert told["ulps"] == {"value": 2.0**23, "at": [0, 1]}


def test_one_unit_in_the_last_place_is_one() -> None:
    for dtype in ("float64", "float32", "float16"):
        near = np.asarray(np.nextafter(np.array(0.25, dtype), np.array(1, dtype)))
        body = {"request": {"loss": "mse_loss", "input": [0.5], "target": [0.0], "dtype": dtype}, "loss": near}
        (told,) = checked(body).members["compared"]
        assert (told["verdict"], told["ulps"]["value"]) == ("close", 1.0)


@pytest.mark.parametrize(("theirs", "verdict"), [(["NaN", 1.0], "wrong"), ([1.0, "NaN"], "equal")])
def test_what_is_no_number_is_equal_to_its_like_alone(theirs: list[Any], verdict: str) -> None:
    request = {"loss": "mse_loss", "input": [1.0, "NaN"], "target": [0.0, 0.0], "reduction": "none"}
    (told,) = checked({"request": request, "loss": theirs}).members["compared"]
    assert told["verdict"] == verdict
    assert told["absolute"]["value"] == ("Infinity" if verdict == "wrong" else 0.0)


def test_a_tolerance_that_is_given_is_used() -> None:
    body = {"request": {"loss": "mse_loss", "input": [1.0], "target": [0.0]}, "loss": 1.01}
    assert checked({**body, "rtol": 0.02}).members["verdict"] == "close"
    assert checked({**body, "rtol": 0.0, "atol": 0.001}).members["verdict"] == "wrong"
    (told,) = checked({**body, "rtol": 0.0, "atol": 0.02}).members["compared"]
    assert (told["rtol"], told["atol"], told["verdict"]) == (0.0, 0.02, "close")


def test_another_shape_that_is_no_transposition_is_refused() -> None:
    request = {"loss": "cross_entropy", "input": np.ones((6, 4)), "target": [0] * 6}
    body = {"request": request, "gradients": {"input": np.ones((4, 6))}}
    with pytest.raises(InvalidRequest, match="/gradients/input: shape"):
        checked(body)


# Central differences.


CONSTANT = ("cispo_loss", "complete_box_iou_loss")
"""Losses whose gradient holds a factor constant, so that it is by intent not the slope."""


@pytest.mark.parametrize("name", CHECKED)
def test_central_differences_agree_with_every_losss_gradient(name: str) -> None:
    example = {"loss": name, **LOSSES[name].about.example}
    own = compute([LOSSES[name].model_validate({**example, "dtype": "float64"})], CPU)[0]
    wrong = {tensor: gradient + 0.5 for tensor, gradient in own.gradients.items()}
    found = checked({"request": example, "gradients": wrong, "finite_differences": True})
    told = found.members["finite_differences"]
    assert told["coordinates"] == told["of"] == sum(gradient.size for gradient in own.gradients.values())
    for one in told["tensors"]:
        if name in CONSTANT:
            assert one["reference"]["value"] > 1e-6
            continue
        assert one["reference"]["value"] < 1e-6
        assert abs(one["theirs"]["value"] - 0.5) < 1e-6


def test_of_many_coordinates_some_are_chosen_always_the_same() -> None:
    x = np.random.default_rng(0).normal(size=(50, 60))
    body = {"request": {"loss": "huber_loss", "input": x, "target": x + 0.3}, "finite_differences": True}
    told = checked(body).members["finite_differences"]
    assert (told["coordinates"], told["of"]) == (2048, 3000)
    assert told == checked(body).members["finite_differences"]
    (one,) = told["tensors"]
    assert one["checked"] == 2048
    assert one["theirs"] is None
    assert one["reference"]["value"] < 1e-8


def test_a_step_that_is_given_is_taken() -> None:
    body = {"request": {"loss": "l1_loss", "input": [0.25], "target": [0.0]}, "finite_differences": True, "step": 1.0}
    told = checked(body).members["finite_differences"]
    assert told["step"] == 1.0
    assert told["tensors"][0]["reference"]["value"] == 0.75  # (1.25 - 0.75) / 2 is 1/4, the slope 1
