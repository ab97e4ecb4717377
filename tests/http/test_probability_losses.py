"""kl_div and binary cross entropy where it hurts: at 0, at 1 and beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess


def test_the_kl_gradient_in_a_target_of_zero_is_nan_and_the_inputs_is_not(client: InProcess) -> None:
    answer = client.answer(
        "kl_div", input=[-0.5, -1.0], target=[0.0, 1.0], gradients=["input", "target"], reduction="sum", dtype="float64"
    )
    assert answer["loss"] == 1.0
    assert answer["gradients"]["input"] == [0.0, -1.0]
    assert answer["gradients"]["target"][0] == "NaN"
    assert answer["gradients"]["target"][1] == pytest.approx(2.0, rel=1e-12)  # log y + 1 - x


def test_batchmean_divides_by_the_first_dim(client: InProcess) -> None:
    request = {"input": [[-0.5, -0.9], [-0.1, -2.4]], "target": [[0.7, 0.3], [0.9, 0.1]], "dtype": "float64"}
    total = client.answer("kl_div", **request, reduction="sum")["loss"]
    for reduction, divisor in (("mean", 4.0), ("batchmean", 2.0)):
        answer = client.answer("kl_div", **request, reduction=reduction)
        assert answer["reduction"] == reduction
        assert answer["divisor"] == divisor
        assert answer["loss"] == pytest.approx(total / divisor, rel=1e-15)


def test_batchmean_is_kl_divs_alone(client: InProcess) -> None:
    assert list(client.faults("mse_loss", input=[1.0], target=[0.0], reduction="batchmean")) == ["/reduction"]


@pytest.mark.parametrize("value", [1.5, -0.25, "NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("member", ["input", "target"])
def test_binary_cross_entropy_refuses_what_is_no_probability(client: InProcess, member: str, value: Any) -> None:
    request = {"input": [0.5, 0.5], "target": [1.0, 0.0]} | {member: [0.25, value]}
    faults = client.faults("binary_cross_entropy", **request)
    assert list(faults) == [f"/{member}/1"]
    assert "[0, 1]" in faults[f"/{member}/1"]


@pytest.mark.parametrize(("p", "target", "slope"), [(0.0, 1.0, -1e12), (1.0, 0.0, 1e12)])
def test_the_binary_cross_entropy_gradient_at_its_ends_reaches_1e12(
    client: InProcess, p: float, target: float, slope: float
) -> None:
    answer = client.answer("binary_cross_entropy", input=[p], target=[target], dtype="float64")
    assert answer["loss"] == 100.0
    # torch's own least denominator is 1e-12 as a float: 0.999999996e-12.
    assert answer["gradients"]["input"] == pytest.approx([slope], rel=1e-8)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_binary_cross_entropy_is_zero_where_it_is_certain_and_right(client: InProcess, p: float) -> None:
    answer = client.answer("binary_cross_entropy", input=[p], target=[p])
    assert (answer["loss"], answer["gradients"]["input"]) == (0.0, [0.0])


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary_weights_broadcast_and_the_mean_divides_by_the_number_of_elements(client: InProcess, loss: str) -> None:
    request = {"input": [[0.3, 0.8], [0.6, 0.1]], "target": [[0.0, 1.0], [1.0, 0.0]], "dtype": "float64"}
    plain = np.array(client.answer(loss, **request, reduction="none")["loss"])
    answer = client.answer(loss, **request, weight=[2.0, 10.0])
    assert answer["divisor"] == 4.0
    assert answer["loss"] == pytest.approx((plain * [2.0, 10.0]).sum() / 4, rel=1e-14)


@pytest.mark.parametrize("weight", [[[1.0], [1.0], [1.0]], [1.0, 1.0, 1.0], [[[1.0, 1.0]]]])
def test_binary_weights_never_enlarge_the_input(client: InProcess, weight: Any) -> None:
    request = {"input": [[0.3, 0.8]], "target": [[0.0, 1.0]], "weight": weight}
    assert list(client.faults("binary_cross_entropy_with_logits", **request)) == ["/weight"]


@pytest.mark.parametrize("weight", ["weight", "pos_weight"])
def test_there_is_no_gradient_in_binary_weights(client: InProcess, weight: str) -> None:
    request = {"input": [0.3], "target": [1.0], weight: [2.0], "gradients": [weight]}
    assert list(client.faults("binary_cross_entropy_with_logits", **request)) == ["/gradients/0"]


def test_pos_weight_weighs_the_positive_part(client: InProcess) -> None:
    request = {"input": [0.0, 0.0], "target": [1.0, 0.0], "pos_weight": 3.0, "reduction": "none", "dtype": "float64"}
    answer = client.answer("binary_cross_entropy_with_logits", **request)
    assert answer["loss"] == pytest.approx([3 * np.log(2), np.log(2)], rel=1e-15)
    assert answer["gradients"]["input"] == [-1.5, 0.5]


@pytest.mark.parametrize(("logit", "loss"), [(1000.0, 1000.0), (-1000.0, 0.0), ("NaN", "NaN")])
def test_extreme_logits_are_computed(client: InProcess, logit: Any, loss: Any) -> None:
    assert client.answer("binary_cross_entropy_with_logits", input=[logit], target=[0.0])["loss"] == loss
