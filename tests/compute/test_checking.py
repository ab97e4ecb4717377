"""Checks of other implementations: sound ones pass in any type, and each known fault is found by its hint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from numpy.typing import NDArray

from schemas.losses import LOSSES
from schemas.operation import OperationResult
from schemas.operations.checking import Check
from schemas.problem import InvalidRequest
from service.compute import Work, compute, open_device
from service.compute.checking.causes import CAUSES
from tests.losses.cases import case
from tests.losses.reference import reference

Array = NDArray[Any]
CPU = open_device("cpu")
CHECKED = [name for name, cls in LOSSES.items() if not cls.made_of_losses]
FEW = settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(5)


def checked(body: dict[str, Any]) -> OperationResult:
    """The result of a check, whose turns are taken one after the other."""
    work: Work = Check.model_validate(body)
    while True:
        found: Any = compute([work], CPU)[0]
        if found.faults:
            raise InvalidRequest(found.faults)
        if found.rest is None:
            result: OperationResult = found
            return result
        work = found.rest


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


# Sound implementations.


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
    body = {"request": {**CE, "dtype": "float64"}, "gradients": {"input": np.ones((C, N))}}
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
