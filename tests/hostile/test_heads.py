"""Heads that attack: forged fields, odd methods and targets."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_wire import BODY, Caller, post
from tests.serving import RunningServer

FORGED = {
    "NUL in a value": b"X-A: a\0b",
    "NUL in a name": b"X\0A: a",
    "a bare carriage return": b"X-A: a\rb",
    "a folded field": b"X-A: a\r\n b",
    "no colon": b"nonsense",
    "no name": b": a",
    "a name with a space": b"X A: a",
    "eight-bit name": b"X-\xe9: a",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_field_is_refused(attacked: RunningServer, name: str) -> None:
    head, _, body = post().partition(b"\r\n\r\n")
    with Caller(attacked) as caller:
        caller.send(head + b"\r\n" + FORGED[name] + b"\r\n\r\n" + body)
        status, headers, _ = caller.answer()
        assert (status, headers["content-type"]) == (400, "application/problem+json")
        assert caller.stream.read() == b""


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/json; charset=utf-16", 415),
        ("Content-Encoding: br", 415),
        ("Content-Encoding: gzip, gzip", 415),
        ("Content-Encoding: gzip", 400),
        ("Content-Encoding: zstd", 400),
        ("Content-Encoding: deflate", 400),
        ("Accept: text/html", 406),
        ("Accept-Encoding: identity;q=0, *;q=0", 406),
    ],
)
def test_a_field_that_cannot_be_met_is_refused_with_a_problem(attacked: RunningServer, field: str, status: int) -> None:
    with Caller(attacked) as caller:
        caller.send(post(BODY, field))
        found, headers, body = caller.answer()
        assert (found, headers["content-type"]) == (status, "application/problem+json")
        assert json.loads(body)["status"] == status


def test_fields_that_say_two_things_are_refused(attacked: RunningServer) -> None:
    with Caller(attacked) as caller:
        caller.send(post(BODY, "Content-Type: application/json", "Content-Type: text/plain"))
        assert caller.answer()[0] == 415


@pytest.mark.parametrize("hostile", ["a\tb", "<script>", "../..", "x" * 129, "a, b", "ü", "a b"])
def test_an_id_that_could_forge_a_log_is_replaced(attacked: RunningServer, hostile: str) -> None:
    with Caller(attacked) as caller:
        caller.send(post(BODY, "X-Request-ID: HERE").replace(b"HERE", hostile.encode()))
        status, headers, _ = caller.answer()
        assert status == 200
        assert hostile not in headers["x-request-id"]


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "PATCH", "DELETE", "LINK", "QUERY"])
def test_a_method_that_is_not_served_is_refused_with_those_that_are(attacked: RunningServer, method: str) -> None:
    with Caller(attacked) as caller:
        caller.send(f"{method} /v1/loss HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, headers, _ = caller.answer()
        # What the parser does not know as a method is no HTTP to it.
        assert status in (400, 405)
        assert status == 400 or "POST" in headers["allow"]


@pytest.mark.parametrize("method", ["CONNECT", "BREW", "get", "G\0T", "\u00e9"])
def test_what_is_no_method_is_refused(attacked: RunningServer, method: str) -> None:
    with Caller(attacked) as caller:
        caller.send(f"{method} /v1/loss HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
        assert 400 <= caller.answer()[0] < 502


TARGETS = [
    "/../../etc/passwd", "/docs/..%2f..%2fsecrets", "/docs/%2e%2e/%2e%2e/pyproject.toml", "/v1/losses/%00%ff%0d%0a",
    "/v1/losses/" + "a" * 4000, "//v1//loss", "/v1/loss/", "/v2/models/mse_loss/versions/%31%30/infer", "/%",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_wanders_is_not_found(attacked: RunningServer, target: str) -> None:
    with Caller(attacked) as caller:
        caller.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, headers, body = caller.answer()
        assert (status, headers["content-type"]) == (404, "application/problem+json")
        told = json.loads(body)
        assert told["instance"] == target
        assert "root:" not in body.decode()
