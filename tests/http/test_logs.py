"""Logs as JSON: every line an object, with request ids, without tensor values."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.serving import RunningServer, serving

VALUE = 0.123456789


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What a server logs from start to stop, among it a good, a bad and a broken request."""
    with serving(GRADWIRE_LOG_FORMAT="json", GRADWIRE_LOG_LEVEL="debug") as server:
        ask(server)
    return server.lines


def ask(server: RunningServer) -> None:
    """Send requests with values that would be recognised."""
    with httpx.Client(base_url=server.url, timeout=60) as http:
        request = {"loss": "mse_loss", "input": [VALUE], "target": [VALUE]}
        assert http.post("/v1/loss", json=request, headers={"x-request-id": "good"}).status_code == 200
        bad = request | {"input": [VALUE, VALUE]}
        assert http.post("/v1/loss", json=bad, headers={"x-request-id": "bad"}).status_code == 422
        assert http.post("/v1/loss?q=1", content=b"[0.123456789", headers={"x-request-id": "ugly"}).status_code == 400
        odd = http.get('/no%0Asuch"path', headers={"x-request-id": "odd"})
        assert odd.status_code == 404


def test_every_line_is_a_json_object(lines: list[str]) -> None:
    assert lines
    for line in lines:
        entry = json.loads(line)
        assert entry.keys() >= {"time", "level", "logger", "message"}, line


def test_every_request_has_its_line_with_its_id(lines: list[str]) -> None:
    entries = [json.loads(line) for line in lines]
    answered = {entry["request_id"]: entry for entry in entries if entry["logger"] == "gradwire.access"}
    assert {name: entry["status"] for name, entry in answered.items()} == {
        "first": 200,
        "good": 200,
        "bad": 422,
        "ugly": 400,
        "odd": 404,
    }
    assert answered["good"]["loss"] == "mse_loss"
    assert answered["good"]["method"] == "POST"
    assert answered["good"]["milliseconds"] > 0
    assert answered["ugly"]["path"] == "/v1/loss"
    assert answered["odd"]["path"] == '/no\nsuch"path'


def test_no_line_holds_a_tensors_values(lines: list[str]) -> None:
    assert not any("0.1234" in line for line in lines)
