"""Deadlines over HTTP: told by a header, a parameter or a setting; 504 once they have passed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.http.deadline import Timeouts
from service.http.problems import HTTPProblem
from service.settings import Settings
from tests.asgi import InProcess, problem_of
from tests.engine.faulty import Faulty

QUIET = Settings(device="cpu", access_log=False, log_level="error", inline_elements=0)
LOSS: dict[str, Any] = {"loss": "mse_loss", "input": [3.0], "target": [1.0]}
BODY = json.dumps(LOSS).encode()
OTHER = {"loss": "l1_loss", "input": [3.0], "target": [1.0]}
CALLS = {
    "single": ("/v1/loss", LOSS),
    "bundle": ("/v1/loss/batch", {"requests": [LOSS] * 8}),
    "mixed": ("/v1/loss/batch", {"requests": [LOSS, OTHER]}),
    "inference": (
        "/v2/models/mse_loss/infer",
        {
            "inputs": [
                {"name": name, "shape": [1], "datatype": "FP32", "data": [value]}
                for name, value in (("input", 3.0), ("target", 1.0))
            ]
        },
    ),
}


@pytest.fixture
def server() -> Iterator[tuple[InProcess, Faulty]]:
    """The application with an engine that notes what it computes."""
    engine = Faulty(lambda _: None)
    with InProcess(QUIET, engine) as made:
        engine.sizes.clear()  # the probe's
        yield made, engine


def post(made: InProcess, kind: str, timeout: str, **members: Any) -> httpx.Response:
    path, body = CALLS[kind]
    return made.post(json.dumps(body | members).encode(), path, x_request_timeout_ms=timeout)


def test_a_large_body_that_is_late_is_not_read(
    server: tuple[InProcess, Faulty], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, engine = server
    numbers = [0.5] * 1_000_000
    body = json.dumps({"loss": "mse_loss", "input": numbers, "target": numbers}).encode()
    assert made.post(body).status_code == 200
    engine.sizes.clear()
    monkeypatch.setattr("service.wire.large_json.read", None)  # who reads it fails
    before = made.app.state.engine.tally.dropped["deadline"]
    problem_of(made.post(body, x_request_timeout_ms="1"), 504)
    assert made.app.state.engine.tally.dropped["deadline"] == before + 1
    assert engine.sizes == []


def test_a_timeout_in_a_large_inference_request_counts_instead_of_the_servers_own() -> None:
    numbers = [0.5] * 200_000
    told = [{"name": name, "shape": [200_000], "datatype": "FP32", "data": numbers} for name in ("input", "target")]
    body = {"inputs": told, "parameters": {"timeout": 60_000_000}}
    with InProcess(QUIET.model_copy(update={"default_timeout_ms": 1})) as made:
        path = "/v2/models/mse_loss/infer"
        assert made.post(json.dumps(body).encode(), path).status_code == 200
        assert made.post(json.dumps({"inputs": told}).encode(), path).status_code == 504
        assert made.post(json.dumps(body).encode(), path, x_request_timeout_ms="1").status_code == 504


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "1e3", "", "ten", "1" * 30, "1, 2", "+5", "\N{SUPERSCRIPT TWO}"])
@pytest.mark.parametrize("kind", CALLS)
def test_a_malformed_timeout_is_400(client: InProcess, kind: str, value: str) -> None:
    path, body = CALLS[kind]
    headers = [(b"content-type", b"application/json"), (b"x-request-timeout-ms", value.encode("latin-1"))]
    response = client.request("POST", path, content=json.dumps(body).encode(), headers=headers)
    assert "X-Request-Timeout-Ms" in problem_of(response, 400)["detail"]


@pytest.mark.parametrize("kind", CALLS)
def test_what_is_in_time_is_answered(server: tuple[InProcess, Faulty], kind: str) -> None:
    assert post(server[0], kind, "60000").status_code == 200


@pytest.mark.parametrize("kind", CALLS)
def test_what_took_longer_than_its_deadline_to_read_is_504_and_not_computed(
    server: tuple[InProcess, Faulty], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made, engine = server
    # Heads that came a minute ago.
    real = Timeouts.deadline
    monkeypatch.setattr(
        Timeouts,
        "deadline",
        lambda self, scope, headers: real(self, {"gradwire.began": scope["gradwire.began"] - 60}, headers),
    )
    problem = problem_of(post(made, kind, "50000"), 504)
    assert "deadline" in problem["detail"]
    assert engine.sizes == []
    assert engine.tally.dropped["deadline"] >= 1


def test_the_parameter_timeout_of_an_inference_request_is_a_deadline(server: tuple[InProcess, Faulty]) -> None:
    made, engine = server
    problem = problem_of(post(made, "inference", "60000", parameters={"timeout": 1}), 504)
    assert problem["error"] == problem["detail"]
    assert engine.sizes == []
    for without in ({}, {"timeout": 0}, {"timeout": 60_000_000}):
        assert post(made, "inference", "60000", parameters=without).status_code == 200


def test_the_servers_own_deadline_holds_where_the_caller_tells_none() -> None:
    engine = Faulty(lambda _: None)
    with InProcess(QUIET.model_copy(update={"default_timeout_ms": 1}), engine) as made:
        made.app.state.computing.timeouts._default = 1e-9
        problem_of(made.post(BODY), 504)
        assert made.post(BODY, x_request_timeout_ms="60000").status_code == 200


@pytest.mark.parametrize(
    ("default", "most", "header", "expected"),
    [
        (60_000, 600_000, None, 60.0),
        (0, 600_000, None, None),
        (60_000, 600_000, b"1500", 1.5),
        (0, 600_000, b"1", 0.001),
        (60_000, 600_000, b"900000", 600.0),
    ],
)
def test_a_deadline_counts_from_the_arrival_of_the_head(
    default: int, most: int, header: bytes | None, expected: float | None
) -> None:
    timeouts = Timeouts(Settings(default_timeout_ms=default, max_timeout_ms=most))
    headers = {} if header is None else {b"x-request-timeout-ms": header}
    found = timeouts.deadline({"gradwire.began": 1000.0}, headers)
    assert found == (None if expected is None else pytest.approx(1000.0 + expected))


@pytest.mark.parametrize(
    ("header", "microseconds", "expected"),
    [
        (None, None, 60.0),
        (None, 0, 60.0),
        (None, 90_000_000, 90.0),
        (None, 10**15, 600.0),
        (b"2000", None, 2.0),
        (b"2000", 1_000_000, 1.0),
        (b"2000", 3_000_000, 2.0),
    ],
)
def test_of_a_header_and_a_parameter_the_sooner_counts(
    header: bytes | None, microseconds: int | None, expected: float
) -> None:
    timeouts = Timeouts(Settings())
    headers = {} if header is None else {b"x-request-timeout-ms": header}
    assert timeouts.sooner({"gradwire.began": 0.0}, headers, microseconds) == pytest.approx(expected)


def test_a_malformed_timeout_raises() -> None:
    with pytest.raises(HTTPProblem):
        Timeouts(Settings()).deadline({"gradwire.began": 0.0}, {b"x-request-timeout-ms": b"soon"})
