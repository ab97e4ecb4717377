"""What every answer tells browsers: to take it for nothing else, to keep no copy, to show it in no other page."""

from __future__ import annotations

import httpx
import pytest

from tests.asgi import InProcess
from tests.serving import RunningServer

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
REQUESTS = [
    ("POST", "/v1/loss", 200),
    ("POST", "/v1/losses/mse_loss", 200),
    ("GET", "/v1/losses", 200),
    ("GET", "/livez", 200),
    ("HEAD", "/readyz", 200),
    ("GET", "/openapi.json", 200),
    ("GET", "/nothing", 404),
    ("GET", "/v1/loss", 405),
    ("POST", "/v1/losses/huber_loss", 422),
]


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_no_answer_is_sniffed_or_kept(
    client: InProcess, server: RunningServer, method: str, path: str, status: int
) -> None:
    for answer in (
        client.request(method, path, content=BODY),
        httpx.request(method, server.url + path, content=BODY, timeout=60),
    ):
        assert answer.status_code == status
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("cache-control") == ["no-store"]


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS[2:])
def test_no_document_runs_or_is_framed(client: InProcess, method: str, path: str, status: int) -> None:
    headers = client.request(method, path, content=BODY).headers
    assert headers.get_list("content-security-policy") == ["default-src 'none'; frame-ancestors 'none'"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    assert headers.get_list("referrer-policy") == ["no-referrer"]
    assert headers.get_list("cross-origin-resource-policy") == ["same-origin"]


def test_the_page_runs_what_this_service_serves_alone(client: InProcess) -> None:
    answer = client.get("/docs")
    (policy,) = answer.headers.get_list("content-security-policy")
    told = dict(item.split(" ", 1) for item in policy.split("; "))
    assert told["default-src"] == "'none'"
    assert told["script-src"] == told["connect-src"] == "'self'"
    assert told["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert answer.headers["x-frame-options"] == "DENY"


def test_files_of_the_page_may_be_kept(client: InProcess) -> None:
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert client.get(f"/docs/{name}").headers.get_list("cache-control") == ["public, max-age=86400"]
