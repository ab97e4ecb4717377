"""Requests: types, gradients, cotangents, class indices; and every fault at once, each with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.cotangents import MAX_COTANGENTS
from schemas.dtype import FLOATING, widest
from schemas.losses import LOSSES
from schemas.problem import InvalidRequest
from schemas.request import LossRequest
from tests.schemas.refusing import faults

MSE = {"input": [1.0, 2.0], "target": [0.0, 0.0]}
CE = {"input": [[1.0, 2.0, 3.0]] * 4, "target": [0, 1, 2, 0]}


def accepted(name: str, **members: Any) -> LossRequest:
    return LOSSES[name].model_validate(members)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (set(), "float32"),
        ({"float64", "float16"}, "float64"),
        ({"float32", "bfloat16"}, "float32"),
        ({"float16"}, "float16"),
        ({"bfloat16"}, "bfloat16"),
        ({"float16", "bfloat16"}, "float32"),
        ({"float16", "bfloat16", "float64"}, "float64"),
    ],
)
def test_the_widest_type_holds_all(names: set[str], expected: str) -> None:
    assert widest(names) == expected


def test_the_type_is_the_widest_of_typed_floating_tensors() -> None:
    half, double = np.ones(2, np.float16), np.ones(2)
    assert accepted("mse_loss", **MSE).checked.dtype == "float32"
    assert accepted("mse_loss", input=half, target=[0.0, 0.0]).checked.dtype == "float16"
    assert accepted("mse_loss", input=half, target=double).checked.dtype == "float64"
    assert accepted("mse_loss", input=half, target=np.ones(2, np.int64)).checked.dtype == "float16"
    assert accepted("mse_loss", input=half, target=half, cotangent=np.array(1.0)).checked.dtype == "float64"
    assert accepted("mse_loss", input=double, target=double, dtype="bfloat16").checked.dtype == "bfloat16"


@pytest.mark.parametrize("dtype", FLOATING)
def test_integers_are_taken_for_floating_members(dtype: str) -> None:
    found = accepted("mse_loss", input=[1, 2], target=np.array([True, False]), dtype=dtype).checked.tensors
    assert {array.dtype for array in found.values()} == {FLOATING[dtype]}
    assert found["target"].astype(float).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
def test_class_indices_of_any_integer_type_become_int64(dtype: str) -> None:
    found = accepted("cross_entropy", input=CE["input"], target=np.array([0, 1, 2, 0]).astype(dtype))
    assert found.checked.tensors["target"].dtype == np.int64


def test_whole_numbers_in_the_shape_of_input_are_probabilities() -> None:
    found = accepted("cross_entropy", input=[[1.0, 2.0]], target=[[0, 1]]).checked
    assert found.layout.probabilities
    assert found.tensors["target"].dtype == np.float32


@pytest.mark.parametrize(("target", "where"), [([0, 1.0, 2, 0], "/target/1"), ([0.0, 1.0, 2.0, 0.0], "/target/0")])
def test_a_class_index_with_a_point_is_refused_at_its_place(target: list[float], where: str) -> None:
    assert list(faults("cross_entropy", input=CE["input"], target=target)) == [where]


def test_a_fractional_class_index_is_told_with_its_place() -> None:
    assert faults("cross_entropy", input=CE["input"], target=[0, 1.5, 2, 0]) == {
        "/target/1": "1.5 is no whole number of 64 bits, written without a point"
    }


def test_the_first_bad_class_index_is_named_and_the_others_counted() -> None:
    found = faults("cross_entropy", input=CE["input"], target=[0, 3, -1, 2])
    assert found == {"/target/1": "class index 3 is outside [0, 3) (2 of 4 are outside; this is the first)"}


def test_an_index_beyond_64_bits_does_not_wrap_around_to_the_ignored_one() -> None:
    assert list(faults("cross_entropy", input=CE["input"], target=[0, 1, 2, 2**64 - 100])) == ["/target/3"]


def test_ignored_indices_may_lie_anywhere() -> None:
    found = accepted("cross_entropy", input=CE["input"], target=[0, 7, 7, 2], ignore_index=7).checked
    assert (found.count, found.ignored, found.divisor) == (2, 2, 2)
    assert list(faults("cross_entropy", input=CE["input"], target=[0, 7, 7, 8], ignore_index=7)) == ["/target/3"]
    assert list(faults("cross_entropy", input=CE["input"], target=[0, -100, 1, 1], ignore_index=7)) == ["/target/1"]


def test_ignore_index_goes_with_class_indices() -> None:
    members = {"input": [[1.0, 2.0]], "target": [[0.5, 0.5]]}
    assert list(faults("cross_entropy", **members, ignore_index=0)) == ["/ignore_index"]
    assert accepted("cross_entropy", **members, ignore_index=-100).checked.layout.probabilities


@pytest.mark.parametrize(
    ("gradients", "where", "says"),
    [
        (["inputs"], "/gradients/0", "has no tensor 'inputs'"),
        (["input", "input"], "/gradients/1", "named twice"),
        (["weight"], "/gradients/0", "is not in the request"),
        (["input", "target"], "/gradients/1", "holds integers|class indices"),
    ],
)
def test_gradients_that_cannot_be_are_refused(gradients: list[str], where: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        accepted("cross_entropy", **CE, gradients=gradients)
    assert [fault.pointer for fault in caught.value.faults] == [where]


def test_class_weights_have_a_gradient_with_probabilities_only() -> None:
    weight = [1.0, 1.0, 1.0]
    assert list(faults("cross_entropy", **CE, weight=weight, gradients=["weight"])) == ["/gradients/0"]
    shares = {**CE, "target": CE["input"], "weight": weight}
    assert accepted("cross_entropy", **shares, gradients=["weight"]).checked.gradients == ("weight",)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("binary_cross_entropy", "weight"), ("multi_margin_loss", "weight"), ("soft_margin_loss", "target")],
)
def test_tensors_without_a_gradient_in_torch_are_refused(name: str, tensor: str) -> None:
    inputs = [[0.5, 0.5]] if name == "multi_margin_loss" else [0.5, 0.5]
    target = [1] if name == "multi_margin_loss" else [1.0, 1.0]
    weight = {"weight": [1.0, 1.0]} if tensor == "weight" else {}
    assert list(faults(name, input=inputs, target=target, **weight, gradients=[tensor])) == ["/gradients/0"]


@pytest.mark.parametrize(("reduction", "good", "bad"), [("mean", 1.0, [1.0]), ("none", [1.0, 1.0], 1.0)])
def test_a_cotangent_has_exactly_the_losss_shape(reduction: str, good: Any, bad: Any) -> None:
    assert accepted("mse_loss", **MSE, reduction=reduction, cotangent=good).checked.cotangent is not None
    assert list(faults("mse_loss", **MSE, reduction=reduction, cotangent=bad)) == ["/cotangent"]


@pytest.mark.parametrize(
    ("reduction", "good", "bad"),
    [
        ("mean", [1.0, 2.0, 3.0], [[1.0], [2.0]]),
        ("mean", [], 1.0),
        ("none", [[1.0, 1.0]], [1.0, 1.0]),
        ("none", [], [[1.0, 1.0, 1.0]]),
        ("sum", [1.0] * MAX_COTANGENTS, [1.0] * (MAX_COTANGENTS + 1)),
    ],
)
def test_cotangents_are_so_many_times_the_losss_shape(reduction: str, good: Any, bad: Any) -> None:
    found = accepted("mse_loss", **MSE, reduction=reduction, cotangents=good).checked.cotangents
    assert found is not None
    assert len(found) == len(good)
    assert list(faults("mse_loss", **MSE, reduction=reduction, cotangents=bad)) == ["/cotangents"]


@pytest.mark.parametrize("cotangents", [None, "x", [1.0, [2.0]]])
def test_cotangents_are_a_tensor(cotangents: Any) -> None:
    pointers = faults("mse_loss", **MSE, cotangents=cotangents)
    assert [pointer.split("/")[1] for pointer in pointers] == ["cotangents"]


def test_cotangents_go_without_a_cotangent() -> None:
    assert list(faults("mse_loss", **MSE, cotangent=1.0, cotangents=[1.0])) == ["/cotangents"]


def test_all_faults_are_told_at_once() -> None:
    found = faults(
        "cross_entropy",
        input=[[1.0, 2.0], [3.0]],
        target=[0, "x"],
        weights=[1.0],
        reduction="avg",
        label_smoothing=2,
        gradients=["inptu"],
        cotangent=None,
    )
    assert set(found) >= {"/input/1", "/target/1", "/weights", "/reduction", "/label_smoothing", "/cotangent"}
    assert found["/weights"] == "unknown member; did you mean weight?"


def test_missing_members_and_wrong_shapes_are_told_together() -> None:
    found = faults("cosine_embedding_loss", input1=[[1.0, 2.0]], input2=[[1.0, 2.0, 3.0]])
    assert found["/target"] == "required, but missing"
    assert found["/input2"] == "shape [1, 3] does not fit [N, D], which is [1, 2] by input1"


@pytest.mark.parametrize("member", ["weight", "dtype", "gradients", "cotangent", "size_average", "ignore_index"])
def test_null_is_no_option(member: str) -> None:
    assert list(faults("cross_entropy", **CE, **{member: None})) == [f"/{member}"]


def test_shapes_never_broadcast_where_torch_only_warns() -> None:
    assert list(faults("mse_loss", input=[[1.0, 2.0]], target=[1.0, 2.0])) == ["/target"]
    assert list(faults("binary_cross_entropy_with_logits", input=[0.5], target=[1.0], weight=[1.0, 1.0])) == ["/weight"]


def test_model_construct_makes_no_request() -> None:
    with pytest.raises(AttributeError, match="made by validation"):
        _ = LOSSES["mse_loss"].model_construct().checked
