"""Class targets: indices of every integer type, or probabilities; masked logits; margins."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess

LOGITS = [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]]


def typed(values: Any, dtype: str) -> dict[str, Any]:
    """A tensor object with base64 data."""
    array = np.array(values, dtype)
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": dtype, "shape": list(array.shape), "data": data}


@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy", "multi_margin_loss"])
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_index_targets_of_every_integer_type_mean_the_same(client: InProcess, loss: str, dtype: str) -> None:
    plain = client.answer(loss, input=LOGITS, target=[0, 2])
    assert client.answer(loss, input=LOGITS, target=typed([0, 2], dtype)) == plain
    flat = {"dtype": dtype, "shape": [2], "data": [0, 2]}
    assert client.answer(loss, input=LOGITS, target=flat) == plain


def test_a_narrow_type_can_hold_the_ignore_index(client: InProcess) -> None:
    answer = client.answer("cross_entropy", input=LOGITS, target=typed([0, -100], "int8"))
    assert (answer["count"], answer["ignored"]) == (1, 1)


@pytest.mark.parametrize("target", [[1.0, 0.0], [1, 0.5], [0, "NaN"]])
@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy", "multi_margin_loss"])
def test_a_class_index_with_a_point_is_refused(client: InProcess, loss: str, target: list[Any]) -> None:
    faults = client.faults(loss, input=LOGITS, target=target)
    assert len(faults) == 1
    assert next(iter(faults)).startswith("/target")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bool"])
def test_class_indices_of_other_types_are_refused(client: InProcess, dtype: str) -> None:
    assert "/target" in client.faults("nll_loss", input=LOGITS, target=typed([0, 1], dtype))


@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy", "multi_margin_loss"])
@pytest.mark.parametrize("index", [3, -1, 2**62, -(2**63)])
def test_a_class_index_out_of_range_is_refused_with_its_place(client: InProcess, loss: str, index: int) -> None:
    faults = client.faults(loss, input=LOGITS, target=[0, index])
    assert faults == {"/target/1": f"class index {index} is outside [0, 3)"}


@pytest.mark.parametrize("index", [2**64 - 100, 2**64 - 1, 2**63])
@pytest.mark.parametrize("loss", ["nll_loss", "cross_entropy", "multi_margin_loss"])
def test_a_class_index_beyond_63_bits_wraps_around_to_nothing(client: InProcess, loss: str, index: int) -> None:
    faults = client.faults(loss, input=LOGITS, target=[0, index])
    assert next(iter(faults)).startswith("/target")
    # Where a boolean stands in the body, numbers are read by another way.
    faults = client.faults(loss, input=LOGITS, target=[0, index], size_average=True)
    assert next(iter(faults)).startswith("/target")


def test_a_class_index_out_of_range_has_its_indices_in_every_dim(client: InProcess) -> None:
    faults = client.faults("cross_entropy", input=[[[0.0, 1.0], [1.0, 0.0]]], target=[[1, 5]])
    assert list(faults) == ["/target/0/1"]


def test_whole_numbers_in_the_shape_of_input_are_probabilities(client: InProcess) -> None:
    hot = client.answer("cross_entropy", input=LOGITS, target=[[1, 0, 0], [0, 0, 1]], dtype="float64")
    index = client.answer("cross_entropy", input=LOGITS, target=[0, 2], dtype="float64")
    assert hot["loss"] == pytest.approx(index["loss"], rel=1e-15)
    assert hot["divisor"] == 2.0


def test_a_mean_with_probabilities_never_divides_by_weights(client: InProcess) -> None:
    request = {"input": LOGITS, "target": [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], "weight": [4.0, 1.0, 2.0]}
    mean = client.answer("cross_entropy", **request, dtype="float64")
    total = client.answer("cross_entropy", **request, dtype="float64", reduction="sum")
    assert mean["divisor"] == total["divisor"] == 2.0
    assert mean["loss"] == pytest.approx(total["loss"] / 2, rel=1e-15)


def test_masked_logits_are_fine_with_class_indices(client: InProcess) -> None:
    answer = client.answer("cross_entropy", input=[["-Infinity", 1.0, 2.0]], target=[1], dtype="float64")
    assert answer["loss"] == pytest.approx(np.log1p(np.e), rel=1e-12)
    assert answer["gradients"]["input"][0][0] == 0.0
    assert answer["warnings"] == []


def test_a_zero_probability_of_a_masked_class_gives_nan_and_says_so(client: InProcess) -> None:
    answer = client.answer("cross_entropy", input=[["-Infinity", 1.0, 2.0]], target=[[0.0, 0.5, 0.5]])
    assert answer["loss"] == "NaN"
    assert any("-Infinity" in warning for warning in answer["warnings"])


def test_ignore_index_beside_probabilities_is_refused(client: InProcess) -> None:
    faults = client.faults("cross_entropy", input=LOGITS, target=[[1, 0, 0], [0, 0, 1]], ignore_index=1)
    assert list(faults) == ["/ignore_index"]


def test_a_gradient_in_class_weights_needs_probabilities(client: InProcess) -> None:
    weighted = {"input": LOGITS, "weight": [1.0, 2.0, 0.5], "gradients": ["input", "weight"]}
    assert "/gradients/1" in client.faults("cross_entropy", **weighted, target=[0, 2])
    answer = client.answer("cross_entropy", **weighted, target=[[1, 0, 0], [0, 0, 1]])
    assert len(answer["gradients"]["weight"]) == 3


def test_the_multi_margin_gradient_at_the_margin_is_zero(client: InProcess) -> None:
    answer = client.answer("multi_margin_loss", input=[[0.0, 1.0]], target=[1])
    assert (answer["loss"], answer["gradients"]["input"]) == (0.0, [[0.0, 0.0]])


@pytest.mark.parametrize("p", [0, 3, 1.5])
def test_multi_margin_takes_the_powers_1_and_2_alone(client: InProcess, p: float) -> None:
    assert list(client.faults("multi_margin_loss", input=LOGITS, target=[0, 1], p=p)) == ["/p"]


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, "NaN"])
def test_label_smoothing_lies_between_0_and_1(client: InProcess, smoothing: Any) -> None:
    faults = client.faults("cross_entropy", input=LOGITS, target=[0, 1], label_smoothing=smoothing)
    assert list(faults) == ["/label_smoothing"]


def test_multilabel_labels_end_at_the_first_minus_one(client: InProcess) -> None:
    scores = [[0.1, 0.2, 0.4, 0.8]]
    ended = client.answer("multilabel_margin_loss", input=scores, target=[[3, 0, -1, 1]])
    assert ended["loss"] == pytest.approx(0.85, rel=1e-6)  # the example of torch.nn.MultiLabelMarginLoss
    assert client.answer("multilabel_margin_loss", input=scores, target=[[3, 0, -1, 99]]) == ended


@pytest.mark.parametrize("label", [4, -2, 2**64 - 1])
def test_a_label_out_of_range_is_refused(client: InProcess, label: int) -> None:
    faults = client.faults("multilabel_margin_loss", input=[[0.1, 0.2, 0.4, 0.8]], target=[[3, label, -1, 1]])
    assert next(iter(faults)).startswith("/target")
    faults = client.faults("multilabel_margin_loss", input=[[0.1, 0.2]], target=[[0, label]], size_average=True)
    assert next(iter(faults)).startswith("/target")


def test_signs_other_than_one_are_computed_with_a_warning(client: InProcess) -> None:
    answer = client.answer("soft_margin_loss", input=[1.0, 2.0], target=[1, 0])
    assert answer["loss"] == pytest.approx((np.log1p(np.exp(-1.0)) + np.log(2)) / 2, rel=1e-6)
    assert any(warning.startswith("target") for warning in answer["warnings"])
