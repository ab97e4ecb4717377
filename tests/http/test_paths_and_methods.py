"""404 and 405: what is where, and with which method."""

from __future__ import annotations

import http.client
import re

import pytest

from tests.asgi import InProcess, problem_of
from tests.serving import RunningServer

READABLE = ["/v1/losses", "/v1/losses/cross_entropy", "/v1/limits", "/livez", "/readyz", "/openapi.json", "/docs"]
URI = re.compile(r"[A-Za-z0-9/._~!$&'()*+,;=:@%-]*")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/los", "/v1/loss/", "/v1/losses/", "/V1/loss", "/v2x", "/docs/", "/docs/x.js", "/favicon.ico"],
)
def test_an_unknown_path_is_not_found(client: InProcess, path: str) -> None:
    assert path in problem_of(client.get(path), 404)["detail"]


def test_an_unknown_path_is_not_found_with_any_method(client: InProcess) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        problem_of(client.request(method, "/v1/nothing"), 404)


@pytest.mark.parametrize("name", ["nope", "Cross_Entropy", "cross_entropy%20", "%E2%88%82", "..%2f..%2fetc"])
def test_an_unknown_name_in_the_catalogue_is_not_found(client: InProcess, name: str) -> None:
    response = client.get(f"/v1/losses/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_the_known_names_are_told_where_one_is_not_found(client: InProcess) -> None:
    assert "cross_entropy" in problem_of(client.get("/v1/losses/crossentropy"), 404)["detail"]


def test_posting_to_an_unknown_loss_is_not_found(client: InProcess) -> None:
    problem = problem_of(client.post(b'{"input": [1.0]}', "/v1/losses/nope"), 404)
    assert "cross_entropy" in problem["detail"]


@pytest.mark.parametrize("path", ["/no such path", "/%ff%fe", "/<x>", "/caf\u00e9"])
def test_an_instance_is_a_uri_reference(client: InProcess, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert URI.fullmatch(response.json()["instance"]), response.json()["instance"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_loss_is_asked_for_by_post(client: InProcess, method: str) -> None:
    response = client.request(method, "/v1/loss")
    problem_of(response, 405)
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/v1/losses", "/v1/limits", "/livez", "/readyz", "/openapi.json", "/docs"])
def test_what_is_read_is_not_written(client: InProcess, path: str, method: str) -> None:
    response = client.request(method, path)
    problem_of(response, 405)
    assert set(re.split(", *", response.headers["allow"])) == {"GET", "HEAD"}


@pytest.mark.parametrize("name", ["cross_entropy", "CrossEntropyLoss"])
def test_a_loss_of_the_catalogue_allows_all_that_it_serves(client: InProcess, name: str) -> None:
    response = client.request("DELETE", f"/v1/losses/{name}")
    problem_of(response, 405)
    assert set(re.split(", *", response.headers["allow"])) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("path", READABLE)
def test_head_answers_as_get_without_the_body(server: RunningServer, path: str) -> None:
    connection = http.client.HTTPConnection(server.host, server.port)
    try:
        connection.request("GET", path)
        got = connection.getresponse()
        body = got.read()
        connection.request("HEAD", path)
        head = connection.getresponse()
        assert (head.status, head.read()) == (200, b"")
        for name in ("content-type", "content-length"):
            assert head.headers[name] == got.headers[name]
        assert int(head.headers["content-length"]) == len(body) > 0
        # The same connection goes on: nothing of a body was left on it.
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b'{"status":"ok"}'
    finally:
        connection.close()


def test_head_of_what_is_not_there_is_not_found(server: RunningServer) -> None:
    connection = http.client.HTTPConnection(server.host, server.port)
    try:
        connection.request("HEAD", "/nothing")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (404, b"")
        assert answer.headers["content-type"] == "application/problem+json"
    finally:
        connection.close()
