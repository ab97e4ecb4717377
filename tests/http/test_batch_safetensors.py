"""`POST /v1/loss/batch` in safetensors, and in any mix of forms."""

from __future__ import annotations

import json
from typing import Any

import httpx
import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import DataObject

from schemas.losses import LOSSES
from tests.asgi import InProcess, pointers, problem_of
from tests.http.batch_calls import PATH, SAFETENSORS, Request, as_file, call, file, in_json, opened, results
from tests.losses.cases import alike, mix

DRAWN = settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
THREE = np.array([3.0], np.float32)
ONE = np.array([1.0], np.float32)


def send(client: InProcess, body: bytes, **headers: str) -> httpx.Response:
    return client.post(body, PATH, content_type=SAFETENSORS, **headers)


def answers(response: httpx.Response) -> tuple[dict[str, Any], list[Any]]:
    """Tensors and results of an answer."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == SAFETENSORS
    tensors, told = opened(response.content)
    return tensors, told["results"]


@pytest.mark.parametrize("name", LOSSES)
@DRAWN
@given(data=st.data())
def test_answers_are_to_the_bit_those_of_single_calls(client: InProcess, name: str, data: DataObject) -> None:
    requests = data.draw(mix(name, 6)) + data.draw(alike(name, 4)) * 2
    tensors, told = answers(send(client, as_file(requests)))
    expected: dict[str, Any] = {}
    for at, request in enumerate(requests):
        body = json.dumps(in_json(request)).encode()
        alone, facts = opened(client.post(body, accept=SAFETENSORS).content)
        expected.update({f"{at}.{tensor}": array for tensor, array in alone.items()})
        assert told[at] == facts
    assert tensors.keys() == expected.keys()
    for tensor, array in tensors.items():
        assert (array.dtype, array.shape, array.tobytes()) == (
            expected[tensor].dtype,
            expected[tensor].shape,
            expected[tensor].tobytes(),
        )


def test_a_mixed_call_in_any_mix_of_forms(client: InProcess) -> None:
    values = np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3)
    requests: list[Request] = [
        {"id": "x", "loss": "cross_entropy", "input": values, "target": np.array([1, 2], np.uint8)},
        {"loss": "mse_loss", "input": THREE, "target": ONE},
        {"id": 3, "loss": "mse_loss", "input": THREE, "target": THREE[:0]},
    ]
    expected = results(client, requests)
    assert send(client, as_file(requests), accept="application/json").json()["results"] == expected
    for response in (send(client, as_file(requests)), call(client, requests, accept=SAFETENSORS)):
        tensors, told = answers(response)
        assert sorted(tensors) == ["0.gradients.input", "0.loss", "1.gradients.input", "1.loss"]
        assert tensors["0.gradients.input"].dtype == values.dtype
        assert tensors["1.loss"] == 4.0
        assert [one.get("id") for one in told] == ["x", None, 3]
        assert told[2] == expected[2]
        assert told[2]["status"] == 422
        for one, whole in zip(told[:2], expected[:2], strict=True):
            assert one == {name: value for name, value in whole.items() if name not in ("loss", "gradients")}


def test_problems_stand_in_their_places(client: InProcess) -> None:
    requests = [{"loss": "mse_loss"}] * 5
    tensors = {f"{at}.{name}": THREE for at in range(5) for name in ("input", "target") if (at, name) != (3, "target")}
    found, told = answers(send(client, file({**tensors, "1.wieght": ONE, "2.a.b": ONE}, {"requests": requests})))
    assert [one.get("status") for one in told] == [None, 422, 422, 422, None]
    assert pointers(told[1]) == {"/wieght": "unknown member; did you mean weight?"}
    assert pointers(told[2]) == {"/a.b": "unknown member"}
    assert pointers(told[3]) == {"/target": "required, but missing"}
    assert told[3]["instance"] == f"{PATH}#/requests/3"
    assert {name.split(".")[0] for name in found} == {"0", "4"}


def test_a_tensor_given_twice_is_a_problem_in_its_place(client: InProcess) -> None:
    request = {"requests": [{"loss": "mse_loss", "input": [1.0]}, {"loss": "mse_loss", "input": [1.0], "target": 1}]}
    _, told = answers(send(client, file({"0.input": ONE, "0.target": ONE}, request)))
    assert pointers(told[0]) == {"/input": "given twice: as a tensor, and among the other members"}
    assert set(pointers(told[1])) == {"/target"}


def test_tensors_of_one_request_are_bounded(client: InProcess) -> None:
    many = {f"1.t{at}": ONE for at in range(65)}
    sound = {"0.input": THREE, "0.target": ONE}
    _, told = answers(send(client, file({**sound, **many}, {"requests": [{"loss": "mse_loss"}] * 2})))
    assert told[0]["count"] == 1
    assert "65 tensors; at most 64 are taken" in told[1]["detail"]


@pytest.mark.parametrize(
    "name", ["input", "2.input", "-1.input", "00.input", "1e0.input", "0", "²", "99999.input", "0input"]
)
def test_a_tensor_that_belongs_to_no_request_is_refused(client: InProcess, name: str) -> None:
    request = {"requests": [{"loss": "mse_loss"}] * 2}
    problem = problem_of(send(client, file({"0.input": ONE, name: ONE}, request)), 422)
    assert set(pointers(problem)) == {f"/{name}"}


@pytest.mark.parametrize("request_text", [{}, {"requests": {}}, {"requests": [], "more": 1}])
def test_a_file_without_a_list_of_requests_is_refused(client: InProcess, request_text: Any) -> None:
    problem_of(send(client, file({}, request_text)), 422)


def test_a_file_that_is_not_sound_is_refused(client: InProcess) -> None:
    problem_of(send(client, b"no file"), 400)


def test_an_empty_list_has_empty_results(client: InProcess) -> None:
    assert answers(send(client, file({}, {"requests": []}))) == ({}, [])


def test_large_and_small_tensors_keep_their_order(client: InProcess) -> None:
    rng = np.random.default_rng(5)
    requests: list[Request] = [
        {"loss": "mse_loss", "input": rng.standard_normal(size), "target": rng.standard_normal(size)}
        for size in (3, 5000, 2, 7000, 1)
    ]
    tensors, _ = answers(send(client, as_file(requests)))
    for at, request in enumerate(requests):
        gradient = 2 * (request["input"] - request["target"]) / request["input"].size
        np.testing.assert_allclose(tensors[f"{at}.gradients.input"], gradient, rtol=1e-12)
