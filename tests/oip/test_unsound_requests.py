"""Inference requests that are too much, not sound, or not for this service."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.asgi import InProcess, pointers, problem_of
from tests.oip.speaking import faults, of_binary, of_json, post, refused

INPUT = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], np.float32)
TARGET = np.array([0, 2], np.int64)
INPUTS = [of_json("input", INPUT), of_json("target", TARGET)]
PATH = "/v2/models/cross_entropy/infer"


def document(**members: Any) -> dict[str, Any]:
    return {"inputs": INPUTS, **members}


def first(**changes: Any) -> dict[str, Any]:
    """A request whose first input differs; `None` leaves a member out."""
    one = {name: value for name, value in {**INPUTS[0], **changes}.items() if value is not None}
    return {"inputs": [one, INPUTS[1]]}


# More than anyone needs.


def test_more_inputs_outputs_and_parameters_than_any_loss_has_are_refused(client: InProcess) -> None:
    assert "at most 64" in faults(client, "cross_entropy", {"inputs": INPUTS * 40})["/inputs"]
    assert "129 outputs" in faults(client, "cross_entropy", document(outputs=[{"name": "loss"}] * 129))["/outputs"]
    many = {f"p{at}": 1 for at in range(2000)}
    assert "2000 members" in faults(client, "cross_entropy", document(parameters=many))["/parameters"]
    assert "2001 members" in faults(client, "cross_entropy", document(**many))[""]
    some = {f"p{at}": 1 for at in range(1000)}
    problem = refused(client, 422, "cross_entropy", document(parameters=some))
    assert len(problem["errors"]) == 256


def test_elements_beyond_the_limit_are_too_large(small: InProcess, client: InProcess) -> None:
    inputs = [
        {**of_json("input", np.zeros((10, 9), np.int8)), "data": [0] * 90},
        of_json("target", np.zeros(10, np.int8)),
    ]
    assert "elements" in problem_of(post(small, "cross_entropy", {"inputs": inputs}), 413)["detail"]
    huge = {"name": "input", "shape": [1 << 20, 1 << 20], "datatype": "FP32", "data": [1.0]}
    assert "/inputs/0/shape" in pointers(refused(client, 413, "cross_entropy", {"inputs": [huge, INPUTS[1]]}))


def test_a_body_beyond_the_limit_is_too_large(small: InProcess) -> None:
    response = small.request("POST", PATH, content=b" " * 2001)
    assert problem_of(response, 413)["error"] == "the body is larger than 2000 bytes"


# Bodies that are not sound.


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b'{"inputs": [NaN]}', b"\xff", b"x" * 20_000])
def test_what_is_no_json_object_is_malformed(client: InProcess, body: bytes) -> None:
    assert problem_of(client.request("POST", PATH, content=body), 400)["error"]


def test_nesting_beyond_the_limit_is_malformed(client: InProcess) -> None:
    deep: Any = 1.0
    for _ in range(40):
        deep = [deep]
    assert "nested deeper" in refused(client, 400, "cross_entropy", first(data=deep))["detail"]
    for depth in (40, 1015):  # as deep as JSON is read
        body = '{"inputs": [{"name": "input", "shape": [1], "datatype": DEEP}]}'
        nested = body.replace("DEEP", "[" * depth + "]" * depth).encode()
        assert "nested deeper" in problem_of(client.request("POST", PATH, content=nested), 400)["detail"]


@pytest.mark.parametrize("length", ["", "x", "-1", "1.0", "1e3", "0x10", "9" * 30, "10, 10"])
def test_a_header_length_that_is_no_number_is_malformed(client: InProcess, length: str) -> None:
    response = post(client, "cross_entropy", document(), inference_header_content_length=length)
    assert "Inference-Header-Content-Length" in problem_of(response, 400)["detail"]


def test_a_header_length_beyond_the_body_is_malformed(client: InProcess) -> None:
    response = post(client, "cross_entropy", document(), inference_header_content_length="100000")
    assert "the body has" in problem_of(response, 400)["detail"]


@pytest.mark.parametrize("length", ["0", "10"])
def test_a_header_length_amid_the_json_is_malformed(client: InProcess, length: str) -> None:
    problem_of(post(client, "cross_entropy", document(), inference_header_content_length=length), 400)


def test_binary_data_of_another_size_than_told_is_malformed(client: InProcess) -> None:
    inputs = [of_binary("input", INPUT), of_binary("target", TARGET)]
    for binary in ([INPUT], [INPUT, TARGET, TARGET]):
        problem = refused(client, 400, "cross_entropy", {"inputs": inputs}, *binary)
        assert "the inputs' binary_data_size make 40" in problem["detail"]
    without_header = json.dumps({"inputs": inputs}).encode()
    assert "40" in problem_of(client.request("POST", PATH, content=without_header), 400)["detail"]
    whole = without_header + INPUT.tobytes() + TARGET.tobytes()
    problem_of(client.request("POST", PATH, content=whole), 400)


@pytest.mark.parametrize("size", [-1, 20, 24.0, "24", True, 1 << 62])
def test_a_binary_data_size_that_does_not_fit_the_shape_is_told(client: InProcess, size: Any) -> None:
    one = {**of_binary("input", INPUT), "parameters": {"binary_data_size": size}}
    found = faults(client, "cross_entropy", {"inputs": [one, of_binary("target", TARGET)]}, INPUT, TARGET)
    assert list(found) == ["/inputs/0/parameters/binary_data_size"]


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_body_is_refused_and_harms_nothing(client: InProcess, data: st.DataObject) -> None:
    inputs = [of_binary("input", INPUT), of_json("target", TARGET)]
    text = json.dumps({"id": "1", "inputs": inputs, "outputs": [{"name": "loss"}]}).encode()
    body = bytearray(text + INPUT.tobytes())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    body = body[: data.draw(st.sampled_from([len(body), len(body) - 1, len(text)]))]
    length = str(data.draw(st.sampled_from([len(text), len(text) - 1, len(text) + 1])))
    response = client.request("POST", PATH, content=bytes(body), headers={"inference-header-content-length": length})
    assert response.status_code in (200, 400, 413, 415, 422), response.text
    if response.status_code != 200:
        assert response.json()["error"]


# HTTP.


@pytest.mark.parametrize("path", ["/v2/models/nope/infer", "/v2/models/cross_entropy/versions/2/infer"])
def test_another_model_or_version_is_not_found(client: InProcess, path: str) -> None:
    problem = problem_of(client.request("POST", path, json=document()), 404)
    assert problem["error"] == problem["detail"]


@pytest.mark.parametrize("path", [PATH, "/v2/models/MSELoss/versions/1/infer"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_inference_is_asked_for_by_post(client: InProcess, path: str, method: str) -> None:
    response = client.request(method, path)
    problem_of(response, 405)
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "text/json",
        "application/vnd.safetensors",
        "application/json; charset=utf-16",
        "multipart/form-data",
    ],
)
def test_another_content_type_is_not_served(client: InProcess, media: str) -> None:
    problem_of(post(client, "cross_entropy", document(), content_type=media), 415)


def test_the_content_types_that_are_served_are_told(client: InProcess) -> None:
    response = post(client, "cross_entropy", document(), content_type="text/plain")
    assert response.headers["accept"] == "application/json, application/octet-stream"


@pytest.mark.parametrize("accept", ["text/html", "application/vnd.safetensors", "*/*;q=0"])
def test_an_accept_that_allows_neither_form_is_not_acceptable(client: InProcess, accept: str) -> None:
    told = problem_of(post(client, "cross_entropy", document(), accept=accept), 406)["detail"]
    assert "application/json or application/octet-stream" in told


def test_errors_elsewhere_bear_no_error_member(client: InProcess) -> None:
    assert "error" not in client.get("/v1/nothing").json()
    assert "error" not in client.get("/v2x").json()
    assert client.get("/v2/nothing").json()["error"] == "there is nothing at /v2/nothing; /docs shows what there is"
