"""Targets that do not contribute: all of them, some of them, or those of a class that weighs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess

ALL_IGNORED: dict[str, dict[str, Any]] = {
    "nll_loss": {"input": [[-0.1, -2.0, -3.0], [-1.0, -1.1, -1.2]], "target": [-100, -100]},
    "cross_entropy": {"input": [[1.0, 2.0, 3.0], [0.0, 0.5, 1.0]], "target": [-100, -100]},
    "linear_cross_entropy": {
        "input": [[1.0, 2.0], [0.5, 1.0]],
        "linear_weight": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
        "target": [-100, -100],
    },
}
VALUES = {
    ("mean", "nan"): "NaN",
    ("mean", "zero"): 0.0,
    ("sum", "nan"): 0.0,
    ("sum", "zero"): 0.0,
    ("sum", "error"): 0.0,
    ("none", "nan"): [0.0, 0.0],
    ("none", "zero"): [0.0, 0.0],
    ("none", "error"): [0.0, 0.0],
}


@pytest.mark.parametrize(("reduction", "on_empty"), VALUES)
@pytest.mark.parametrize("loss", ALL_IGNORED)
def test_all_targets_ignored_give_what_on_empty_says_and_zero_gradients(
    client: InProcess, loss: str, reduction: str, on_empty: str
) -> None:
    request = ALL_IGNORED[loss]
    answer = client.answer(loss, **request, reduction=reduction, on_empty=on_empty)
    assert answer["loss"] == VALUES[reduction, on_empty]
    assert (answer["count"], answer["ignored"], answer["divisor"]) == (0, 2, 0.0)
    for name, gradient in answer["gradients"].items():
        assert np.array_equal(gradient, np.zeros_like(request[name])), name


@pytest.mark.parametrize("loss", ALL_IGNORED)
def test_all_targets_ignored_are_refused_where_on_empty_is_error(client: InProcess, loss: str) -> None:
    assert "/on_empty" in client.faults(loss, **ALL_IGNORED[loss], on_empty="error")


@pytest.mark.parametrize(("on_empty", "loss"), [("nan", "NaN"), ("zero", 0.0)])
def test_a_mean_over_no_elements_is_what_on_empty_says(client: InProcess, on_empty: str, loss: Any) -> None:
    answer = client.answer("mse_loss", input=[], target=[], on_empty=on_empty)
    assert (answer["loss"], answer["gradients"], answer["count"]) == (loss, {"input": []}, 0)


def test_a_mean_over_no_elements_is_refused_where_on_empty_is_error(client: InProcess) -> None:
    assert "/on_empty" in client.faults("mse_loss", input=[], target=[], on_empty="error")


@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy", "linear_cross_entropy"])
def test_a_zero_weight_on_every_present_class_gives_nan_and_nan_gradients(client: InProcess, loss: str) -> None:
    request = ALL_IGNORED[loss] | {"target": [0, 0], "weight": [0.0, 1.0, 1.0]}
    answer = client.answer(loss, **request, gradients=["input"])
    assert answer["loss"] == "NaN"
    assert (answer["divisor"], answer["count"], answer["ignored"]) == (0.0, 2, 0)
    gradient = np.array(answer["gradients"]["input"])
    rows = gradient[:, :1] if loss == "nll_loss" else gradient  # only its own class is in the graph there
    assert set(rows.reshape(-1)) == {"NaN"}


def test_on_empty_leaves_a_zero_weight_alone(client: InProcess) -> None:
    request = ALL_IGNORED["cross_entropy"] | {"target": [0, 0], "weight": [0.0, 1.0, 1.0]}
    assert client.answer("cross_entropy", **request, on_empty="zero")["loss"] == "NaN"


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weight_smoothing_and_ignored_rows_together_follow_the_formula(client: InProcess, reduction: str) -> None:
    logits = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [1.5, -0.5, 0.25], [0.0, 3.0, 1.0]])
    target, weight, eps = np.array([0, 2, -1, 1]), np.array([1.0, 2.0, 0.5]), 0.1
    answer = client.answer(
        "cross_entropy",
        input=logits.tolist(),
        target=target.tolist(),
        weight=weight.tolist(),
        ignore_index=-1,
        label_smoothing=eps,
        reduction=reduction,
        dtype="float64",
    )
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    kept = target != -1
    own = np.where(kept, weight[target], 0)
    smooth = np.where(kept, (weight * -log_p).sum(1), 0)
    rows = (1 - eps) * own * -log_p[np.arange(4), target] + eps / 3 * smooth
    expected = {"mean": rows.sum() / own.sum(), "sum": rows.sum(), "none": rows}[reduction]
    assert answer["loss"] == pytest.approx(expected, rel=1e-12)
    assert (answer["divisor"], answer["count"], answer["ignored"]) == (3.5, 3, 1)
    p = np.exp(log_p)
    hot = np.eye(3)[np.where(kept, target, 0)]
    slope = (1 - eps) * own[:, None] * (p - hot) + eps / 3 * (p * weight.sum() - weight)
    slope = np.where(kept[:, None], slope, 0) / (own.sum() if reduction == "mean" else 1)
    np.testing.assert_allclose(answer["gradients"]["input"], slope, rtol=1e-12, atol=1e-15)


def test_a_nan_logit_in_an_ignored_row_spoils_only_that_rows_gradient(client: InProcess) -> None:
    answer = client.answer("cross_entropy", input=[["NaN", 1.0], [1.0, 2.0]], target=[-100, 1], dtype="float64")
    assert answer["loss"] == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-12)
    spoiled, sound = answer["gradients"]["input"]
    assert "NaN" in spoiled
    p = 1 / (1 + np.exp(1.0))
    assert sound == pytest.approx([p, -p], rel=1e-12)


def test_an_ignore_index_inside_the_classes_is_ignored(client: InProcess) -> None:
    answer = client.answer("cross_entropy", input=[[1.0, 2.0], [1.0, 2.0]], target=[0, 1], ignore_index=0)
    assert (answer["count"], answer["ignored"], answer["divisor"]) == (1, 1, 1.0)
    assert answer["gradients"]["input"][0] == [0.0, 0.0]


@pytest.mark.parametrize("ignore_index", [2**63, 2**64 - 1])
def test_an_ignore_index_beyond_64_bits_is_refused(client: InProcess, ignore_index: int) -> None:
    assert "/ignore_index" in client.faults("nll_loss", input=[[-1.0]], target=[0], ignore_index=ignore_index)
