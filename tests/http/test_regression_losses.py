"""Regression and embedding losses where it hurts: shapes, kinks, clamps and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess


@pytest.mark.parametrize("loss", ["l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss", "kl_div"])
@pytest.mark.parametrize("target", [[[1.0], [2.0]], [1.0], 1.0, [[1.0, 2.0]]])
def test_shapes_that_torch_would_broadcast_are_refused(client: InProcess, loss: str, target: Any) -> None:
    faults = client.faults(loss, input=[0.5, 1.5], target=target)
    assert list(faults) == ["/target"]
    assert "shape" in faults["/target"]


@pytest.mark.parametrize("loss", ["l1_loss", "mse_loss"])
def test_a_weighted_mean_divides_by_the_sum_of_weights(client: InProcess, loss: str) -> None:
    answer = client.answer(loss, input=[1.0, 2.0], target=[0.0, 4.0], weight=[3.0, 1.0], dtype="float64")
    expected = {"l1_loss": (3 * 1 + 2) / 4, "mse_loss": (3 * 1 + 4) / 4}[loss]
    assert (answer["loss"], answer["divisor"]) == (expected, 4.0)


def test_a_weighted_huber_mean_divides_by_the_number_of_elements(client: InProcess) -> None:
    answer = client.answer("huber_loss", input=[0.5, 3.0], target=[0.0, 0.0], weight=[4.0, 2.0], dtype="float64")
    assert (answer["loss"], answer["divisor"]) == ((4 * 0.125 + 2 * 2.5) / 2, 2.0)


def test_the_l1_gradient_at_zero_is_zero(client: InProcess) -> None:
    answer = client.answer("l1_loss", input=[1.0, 2.0, 0.0], target=[1.0, 1.0, 1.0], reduction="sum")
    assert answer["gradients"]["input"] == [0.0, 1.0, -1.0]


def test_smooth_l1_with_beta_0_is_l1(client: InProcess) -> None:
    request = {"input": [0.0, 0.5, -3.0], "target": [0.0, 0.0, 0.0], "reduction": "none"}
    smooth = client.answer("smooth_l1_loss", **request, beta=0.0)
    plain = client.answer("l1_loss", **request)
    assert (smooth["loss"], smooth["gradients"]) == (plain["loss"], plain["gradients"])


@pytest.mark.parametrize(
    ("loss", "option", "value"),
    [
        ("smooth_l1_loss", "beta", -1.0),
        ("huber_loss", "delta", 0.0),
        ("huber_loss", "delta", -1.0),
        ("huber_loss", "delta", "Infinity"),
        ("huber_loss", "delta", True),
        ("huber_loss", "delta", "1"),
    ],
)
def test_an_option_out_of_its_bounds_is_refused(client: InProcess, loss: str, option: str, value: Any) -> None:
    assert list(client.faults(loss, input=[1.0], target=[0.0], **{option: value})) == [f"/{option}"]


def test_the_hinge_embedding_gradient_at_the_margin_is_minus_one(client: InProcess) -> None:
    answer = client.answer("hinge_embedding_loss", input=[1.0], target=[-1])
    assert (answer["loss"], answer["gradients"]["input"]) == (0.0, [-1.0])


def test_the_margin_ranking_gradient_at_the_margin_is_the_slope(client: InProcess) -> None:
    answer = client.answer("margin_ranking_loss", input1=[2.0], input2=[1.0], target=[1], margin=1.0)
    assert answer["loss"] == 0.0
    assert answer["gradients"] == {"input1": [-1.0], "input2": [1.0]}


def test_the_cosine_gradient_at_a_zero_vector_is_huge_and_finite(client: InProcess) -> None:
    answer = client.answer("cosine_embedding_loss", input1=[[0.0, 0.0]], input2=[[1.0, 0.0]], target=[1])
    assert answer["loss"] == 1.0
    assert abs(answer["gradients"]["input1"][0][0]) == pytest.approx(1e6, rel=1e-3)


@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_the_gaussian_clamp_is_invisible_to_the_gradient(client: InProcess, eps: float) -> None:
    answer = client.answer(
        "gaussian_nll_loss",
        input=[1.0],
        target=[1.5],
        var=[1e-9],
        eps=eps,
        gradients=["input", "target", "var"],
        dtype="float64",
    )
    assert answer["loss"] == pytest.approx(0.5 * (np.log(eps) + 0.25 / eps), rel=1e-12)
    assert answer["gradients"]["input"] == pytest.approx([-0.5 / eps], rel=1e-12)
    assert answer["gradients"]["var"] == pytest.approx([0.5 * (1 / eps - 0.25 / eps**2)], rel=1e-12)


@pytest.mark.parametrize(("var", "ok"), [(0.5, True), ([[0.5], [0.5]], True), ([0.5, 0.5], True), ([[0.5]], False)])
def test_var_has_the_shapes_that_torch_takes(client: InProcess, var: Any, *, ok: bool) -> None:
    request = {"input": [[0.5, -1.0], [2.0, 0.1]], "target": [[0.0, -1.5], [4.0, 0.0]], "var": var}
    if ok:
        full = client.answer("gaussian_nll_loss", **request | {"var": [[0.5, 0.5], [0.5, 0.5]]})
        assert client.answer("gaussian_nll_loss", **request) == full
    else:
        assert list(client.faults("gaussian_nll_loss", **request)) == ["/var"]


def test_a_gaussian_target_may_have_dims_of_1(client: InProcess) -> None:
    request = {"input": [[0.5, -1.0], [2.0, 0.1]], "var": 1.0, "gradients": ["input", "target"], "dtype": "float64"}
    answer = client.answer("gaussian_nll_loss", **request, target=[[0.0], [1.0]])
    full = client.answer("gaussian_nll_loss", **request, target=[[0.0, 0.0], [1.0, 1.0]])
    assert answer["loss"] == full["loss"]
    summed = np.sum(full["gradients"]["target"], axis=1, keepdims=True)
    np.testing.assert_allclose(answer["gradients"]["target"], summed, rtol=1e-15)


def test_a_negative_var_is_refused(client: InProcess) -> None:
    request = {"input": [0.5, 1.0], "target": [0.0, 0.0], "var": [1.0, -0.5]}
    assert list(client.faults("gaussian_nll_loss", **request)) == ["/var/1"]


def test_full_poisson_has_a_nan_gradient_in_a_target_of_zero(client: InProcess) -> None:
    answer = client.answer(
        "poisson_nll_loss",
        input=[0.5, 0.5],
        target=[0.0, 3.0],
        full=True,
        gradients=["input", "target"],
        reduction="none",
        dtype="float64",
    )
    stirling = 3 * np.log(3) - 3 + 0.5 * np.log(2 * np.pi * 3)
    assert answer["loss"] == pytest.approx([np.exp(0.5), np.exp(0.5) - 1.5 + stirling], rel=1e-12)
    assert answer["gradients"]["input"] == pytest.approx([np.exp(0.5), np.exp(0.5) - 3], rel=1e-12)
    zero, three = answer["gradients"]["target"]
    assert zero == "NaN"
    assert three == pytest.approx(-0.5 + np.log(3) + 1 / 6, rel=1e-12)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "manhattan", "chebyshev", "cosine"])
def test_triplets_take_a_distance_by_name(client: InProcess, distance: str) -> None:
    points = np.array([[0.0, 3.0], [0.0, 1.0], [4.0, 3.0]])

    def measure(u: Any, v: Any) -> float:
        gap = np.abs(u - v)
        return {
            "euclidean": float(np.sqrt(((u - v + 1e-6) ** 2).sum())),
            "squared_euclidean": float((gap**2).sum()),
            "manhattan": float(gap.sum()),
            "chebyshev": float(gap.max()),
            "cosine": float(1 - u @ v / np.sqrt((u @ u) * (v @ v))),
        }[distance]

    anchor, positive, negative = points
    expected = max(0.0, measure(anchor, positive) - measure(anchor, negative) + 20.0)
    answer = client.answer(
        "triplet_margin_with_distance_loss",
        anchor=[anchor.tolist()],
        positive=[positive.tolist()],
        negative=[negative.tolist()],
        distance=distance,
        margin=20.0,
        dtype="float64",
    )
    assert answer["loss"] == pytest.approx(expected, rel=1e-12)


def test_an_unknown_distance_is_refused_with_the_known_ones(client: InProcess) -> None:
    triplet = {"anchor": [[0.0]], "positive": [[1.0]], "negative": [[2.0]]}
    faults = client.faults("triplet_margin_with_distance_loss", **triplet, distance="hamming")
    assert "manhattan" in faults["/distance"]


def test_the_adaptive_softmax_answers_each_targets_log_probability(client: InProcess) -> None:
    request = client.get("/v1/losses/adaptive_log_softmax_with_loss").json()["example"]
    answer = client.answer(**request)
    assert answer["loss"] == pytest.approx(-np.mean(answer["output"]), rel=1e-6)
    assert set(answer["gradients"]) == {"input", "head_weight", "tail.0.projection", "tail.0.output"}
