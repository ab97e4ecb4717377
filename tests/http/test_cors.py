"""Pages of other origins: preflights, and what every answer says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings
from tests.asgi import InProcess, problem_of
from tests.keys import key

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
PAGE, OTHER = "https://lab.example", "https://other.example"
TEAM = key("team", requests_per_second=1000)
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
CORS = {"access-control-allow-origin", "access-control-expose-headers"}


def serving(**members: Any) -> InProcess:
    return InProcess(Settings(device="cpu", access_log=False, log_level="error", **members))


@pytest.fixture(scope="module")
def listed() -> Iterator[InProcess]:
    """The application, open to pages of two origins, with keys."""
    with serving(cors_origins=f"{PAGE}, http://localhost:5173", api_keys=TEAM.record) as made:
        yield made


def test_a_preflight_of_a_listed_origin_needs_no_key(listed: InProcess) -> None:
    answer = listed.request("OPTIONS", "/v1/loss", headers={"origin": PAGE, **PREFLIGHT})
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-methods"] == "DELETE, GET, HEAD, PATCH, POST"
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "content-encoding", "x-request-id", "x-request-timeout-ms"} <= set(allowed)
    assert "inference-header-content-length" in allowed
    assert answer.headers["access-control-max-age"] == "7200"
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [OTHER, "null", "https://lab.example.evil", "http://lab.example", ""])
def test_a_preflight_of_another_origin_is_refused(listed: InProcess, origin: str) -> None:
    answer = listed.request("OPTIONS", "/v1/loss", headers={"origin": origin, **PREFLIGHT})
    assert problem_of(answer, 403)["detail"] == "pages of this origin may not read answers here"
    assert not CORS & set(answer.headers)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/v1/loss", TEAM.header, 200),
        ("GET", "/v1/losses", TEAM.header, 200),
        ("GET", "/docs", {}, 200),
        ("POST", "/v1/loss", {}, 401),
        ("GET", "/nothing", TEAM.header, 404),
        ("OPTIONS", "/v1/loss", TEAM.header, 405),
        ("POST", "/v1/loss", {**TEAM.header, "content-type": "text/plain"}, 415),
    ],
)
def test_every_answer_says_whether_a_page_may_read_it(
    listed: InProcess, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = listed.request(method, path, content=BODY, headers={**headers, "origin": PAGE})
    assert answer.status_code == status
    assert answer.headers.get_list("access-control-allow-origin") == [PAGE]
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    assert {"x-request-id", "server-timing", "ratelimit", "ratelimit-policy", "retry-after"} <= set(exposed)
    assert "origin" in answer.headers["vary"]
    for origin in ({"origin": OTHER}, {}):
        unread = listed.request(method, path, content=BODY, headers={**headers, **origin})
        assert unread.status_code == status
        assert not CORS & set(unread.headers)
        assert "origin" in unread.headers["vary"]  # a cache must not give one page's answer to another


def test_any_origin_may_read_where_all_may() -> None:
    with serving(cors_origins="*") as client:
        for origin in (PAGE, "null"):
            answer = client.post(BODY, origin=origin)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "origin" not in answer.headers.get("vary", "")
            preflight = client.request("OPTIONS", "/v1/loss", headers={"origin": origin, **PREFLIGHT})
            assert preflight.status_code == 204
        assert not CORS & set(client.post(BODY).headers)


def test_by_default_no_page_may_read(client: InProcess) -> None:
    answer = client.post(BODY, origin=PAGE)
    assert not CORS & set(answer.headers)
    assert "origin" not in answer.headers.get("vary", "")
    assert client.request("OPTIONS", "/v1/loss", headers={"origin": PAGE, **PREFLIGHT}).status_code == 405


@pytest.mark.parametrize(
    "given", ["lab.example", "https://lab.example/", "https://lab.example/x", "ftp://x", "null", "*.x"]
)
def test_what_is_no_origin_is_refused_as_a_setting(given: str) -> None:
    with pytest.raises(ValidationError, match="must be scheme://host"):
        Settings(cors_origins=given)


def test_origins_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADWIRE_CORS_ORIGINS", "https://Lab.Example,  http://[::1]:8080")
    assert Settings().cors_origins == ["https://lab.example", "http://[::1]:8080"]
    monkeypatch.setenv("GRADWIRE_CORS_ORIGINS", "")
    assert Settings().cors_origins == []
