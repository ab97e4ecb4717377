"""406 and 415: what callers may send and accept."""

from __future__ import annotations

import json

import pytest

from tests.asgi import InProcess, problem_of

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/vnd.loss+json",
    ],
)
def test_json_by_any_name_is_read(client: InProcess, media: str) -> None:
    assert client.post(BODY, content_type=media).json()["loss"] == 4.0


def test_a_body_without_a_content_type_is_taken_for_json(client: InProcess) -> None:
    assert client.request("POST", "/v1/loss", content=BODY).json()["loss"] == 4.0


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonx",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "",
    ],
)
def test_another_content_type_is_not_served(client: InProcess, media: str) -> None:
    response = client.post(BODY, content_type=media)
    problem_of(response, 415)
    assert response.headers["accept"] == "application/json, application/vnd.safetensors"


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "unknown"])
def test_a_content_encoding_that_is_not_known_is_not_served(client: InProcess, coding: str) -> None:
    response = client.post(BODY, content_encoding=coding)
    assert coding in problem_of(response, 415)["detail"]
    assert "accept-encoding" in response.headers


def test_the_content_encoding_identity_is_none(client: InProcess) -> None:
    assert client.post(BODY, content_encoding="identity").status_code == 200


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "uint64", "shape": [1], "data": [1]},
        {"dtype": "complex64", "shape": [1], "data": [1]},
        {"dtype": "FLOAT32", "shape": [1], "data": [1]},
        {"dtype": None, "shape": [1], "data": [1]},
        {"dtype": 5, "shape": [1], "data": [1]},
        {"dtype": ["float32"], "shape": [1], "data": [1]},
    ],
)
def test_a_tensor_dtype_that_is_not_served_is_told_with_those_that_are(client: InProcess, tensor: object) -> None:
    problem = client.refusal(415, "mse_loss", input=tensor, target=[1.0])
    assert problem["errors"][0]["pointer"] == "/input/dtype"
    assert "bfloat16" in problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "application/*",
        "text/html, application/json;q=0.1",
        "text/html, */*;q=0.1",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        "",
    ],
)
def test_an_accept_that_allows_json_is_answered(client: InProcess, accept: str) -> None:
    assert client.post(BODY, accept=accept).json()["loss"] == 4.0


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "application/*;q=0, */*;q=1", "image/*", "nonsense"]
)
def test_an_accept_that_does_not_is_not_acceptable(client: InProcess, accept: str) -> None:
    problem_of(client.post(BODY, accept=accept), 406)


def test_accept_may_come_in_several_fields(client: InProcess) -> None:
    headers = [("accept", "text/html"), ("accept", "application/json")]
    assert client.request("POST", "/v1/loss", content=BODY, headers=headers).status_code == 200


def test_the_answer_is_json_whatever_json_was_asked_for(client: InProcess) -> None:
    response = client.post(BODY, accept="application/*;q=0.5")
    assert response.headers["content-type"] == "application/json"
    assert json.loads(response.content)["loss"] == 4.0


@pytest.mark.parametrize(
    ("asked", "coding"), [("gzip", "gzip"), ("gzip;q=0", None), ("gzip;q=0, deflate", None), ("deflate, gzip", "gzip")]
)
def test_documents_are_compressed_for_those_who_take_gzip(client: InProcess, asked: str, coding: str | None) -> None:
    response = client.get("/v1/losses", headers={"accept-encoding": asked})
    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "Accept-Encoding"
