"""Hessian-vector products over HTTP: JSON and safetensors, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.operations.second_order import Hvp
from service.settings import Settings
from tests.asgi import InProcess, pointers, problem_of
from tests.binary import MEDIA_TYPE, pack, unpack

PATH = "/v1/hvp"
SQUARES: dict[str, Any] = {"loss": "mse_loss", "input": [1.0, 2.0], "target": [0.0, 0.0], "reduction": "sum"}


def test_the_answer_has_the_loss_its_gradients_and_the_product(client: InProcess) -> None:
    found = client.answer(None, PATH, request=SQUARES, vectors={"input": [1.0, -3.0]})
    alone = client.answer(**SQUARES)
    assert (found["loss"], found["gradients"]) == (alone["loss"], alone["gradients"])
    assert found["hvp"] == {"input": [2.0, -6.0]}
    assert (found["dtype"], found["warnings"]) == ("float32", [])


def test_tensors_that_are_named_together_count_together(client: InProcess) -> None:
    vectors = {"input": [1.0, 0.0], "target": [0.0, 1.0]}
    found = client.answer(None, PATH, request=SQUARES, vectors=vectors)["hvp"]
    assert found == {"input": [2.0, -2.0], "target": [-2.0, 2.0]}


def test_the_cotangent_weighs_the_loss(client: InProcess) -> None:
    request = {**SQUARES, "reduction": "none", "cotangent": [1.0, 10.0]}
    assert client.answer(None, PATH, request=request, vectors={"input": [1.0, 1.0]})["hvp"] == {"input": [2.0, 20.0]}


def test_tensors_of_safetensors_are_named_by_their_place(client: InProcess) -> None:
    x, v = np.array([[2.0, 0.5, -1.0]], np.float64), np.array([[1.0, 0.0, 2.0]])
    tensors = {"request.input": x, "request.target": np.array([1]), "vectors.input": v}
    response = client.post(pack(tensors, request={"loss": "cross_entropy"}), PATH, content_type=MEDIA_TYPE)
    assert response.status_code == 200, response.text
    found, _ = unpack(response.content)
    p = np.exp(x[0]) / np.exp(x[0]).sum()
    expected = (np.diag(p) - np.outer(p, p)) @ v[0]
    np.testing.assert_allclose(found["hvp.input"][0], expected, rtol=1e-12)
    assert set(found) == {"loss", "gradients.input", "hvp.input"}


def test_the_example_is_answered(client: InProcess) -> None:
    assert client.answer(None, PATH, **Hvp.example)["hvp"]["input"]


ONCE: dict[str, Any] = {"loss": "multi_margin_loss", "input": [[0.1, 0.2]], "target": [1]}
CHUNKED: dict[str, Any] = {
    "loss": "linear_cross_entropy",
    "input": [[0.1, 0.2]],
    "linear_weight": [[1.0, 0.0], [0.0, 1.0]],
    "target": [1],
    "chunk_size": 1,
}


@pytest.mark.parametrize(
    ("members", "where", "what"),
    [
        ({"request": ONCE, "vectors": {"input": [[1.0, 1.0]]}}, "/request/loss", "does not differentiate the gradient"),
        ({"request": CHUNKED, "vectors": {"input": [[1.0, 1.0]]}}, "/request/loss", "chunk_size"),
        ({"vectors": {"input": [1.0, 1.0]}}, "/request", "required"),
        ({"request": [], "vectors": {"input": [1.0]}}, "/request", "an object is needed"),
        ({"request": {}, "vectors": {"input": [1.0]}}, "/request/loss", "required"),
        ({"request": {"loss": 3}, "vectors": {"input": [1.0]}}, "/request/loss", "a text is needed"),
        ({"request": {"loss": "mse"}, "vectors": {"input": [1.0]}}, "/request/loss", "there is no loss 'mse'"),
        ({"request": {**SQUARES, "input": [1.0, "x"]}, "vectors": {"input": [1.0]}}, "/request/input/1", "no number"),
        ({"request": {**SQUARES, "cotangents": [1.0]}, "vectors": {"input": [1.0, 1.0]}}, "/request/cotangents", "one"),
        ({"request": SQUARES, "vectors": {}}, "/vectors", "at least 1"),
        ({"request": SQUARES}, "/vectors", "required"),
        ({"request": SQUARES, "vectors": {"input": [1.0]}}, "/vectors/input", "shape [1] is not the tensor's shape"),
        ({"request": SQUARES, "vectors": {"weight": [1.0]}}, "/vectors/weight", "no such tensor here"),
        ({"request": SQUARES, "vectors": {"input": [1.0, [2.0]]}}, "/vectors/input/1", "no number"),
        ({"request": SQUARES, "vectors": {"input": [1.0, 1.0]}, "dtype": "float64"}, "/dtype", "is of type float32"),
    ],
)
def test_what_has_no_product_is_refused_with_its_place(
    client: InProcess, members: dict[str, Any], where: str, what: str
) -> None:
    found = client.faults(None, PATH, **members)
    assert list(found) == [where]
    assert what in found[where]


def test_integers_have_no_second_derivatives(client: InProcess) -> None:
    request = {"loss": "cross_entropy", "input": [[0.1, 0.2]], "target": [1]}
    assert list(client.faults(None, PATH, request=request, vectors={"target": [1.0]})) == ["/vectors/target"]


def test_the_limit_on_elements_counts_the_graph() -> None:
    x = [0.5] * 20
    request = {"loss": "mse_loss", "input": x, "target": x}
    with InProcess(Settings(max_elements=100)) as small:
        assert small.answer(**request)
        problem = small.refusal(413, None, PATH, request=request, vectors={"input": x})
        assert "second derivatives need 200 elements" in problem["detail"]


def test_a_body_that_places_a_tensor_twice_is_refused(client: InProcess) -> None:
    v = np.ones(2, np.float32)
    body = pack({"vectors.input": v}, request=SQUARES, vectors={"input": [1.0, 1.0]})
    problem = problem_of(client.post(body, PATH, content_type=MEDIA_TYPE), 422)
    assert any(where.startswith("/vectors") for where in pointers(problem))
