"""Whoever refuses a request: every refusal has the same fields, is counted once, and gives back what was held."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from service.http import access
from service.http.problems import stopping
from service.http.security_headers import ALL
from service.settings import Settings
from tests.asgi import InProcess, problem_of
from tests.http.test_metrics import samples, value
from tests.keys import Held, key

PAGE = "https://lab.example"
BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
CALLER = key("caller", "compute", "read", requests_per_second=1, requests_burst=1000, elements_per_second=1e9)
READER = key("reader", "read", "metrics")
SPENT = key("spent", requests_per_second=0.001, requests_burst=1)
ELSEWHERE = [("origin", "https://other.example"), ("access-control-request-method", "POST")]

Call = tuple[Held | None, str, str, bytes, list[tuple[str, str]]]
REFUSALS: dict[str, tuple[int, Call]] = {
    "no key": (401, (None, "POST", "/v1/loss", BODY, [])),
    "no key for an unknown path": (401, (None, "GET", "/nothing", b"", [])),
    "two keys": (400, (CALLER, "POST", "/v1/loss", BODY, [*READER.header.items()])),
    "no scope": (403, (READER, "POST", "/v1/loss", BODY, [])),
    "over the quota": (429, (SPENT, "POST", "/v1/loss", BODY, [])),
    "no such path": (404, (CALLER, "GET", "/nothing", b"", [])),
    "no such method": (405, (CALLER, "DELETE", "/v1/loss", b"", [])),
    "a preflight from elsewhere": (
        403,
        (
            None,
            "OPTIONS",
            "/v1/loss",
            b"",
            [("origin", "https://other.example"), ("access-control-request-method", "POST")],
        ),
    ),
    "a timeout that is none": (400, (CALLER, "POST", "/v1/loss", BODY, [("x-request-timeout-ms", "soon")])),
    "a form that is not served": (406, (CALLER, "POST", "/v1/loss", BODY, [("accept", "image/png")])),
    "too large": (413, (CALLER, "POST", "/v1/loss", b" " * 10_001, [])),
    "a type that is not served": (415, (CALLER, "POST", "/v1/loss", BODY, [("content-type", "text/plain")])),
    "no JSON": (400, (CALLER, "POST", "/v2/models/mse_loss/infer", b"{", [])),
    "a broken coding": (400, (CALLER, "POST", "/v1/loss/batch", b"{}", [("content-encoding", "gzip")])),
    "no sound request": (422, (CALLER, "POST", "/v1/loss", b"{}", [])),
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[InProcess]:
    """The application with keys, of which one has used its quota up, and with the pages of one origin."""
    settings = Settings(
        device="cpu",
        access_log=False,
        log_level="error",
        max_body_bytes=10_000,
        api_keys="".join(held.record for held in (CALLER, READER, SPENT)),
        cors_origins=[PAGE],
    )
    with InProcess(settings) as made:
        assert send(made, (SPENT, "GET", "/v1/limits", b"", [])).status_code == 200
        yield made


def send(made: InProcess, call: Call) -> httpx.Response:
    held, method, path, body, headers = call
    fields = [*headers, *([] if held is None else held.header.items())]
    if not any(name == "origin" for name, _ in headers):
        fields.append(("origin", PAGE))
    return made.request(method, path, content=body, headers=fields)


def total(made: InProcess, name: str) -> float:
    text = send(made, (READER, "GET", "/metrics", b"", [])).text
    return sum(number for (found, _), number in samples(text).items() if found == name)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_every_field_and_is_counted_once(guarded: InProcess, name: str) -> None:
    status, call = REFUSALS[name]
    before = total(guarded, "gradwire_requests_total")
    answer = send(guarded, call)
    problem_of(answer, status)
    assert re.fullmatch(r"total;dur=[\d.]+", answer.headers["server-timing"])
    for field, _ in ALL:
        assert len(answer.headers.get_list(field.decode())) == 1
    assert ("access-control-allow-origin" in answer.headers) == ("elsewhere" not in name)
    assert total(guarded, "gradwire_requests_total") == before + 2  # with the scrape before
    admission = guarded.app.state.admission
    assert (admission.requests, admission.bytes, admission.work) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no key", "unauthorized"),
        ("two keys", "unauthorized"),
        ("no scope", "forbidden"),
        ("over the quota", "quota"),
    ],
)
def test_who_is_not_let_in_is_counted_by_why(guarded: InProcess, name: str, reason: str) -> None:
    before = dict(access.refused)
    send(guarded, REFUSALS[name][1])
    assert {why: number - before[why] for why, number in access.refused.items() if number != before[why]} == {reason: 1}
    found = samples(send(guarded, (READER, "GET", "/metrics", b"", [])).text)
    assert value(found, "gradwire_refused_total", by="access", reason=reason) == before[reason] + 1


def test_the_services_limits_and_a_keys_quotas_are_told_apart(
    guarded: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded.app.state.admission, "max_requests", 0)
    answer = send(guarded, (CALLER, "POST", "/v1/loss", BODY, []))
    problem_of(answer, 429)
    for field in ("ratelimit", "ratelimit-policy"):
        names = re.findall(r'"([a-z-]+)";[qr]=', ", ".join(answer.headers.get_list(field)))
        assert sorted(names) == ["elements", "in-flight", "requests"]


def test_what_the_engine_cannot_take_is_refused_with_every_field(
    guarded: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise stopping()

    monkeypatch.setattr(guarded.app.state.engine, "submit", refused)
    answer = send(guarded, (CALLER, "POST", "/v1/loss", BODY, []))
    problem_of(answer, 503)
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit"].startswith('"requests";r=')
    assert guarded.app.state.admission.requests == 0
