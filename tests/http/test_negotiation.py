"""406 and 415: what callers may send and accept."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from tests.asgi import InProcess, problem_of
from tests.binary import MEDIA_TYPE, pack, unpack

JSON = "application/json"
BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
BINARY = pack({"input": np.full(1, 3, np.float32), "target": np.ones(1, np.float32)}, loss="mse_loss")
BODIES = {JSON: BODY, MEDIA_TYPE: BINARY}


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


def form_of(response: httpx.Response) -> str:
    """The form of an answer, once it is read in that form."""
    assert response.status_code == 200, response.text
    media: str = response.headers["content-type"]
    loss = json.loads(response.content)["loss"] if media == JSON else unpack(response.content)[0]["loss"]
    assert loss == 4.0
    return media


@pytest.mark.parametrize(
    "media",
    [MEDIA_TYPE, "Application/VND.Safetensors", "application/vnd.safetensors; x=1", "application/vnd.safetensors;"],
)
def test_safetensors_by_any_spelling_is_read(client: InProcess, media: str) -> None:
    assert form_of(client.post(BINARY, content_type=media)) == MEDIA_TYPE


@pytest.mark.parametrize("media", ["application/safetensors", "application/x-safetensors", "vnd.safetensors"])
def test_other_names_of_safetensors_are_not_served(client: InProcess, media: str) -> None:
    assert MEDIA_TYPE in problem_of(client.post(BINARY, content_type=media), 415)["detail"]


@pytest.mark.parametrize("own", BODIES)
@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "application/*", "*/*;q=0.1", "text/html, */*", "application/*;q=0.5, */*"]
)
def test_an_accept_that_leaves_it_open_is_answered_in_the_requests_own_form(
    client: InProcess, own: str, accept: str | None
) -> None:
    del client.http.headers["accept"]  # httpx sends */* by itself
    try:
        headers = {"content-type": own} | ({} if accept is None else {"accept": accept})
        assert form_of(client.request("POST", "/v1/loss", content=BODIES[own], headers=headers)) == own
    finally:
        client.http.headers["accept"] = "*/*"


@pytest.mark.parametrize("own", BODIES)
@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (JSON, JSON),
        (MEDIA_TYPE, MEDIA_TYPE),
        ("APPLICATION/VND.SAFETENSORS", MEDIA_TYPE),
        (f"{JSON};q=0.9, {MEDIA_TYPE}", MEDIA_TYPE),
        (f"{JSON}, {MEDIA_TYPE};q=0.9", JSON),
        (f"{JSON};q=0, {MEDIA_TYPE};q=0.001", MEDIA_TYPE),
        (f"{JSON};q=0, */*", MEDIA_TYPE),
        (f"{MEDIA_TYPE};q=0, application/*", JSON),
        (f"*/*;q=0.1, {JSON}", JSON),
        (f"application/*;q=0.5, {MEDIA_TYPE};q=0.4", JSON),
        (f"text/html, {MEDIA_TYPE}", MEDIA_TYPE),
        (f"{MEDIA_TYPE} ; q=0.5 , {JSON} ; q=0.4", MEDIA_TYPE),
        (f"{JSON};q=nonsense, {MEDIA_TYPE};q=0.1", MEDIA_TYPE),
    ],
)
def test_the_form_that_is_wanted_most_is_answered(client: InProcess, own: str, accept: str, form: str) -> None:
    assert form_of(client.post(BODIES[own], content_type=own, accept=accept)) == form


@pytest.mark.parametrize("own", BODIES)
def test_of_forms_that_are_wanted_alike_the_requests_own_is_answered(client: InProcess, own: str) -> None:
    for accept in (f"{JSON}, {MEDIA_TYPE}", f"{MEDIA_TYPE}, {JSON}", f"{JSON};q=0.5, */*;q=0.5"):
        assert form_of(client.post(BODIES[own], content_type=own, accept=accept)) == own


@pytest.mark.parametrize("own", BODIES)
@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "*/*;q=0",
        f"{JSON};q=0",
        f"{MEDIA_TYPE};q=0",
        f"{JSON};q=0, {MEDIA_TYPE};q=0, */*",
        "application/*;q=0",
    ],
)
def test_an_accept_without_any_form_that_is_served_is_told_both(client: InProcess, own: str, accept: str) -> None:
    response = client.post(BODIES[own], content_type=own, accept=accept)
    detail = problem_of(response, 406)["detail"]
    assert JSON in detail
    assert MEDIA_TYPE in detail


@pytest.mark.parametrize("accept", [JSON, MEDIA_TYPE, "application/json;q=0, */*"])
@pytest.mark.parametrize("own", BODIES)
def test_problems_are_problem_documents_whatever_is_accepted(client: InProcess, own: str, accept: str) -> None:
    assert "errors" not in problem_of(client.post(b"{", content_type=own, accept=accept), 400)
    faulty = {JSON: b"{}", MEDIA_TYPE: pack({})}[own]
    assert problem_of(client.post(faulty, content_type=own, accept=accept), 422)["errors"][0]["pointer"] == "/loss"
