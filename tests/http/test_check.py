"""Checks of other implementations over HTTP; what each tells is in tests/compute/test_checking.py and test_hints.py."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from schemas.operations.checking import Check
from service.engine import BatchingEngine
from service.settings import Settings
from tests.asgi import InProcess, pointers, problem_of
from tests.binary import MEDIA_TYPE, pack, unpack

PATH = "/v1/check"
REQUEST: dict[str, Any] = {"loss": "cross_entropy", "input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2]}
RIGHT = 0.6216271


def test_a_right_answer_is_close(client: InProcess) -> None:
    alone = client.answer(**REQUEST)
    found = client.answer(None, PATH, request=REQUEST, loss=RIGHT, gradients=alone["gradients"])
    assert found["verdict"] in ("equal", "close")
    assert (found["loss"], found["gradients"]) == (alone["loss"], alone["gradients"])
    assert [one["tensor"] for one in found["compared"]] == ["loss", "gradients.input"]
    assert found["hints"] == []
    assert "finite_differences" not in found


def test_a_wrong_one_gets_a_hint(client: InProcess) -> None:
    found = client.answer(None, PATH, request=REQUEST, loss=2 * RIGHT)
    assert found["verdict"] == "wrong"
    assert found["hints"][0]["code"] == "sum_instead_of_mean"
    assert found["hints"][0]["explains"] == ["loss"]


def test_a_tensor_without_a_default_gradient_may_be_checked_too(client: InProcess) -> None:
    request = {"loss": "mse_loss", "input": [1.0], "target": [0.0]}
    found = client.answer(None, PATH, request=request, gradients={"target": [-2.0]})
    assert found["verdict"] == "equal"
    assert found["gradients"] == {"input": [2.0], "target": [-2.0]}


def test_tensors_of_safetensors_are_named_by_their_place(client: InProcess) -> None:
    x = np.array([1.0, 2.0], np.float32)
    tensors = {"request.input": x, "request.target": x * 0, "loss": np.array(2.5, np.float32), "gradients.input": x}
    body = pack(tensors, request={"loss": "mse_loss"})
    response = client.post(body, PATH, content_type=MEDIA_TYPE)
    assert response.status_code == 200, response.text
    found, metadata = unpack(response.content)
    assert found["gradients.input"].tolist() == [1.0, 2.0]
    assert '"verdict":"equal"' in metadata["result"]


def test_differences_take_turns_and_the_answer_tells_their_time() -> None:
    """Others have their turns in between: no turn looks at all coordinates."""
    turns: list[str] = []

    class Counting(BatchingEngine):
        def submit_operation(self, operation: Any, *, deadline: float | None = None) -> asyncio.Future[Any]:
            turns.append(type(operation).__name__)
            return super().submit_operation(operation, deadline=deadline)

    x = np.linspace(-1, 1, 300).tolist()
    request = {"loss": "huber_loss", "input": x, "target": [0.05] * 300}
    with InProcess(engine=Counting("cpu")) as client:
        found = client.answer(None, PATH, request=request, finite_differences=True)
    assert turns[0] == "Check"
    assert len(turns) > 4
    assert set(turns[1:]) == {"Rest"}
    told = found["finite_differences"]
    assert (told["coordinates"], told["of"], told["step"]) == (300, 300, None)
    assert told["tensors"][0]["reference"]["value"] < 1e-8
    assert found["verdict"] is None, "nothing was given that could be wrong"


@pytest.mark.parametrize(
    ("members", "where", "what"),
    [
        ({}, "/request", "required"),
        ({"request": REQUEST}, "", "there is nothing to check"),
        ({"request": REQUEST, "loss": [1.0]}, "/loss", "shape [1] is not the reference's, which is []"),
        ({"request": REQUEST, "loss": True}, "/loss", "true is no"),
        ({"request": REQUEST, "gradients": {"input": [1.0]}}, "/gradients/input", "shape [1]"),
        ({"request": REQUEST, "gradients": {"target": [1.0, 2.0]}}, "/gradients/target", "holds integers"),
        ({"request": REQUEST, "gradients": {"weight": [1.0]}}, "/gradients/weight", "no such tensor here"),
        ({"request": REQUEST, "loss": 1.0, "rtol": -1.0}, "/rtol", "greater than or equal to 0"),
        ({"request": REQUEST, "loss": 1.0, "step": 0.1}, "/step", "goes with finite_differences"),
        ({"request": REQUEST, "finite_differences": True, "step": 0.0}, "/step", "greater than 0"),
        ({"request": {**REQUEST, "cotangents": [1.0]}, "loss": 1.0}, "/request/cotangents", "one"),
        ({"request": REQUEST, "loss": 1.0, "dtype": "float64"}, "/dtype", "is of type float32"),
        ({"request": {"loss": "cross_entropy"}, "loss": 1.0}, "/request/input", "required"),
    ],
)
def test_what_cannot_be_checked_is_refused_with_its_place(
    client: InProcess, members: dict[str, Any], where: str, what: str
) -> None:
    found = client.faults(None, PATH, **members)
    assert where in found
    assert what in found[where]


def test_dims_in_another_order_are_a_hint_or_a_refusal(client: InProcess) -> None:
    gradient = np.array(client.answer(**REQUEST)["gradients"]["input"])
    found = client.answer(None, PATH, request=REQUEST, gradients={"input": gradient.T.tolist()})
    assert found["verdict"] == "wrong"
    assert found["hints"][0]["code"] == "transposed"
    body = {"request": REQUEST, "gradients": {"input": (gradient.T + 1).tolist()}}
    assert list(client.faults(None, PATH, **body)) == ["/gradients/input"]


def test_the_limit_on_elements_holds() -> None:
    x = [0.5] * 20
    request = {"loss": "mse_loss", "input": x, "target": x}
    with InProcess(Settings(max_elements=100)) as small:
        problem = small.refusal(413, None, PATH, request=request, loss=0.0)
        assert "the check needs 241 elements" in problem["detail"]


def test_the_example_gets_its_hint(client: InProcess) -> None:
    found = client.answer(None, PATH, **Check.example)
    assert [hint["code"] for hint in found["hints"]] == ["gradients_not_divided", "sum_instead_of_mean"]


def test_a_tensor_given_twice_is_refused(client: InProcess) -> None:
    body = pack({"gradients.input": np.ones(1, np.float32)}, request=REQUEST, gradients={"input": [1.0]})
    assert "/gradients/input" in pointers(problem_of(client.post(body, PATH, content_type=MEDIA_TYPE), 422))
