"""422: well-formed but invalid, with a JSON pointer for every fault."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.losses import LOSSES
from tests.asgi import InProcess

SOUND: dict[str, Any] = {"input": [1.0, 2.0], "target": [0.0, 0.0]}


@pytest.mark.parametrize("loss", ["nope", "", "Cross_Entropy", "x" * 10_000])
def test_an_unknown_loss_is_told_with_the_known_ones(client: InProcess, loss: str) -> None:
    problem = client.refusal(422, loss, **SOUND)
    (error,) = problem["errors"]
    assert error["pointer"] == "/loss"
    assert all(name in error["detail"] for name in LOSSES)
    assert len(problem["detail"]) < 2000


def test_a_loss_must_be_named(client: InProcess) -> None:
    assert "required" in client.faults(**SOUND)["/loss"]


@pytest.mark.parametrize("loss", [None, 5, 1.5, True, ["mse_loss"], {"name": "mse_loss"}])
def test_a_loss_is_named_by_a_string(client: InProcess, loss: Any) -> None:
    assert list(client.faults(**SOUND, loss=loss)) == ["/loss"]


@pytest.mark.parametrize(
    ("member", "near"), [("reductoin", "reduction"), ("inputs", "input"), ("Target", "target"), ("weights", "weight")]
)
def test_an_unknown_member_is_told_with_the_nearest_known(client: InProcess, member: str, near: str) -> None:
    assert f"did you mean {near}?" in client.faults("mse_loss", **SOUND, **{member: [1.0, 1.0]})[f"/{member}"]


def test_an_unknown_member_like_no_other_is_told(client: InProcess) -> None:
    assert client.faults("mse_loss", **SOUND, zzz=1) == {"/zzz": "unknown member"}


def test_the_pointer_of_an_odd_name_is_escaped(client: InProcess) -> None:
    faults = client.faults("mse_loss", **SOUND, **{"a/b~c": 1, "": 2})
    assert set(faults) == {"/a~1b~0c", "/"}


def test_all_faults_are_listed_at_once(client: InProcess) -> None:
    faults = client.faults(
        "cross_entropy",
        input=[[1.0, 2.0], [1.0, "x"]],
        target=[0, 5],
        weight=None,
        reduction="average",
        label_smoothing=2,
        gradients=["input", "nothing"],
        dtype="int8",
        encoding="hex",
        extra=1,
    )
    assert set(faults) >= {
        "/input/1/1",
        "/weight",
        "/reduction",
        "/label_smoothing",
        "/gradients/1",
        "/dtype",
        "/encoding",
        "/extra",
    }


def test_faults_of_values_and_of_options_are_listed_together(client: InProcess) -> None:
    faults = client.faults(
        "binary_cross_entropy",
        input=[0.5, 1.5],
        target=[0.0, -1.0],
        weight=[1.0, 1.0, 1.0],
        gradients=["weight", "input", "input"],
        reduction="average",
    )
    assert set(faults) == {"/input/1", "/target/1", "/weight", "/gradients/0", "/gradients/2", "/reduction"}


@pytest.mark.parametrize("name", ["inptu", "pos_weight"])
def test_cotangents_beside_a_gradient_in_no_tensor_of_the_request(client: InProcess, name: str) -> None:
    members = {"input": [0.5], "target": [1.0], "reduction": "sum", "cotangents": [1.0, 2.0]}
    faults = client.faults("binary_cross_entropy_with_logits", **members, gradients=["input", name])
    assert list(faults) == ["/gradients/1"]


@pytest.mark.parametrize("member", ["input", "target", "weight"])
def test_null_is_no_tensor(client: InProcess, member: str) -> None:
    assert client.faults("mse_loss", **SOUND | {member: None}) == {f"/{member}": "null is no tensor"}


@pytest.mark.parametrize(
    "member",
    [
        "reduction",
        "gradients",
        "dtype",
        "on_empty",
        "encoding",
        "size_average",
        "reduce",
        "delta",
        "cotangent",
        "cotangents",
    ],
)
def test_null_is_no_option(client: InProcess, member: str) -> None:
    assert list(client.faults("huber_loss", **SOUND, **{member: None})) == [f"/{member}"]


@pytest.mark.parametrize(
    ("tensor", "where"),
    [
        ([[1.0, 2.0], [3.0]], "/input/1"),
        ([[1.0, 2.0], 3.0], "/input/1"),
        ([1.0, [2.0]], "/input/1"),
        ([[[1.0], [2.0]], [[3.0], [4.0, 5.0]]], "/input/1/1"),
        ([1.0, "one"], "/input/1"),
        ([1.0, "nan"], "/input/1"),
        ([1.0, None], "/input/1"),
        ([1.0, True], "/input/1"),
        ([[1.0], [{}]], "/input/1/0"),
        (True, "/input"),
        ("NotANumber", "/input"),
        ({}, "/input/dtype"),
        ({"dtype": "float32", "shape": [1]}, "/input/data"),
        ({"dtype": "float32", "shape": [1], "data": [1], "order": "C"}, "/input/order"),
        ({"dtype": "float32", "shape": 1, "data": [1]}, "/input/shape"),
        ({"dtype": "float32", "shape": [-1], "data": [1]}, "/input/shape/0"),
        ({"dtype": "float32", "shape": [1.0], "data": [1]}, "/input/shape/0"),
        ({"dtype": "float32", "shape": [True], "data": [1]}, "/input/shape/0"),
        ({"dtype": "float32", "shape": [1] * 9, "data": [1]}, "/input/shape"),
        ({"dtype": "float32", "shape": [2], "data": [1]}, "/input/data"),
        ({"dtype": "float32", "shape": [2], "data": [1, [2]]}, "/input/data/1"),
        ({"dtype": "float32", "shape": [1], "data": "AAAA"}, "/input/data"),
        ({"dtype": "float32", "shape": [1], "data": "AACAPw"}, "/input/data"),
        ({"dtype": "float32", "shape": [1], "data": "AACA\nPw=="}, "/input/data"),
        ({"dtype": "float32", "shape": [1], "data": "\u00e9\u00e9\u00e9\u00e9"}, "/input/data"),
        ({"dtype": "float32", "shape": [1], "data": 5}, "/input/data"),
        ({"dtype": "int8", "shape": [2], "data": [1, 128]}, "/input/data/1"),
        ({"dtype": "uint8", "shape": [2], "data": [1, -1]}, "/input/data/1"),
        ({"dtype": "int64", "shape": [2], "data": [1, 1.5]}, "/input/data/1"),
        ({"dtype": "bool", "shape": [2], "data": [0, 2]}, "/input/data/1"),
    ],
)
def test_what_is_no_tensor_is_told_with_its_first_bad_place(client: InProcess, tensor: Any, where: str) -> None:
    assert where in client.faults("mse_loss", input=tensor, target=[0.0, 0.0])


@pytest.mark.parametrize("name", ["nothing", "loss", "reduction", "", "tail.0.projection"])
def test_a_gradient_in_what_is_no_tensor_is_refused(client: InProcess, name: str) -> None:
    assert list(client.faults("mse_loss", **SOUND, gradients=[name])) == ["/gradients/0"]


def test_a_gradient_in_an_absent_or_integer_tensor_is_refused(client: InProcess) -> None:
    assert list(client.faults("mse_loss", **SOUND, gradients=["weight"])) == ["/gradients/0"]
    request = {"input": [[1.0, 2.0]], "target": [0]}
    assert list(client.faults("nll_loss", **request, gradients=["input", "target"])) == ["/gradients/1"]


@pytest.mark.parametrize(
    ("reduction", "cotangent"),
    [("mean", [1.0]), ("sum", [1.0, 1.0]), ("none", 1.0), ("none", [1.0]), ("none", [[1.0, 1.0]])],
)
def test_a_cotangent_has_exactly_the_losss_shape(client: InProcess, reduction: str, cotangent: Any) -> None:
    assert list(client.faults("mse_loss", **SOUND, reduction=reduction, cotangent=cotangent)) == ["/cotangent"]


def test_at_most_256_faults_are_listed_and_all_are_counted(client: InProcess) -> None:
    problem = client.refusal(422, "mse_loss", **SOUND, **{f"extra{at}": 1 for at in range(300)})
    assert len(problem["errors"]) == 256
    assert "299 more" in problem["detail"]
    assert "256" in problem["detail"]


def test_a_problem_holds_no_more_of_the_request_than_it_needs(client: InProcess) -> None:
    problem = client.refusal(422, "mse_loss", input=["y" * 100_000], target=[0.0])
    assert len(str(problem)) < 1000


@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_request_lists_what_is_required(client: InProcess, loss: str) -> None:
    required = {f"/{name}" for name, field in LOSSES[loss].model_fields.items() if field.is_required()}
    assert client.faults(loss) == dict.fromkeys(required, "required, but missing")
