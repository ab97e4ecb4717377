"""X-Request-ID and Server-Timing."""

from __future__ import annotations

import re

import pytest

from tests.asgi import InProcess

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 128, "0190c8a2-7c1e-7000-8000-000000000000"])
def test_a_callers_request_id_is_kept(client: InProcess, given: str) -> None:
    assert client.post(BODY, x_request_id=given).headers.get_list("x-request-id") == [given]
    assert client.get("/livez", headers={"x-request-id": given}).headers["x-request-id"] == given
    assert client.get("/nothing", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a,b", "a/b", "<script>", "\u00e9", 'a"b'])
def test_a_bad_request_id_is_replaced(client: InProcess, given: str) -> None:
    headers = {"x-request-id": given.encode("latin-1")}
    found = client.request("POST", "/v1/loss", content=BODY, headers=headers).headers["x-request-id"]
    assert found != given
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", found)


def test_every_request_without_an_id_gets_one_of_its_own(client: InProcess) -> None:
    found = {client.get("/livez").headers["x-request-id"] for _ in range(20)}
    assert len(found) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,128}", one) for one in found)


@pytest.mark.parametrize("path", ["/v1/loss", "/v1/losses/mse_loss"])
def test_server_timing_tells_where_the_time_went(client: InProcess, path: str) -> None:
    timing = client.post(BODY, path).headers["server-timing"]
    members = [re.fullmatch(r"(\w+);dur=(\d+\.\d+)", part) for part in timing.split(", ")]
    assert [member and member[1] for member in members] == ["decode", "queue", "compute", "encode"]


def test_the_answers_length_is_told(client: InProcess) -> None:
    response = client.post(BODY)
    assert int(response.headers["content-length"]) == len(response.content)
