"""API keys over HTTP: who is let in, who is not, and what each is told."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.access import FaultyKeys
from service.access.token import mint
from service.http import access
from service.settings import Settings
from tests.asgi import InProcess, problem_of
from tests.keys import Held, key

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
TEAM, READER, SCRAPER = key("team"), key("reader", "read"), key("scraper", "metrics")
COMPUTER = key("computer", "compute")
LATE, OFF = key("late", expires="2020-01-01T00:00:00Z"), key("off", disabled=True)
ALL = "".join(held.record for held in (TEAM, READER, SCRAPER, COMPUTER, LATE, OFF))
INFER = b'{"inputs": [{"name": "input", "shape": [1], "datatype": "FP32", "data": [3.0]}, \
{"name": "target", "shape": [1], "datatype": "FP32", "data": [1.0]}]}'
COMPUTING = {
    "/v1/loss": BODY,
    "/v1/losses/mse_loss": BODY,
    "/v1/losses/MSELoss": BODY,
    "/v1/loss/batch": b'{"requests": [' + BODY + b"]}",
    "/v2/models/mse_loss/infer": INFER,
    "/v2/models/mse_loss/versions/1/infer": INFER,
}
READING = ["/v1/losses", "/v1/losses/huber_loss", "/v1/limits", "/v2", "/v2/models/mse_loss", "/v2/models/stats"]


def settings(**members: Any) -> Settings:
    quiet: dict[str, Any] = {"device": "cpu", "access_log": False, "log_level": "error"}
    return Settings(**(quiet | members))


@pytest.fixture(scope="module")
def keyed() -> Iterator[InProcess]:
    """The application with keys."""
    with InProcess(settings(api_keys=ALL)) as made:
        yield made


def ask(client: InProcess, path: str, held: Held | None) -> httpx.Response:
    """A good request for that path."""
    method, content = ("POST", COMPUTING[path]) if path in COMPUTING else ("GET", None)
    if path == "/v2/repository/index":
        method = "POST"
    return client.request(method, path, content=content, headers=held.header if held else {})


def refusal(client: InProcess, status: int, *fields: tuple[str, bytes]) -> tuple[str, str]:
    """The detail and the challenge that a request with these fields gets."""
    response = client.request("POST", "/v1/loss", content=BODY, headers=list(fields))
    return problem_of(response, status)["detail"], response.headers["www-authenticate"]


def test_refusals_are_counted_by_route() -> None:
    with InProcess(settings(api_keys=ALL)) as made:
        assert ask(made, "/v1/losses", None).status_code == 401
        assert ask(made, "/v1/limits", SCRAPER).status_code == 403
        text = ask(made, "/metrics", SCRAPER).text
    assert 'gradwire_requests_total{loss="none",method="GET",route="/v1/losses",status="401"} 1.0' in text
    assert 'gradwire_requests_total{loss="none",method="GET",route="/v1/limits",status="403"} 1.0' in text


@pytest.mark.parametrize("path", COMPUTING)
def test_what_computes_needs_the_scope_compute(keyed: InProcess, path: str) -> None:
    assert ask(keyed, path, COMPUTER).status_code == 200
    assert ask(keyed, path, None).status_code == 401
    response = ask(keyed, path, READER)
    assert problem_of(response, 403)["detail"] == "the API key lacks the scope compute; it has read"
    assert response.headers["www-authenticate"] == (
        'Bearer realm="gradwire", error="insufficient_scope", scope="compute"'
    )


@pytest.mark.parametrize("path", [*READING, "/v2/repository/index"])
def test_what_tells_of_the_service_needs_the_scope_read(keyed: InProcess, path: str) -> None:
    assert ask(keyed, path, READER).status_code == 200
    assert ask(keyed, path, None).status_code == 401
    response = ask(keyed, path, COMPUTER)
    assert problem_of(response, 403)["detail"] == "the API key lacks the scope read; it has compute"
    assert 'scope="read"' in response.headers["www-authenticate"]


def test_metrics_need_the_scope_metrics(keyed: InProcess) -> None:
    assert ask(keyed, "/metrics", None).status_code == 401
    assert ask(keyed, "/metrics", TEAM).status_code == 403
    assert ask(keyed, "/metrics", SCRAPER).status_code not in (401, 403)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_health_needs_no_key(keyed: InProcess, path: str) -> None:
    assert ask(keyed, path, None).status_code == 200
    assert keyed.request("HEAD", path).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", "/openapi.json"])
def test_the_documentation_is_public_unless_it_is_not_to_be(keyed: InProcess, path: str) -> None:
    assert ask(keyed, path, None).status_code == 200
    with InProcess(settings(api_keys=ALL, public_docs=False)) as closed:
        assert ask(closed, path, None).status_code == 401
        assert ask(closed, path, COMPUTER).status_code == 403
        assert ask(closed, path, READER).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/", "/livez/", "//livez", "/Livez", "/docs", "/v1/losses/nothing"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "POST"])
def test_whatever_else_is_asked_for_needs_a_key(keyed: InProcess, method: str, path: str) -> None:
    expected = 401 if path != "/docs" else 200 if method == "GET" else 405
    assert keyed.request(method, path).status_code == expected


def test_unknown_paths_and_methods_are_told_to_who_has_a_key(keyed: InProcess) -> None:
    assert keyed.request("POST", "/v1/los", content=BODY, headers=COMPUTER.header).status_code == 404
    assert keyed.request("GET", "/nothing", headers=READER.header).status_code == 404
    assert keyed.request("DELETE", "/v1/loss", headers=READER.header).status_code == 405


def test_without_a_key_one_is_asked_for_and_no_error_is_named(keyed: InProcess) -> None:
    detail, challenge = refusal(keyed, 401)
    assert detail == "an API key is needed: send it as Authorization: Bearer <key>"
    assert challenge == 'Bearer realm="gradwire"'


@pytest.mark.parametrize("given", [b"Basic dGVhbTpzZWNyZXQ=", b"", b"Bearer=x", b"gw_0_0", b"Digest a=b"])
def test_another_scheme_is_told_the_right_one(keyed: InProcess, given: bytes) -> None:
    detail, challenge = refusal(keyed, 401, ("authorization", given))
    assert detail == "Authorization must be of the form Bearer <key>"
    assert challenge == 'Bearer realm="gradwire"'


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"  ",
        b"x",
        b"gw_",
        TEAM.token.encode()[:-1],
        TEAM.token.encode() + b"x",
        TEAM.token.encode().swapcase(),
        TEAM.token.encode() + b", " + TEAM.token.encode(),
        "gw_é".encode(),
        b"\xff" * 65,
        b"x" * 8192,
        b"gw_" + b"0" * 8189,
    ],
    ids=range(12),
)
def test_what_is_no_key_is_invalid(keyed: InProcess, token: bytes) -> None:
    detail, challenge = refusal(keyed, 401, ("authorization", b"Bearer " + token))
    assert detail == "the API key is misspelt or incomplete"
    assert challenge == 'Bearer realm="gradwire", error="invalid_token"'


def test_a_wrong_an_unknown_an_expired_and_a_disabled_key_are_invalid(keyed: InProcess) -> None:
    other = mint()
    forged = other.token.replace(other.id, TEAM.token[3:15])
    for token, told in [
        (mint().token, "the API key is not known here"),
        (forged, "the API key is misspelt or incomplete"),
        (LATE.token, "the API key has expired"),
        (OFF.token, "the API key is disabled"),
    ]:
        detail, challenge = refusal(keyed, 401, ("authorization", b"Bearer " + token.encode()))
        assert detail == told
        assert challenge == 'Bearer realm="gradwire", error="invalid_token"'


def test_only_who_holds_the_key_is_told_that_it_is_disabled(keyed: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    minted = iter([OFF.token[3:15], "x" * 43])
    monkeypatch.setattr("service.access.token._random", lambda _size: next(minted))
    forged = mint().token  # the disabled key's id, another secret, a right checksum
    detail, _ = refusal(keyed, 401, ("authorization", b"Bearer " + forged.encode()))
    assert detail == "the API key is not known here"


def test_two_keys_are_a_malformed_request(keyed: InProcess) -> None:
    given = ("authorization", b"Bearer " + TEAM.token.encode())
    detail, challenge = refusal(keyed, 400, given, given)
    assert detail == "Authorization was sent more than once"
    assert challenge == 'Bearer realm="gradwire", error="invalid_request"'


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"Bearer "])
def test_the_scheme_is_taken_in_any_case(keyed: InProcess, scheme: bytes) -> None:
    headers = [("authorization", scheme + b" " + TEAM.token.encode())]
    assert keyed.request("POST", "/v1/loss", content=BODY, headers=headers).status_code == 200


def test_a_refusal_comes_before_the_body_is_read(keyed: InProcess) -> None:
    async def ask() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            raise AssertionError("the body was asked for")

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-length", b"1000000")]
        scope = {"type": "http", "method": "POST", "path": "/v1/loss", "headers": headers, "query_string": b""}
        await keyed.app(scope, receive, send)
        return sent

    start, _ = keyed.run(ask())
    assert start["status"] == 401


def test_the_open_inference_protocol_has_its_error_string(keyed: InProcess) -> None:
    told = problem_of(ask(keyed, "/v2/models/mse_loss/infer", None), 401)
    assert told["error"] == told["detail"]


def test_without_keys_all_may_call_and_a_key_is_ignored(client: InProcess) -> None:
    for given in ({}, TEAM.header, {"authorization": "Basic x"}):
        assert client.request("POST", "/v1/loss", content=BODY, headers=given).status_code == 200


def test_an_empty_file_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("# none yet\n")
    with InProcess(settings(api_keys_file=str(file))) as closed:
        assert ask(closed, "/v1/loss", TEAM).status_code == 401


def test_faulty_keys_stop_the_start(tmp_path: Path) -> None:
    for members, told in [
        ({"api_keys": "[["}, "GRADWIRE_API_KEYS is no TOML"),
        ({"api_keys_file": str(tmp_path / "none")}, "No such file"),
        ({"api_keys": ALL, "api_keys_file": "x"}, "both set"),
    ]:
        with pytest.raises(FaultyKeys, match=told):
            InProcess(settings(**members))


class Reloads:
    """Waits for the log to say that keys were read again."""

    def __init__(self, client: InProcess, caplog: pytest.LogCaptureFixture) -> None:
        self._client = client
        self._caplog = caplog
        logging.getLogger("gradwire.keys").addHandler(caplog.handler)

    def wait(self, level: int) -> str:
        """The message."""

        async def found() -> str:
            async with asyncio.timeout(60):
                while True:
                    for record in self._caplog.records:
                        if record.name == "gradwire.keys" and record.levelno == level:
                            self._caplog.clear()
                            return record.getMessage()
                    await asyncio.sleep(0.01)

        return self._client.run(found())


@pytest.mark.parametrize("by", ["signal", "time"])
def test_keys_are_read_again_and_a_broken_file_keeps_the_former_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    monkeypatch.setattr(access, "CHECK_SECONDS", 0.01 if by == "time" else 1e6)
    file = tmp_path / "keys.toml"
    file.write_text(TEAM.record)

    def change(text: str) -> None:
        other = tmp_path / "other"
        other.write_text(text)
        other.rename(file)
        if by == "signal":
            os.kill(os.getpid(), signal.SIGHUP)

    with InProcess(settings(api_keys_file=str(file), log_level="info")) as client:
        reloads = Reloads(client, caplog)
        assert ask(client, "/v1/loss", TEAM).status_code == 200
        assert ask(client, "/v1/losses", READER).status_code == 401
        change(READER.record)
        assert reloads.wait(logging.INFO) == "API keys were read again"
        assert ask(client, "/v1/loss", TEAM).status_code == 401
        assert ask(client, "/v1/losses", READER).status_code == 200
        change("[[keys]")
        assert "no TOML" in reloads.wait(logging.ERROR)
        assert ask(client, "/v1/losses", READER).status_code == 200
        change(TEAM.record)
        reloads.wait(logging.INFO)
        assert ask(client, "/v1/loss", TEAM).status_code == 200


def test_a_hang_up_means_what_it_did_once_the_keys_are_not_followed_any_more() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with InProcess(settings(api_keys=TEAM.record)):
            assert signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
