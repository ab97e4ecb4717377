"""Keys and quotas of a real service: over several workers, in its log, and while it runs."""

from __future__ import annotations

import json
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.keys import key
from tests.serving import RunningServer, serving

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
TEAM, NEXT = key("team-a"), key("team-b")
OFF = key("off", disabled=True)


def post(server: RunningServer, headers: dict[str, str]) -> httpx.Response:
    """A loss, on a connection of its own."""
    return httpx.post(f"{server.url}/v1/loss", content=BODY, headers=headers, timeout=60)


def test_workers_share_a_quota() -> None:
    limited = key("limited", requests_per_second=0.001, requests_burst=20)
    with serving("--workers", "2", GRADWIRE_API_KEYS=limited.record, GRADWIRE_LOG_FORMAT="json") as server:
        server.logged("engine started", times=2)
        with ThreadPoolExecutor(4) as callers:
            statuses = Counter(
                one.status_code for one in callers.map(lambda _: post(server, limited.header), range(60))
            )
        assert statuses == {200: 20, 429: 40}


def test_the_log_names_callers_and_holds_no_key() -> None:
    keys = TEAM.record + OFF.record
    with serving(GRADWIRE_API_KEYS=keys, GRADWIRE_LOG_FORMAT="json", GRADWIRE_LOG_LEVEL="debug") as server:
        for name, headers in [
            ("off", OFF.header),
            ("good", TEAM.header),
            ("none", {}),
            ("wrong", NEXT.header),
            ("cut", {"authorization": f"Bearer {TEAM.token[:-3]}"}),
        ]:
            post(server, {**headers, "x-request-id": name})
    entries = {entry["request_id"]: entry for entry in map(json.loads, server.lines) if "request_id" in entry}
    assert entries["good"]["caller"] == "team-a"
    assert entries["good"]["status"] == 200
    assert (entries["off"]["status"], entries["off"]["caller"]) == (401, "off")
    for name in ("none", "wrong", "cut"):
        assert entries[name]["status"] == 401
        assert "caller" not in entries[name]
    secrets = [held.token[16:40] for held in (TEAM, NEXT, OFF)]
    assert not [line for line in server.lines if any(secret in line for secret in secrets)]


def test_a_hang_up_signal_has_keys_read_again(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(TEAM.record)
    with serving(GRADWIRE_API_KEYS_FILE=str(file)) as server:
        assert post(server, NEXT.header).status_code == 401
        file.write_text(TEAM.record + NEXT.record)
        server.process.send_signal(signal.SIGHUP)
        server.logged("API keys were read again")
        assert post(server, NEXT.header).status_code == 200
        assert post(server, TEAM.header).status_code == 200


def test_a_large_body_without_a_key_is_refused_before_it_is_sent() -> None:
    with serving(GRADWIRE_API_KEYS=TEAM.record) as server:
        for path in ("/v1/loss", "/v1/loss/batch", "/v2/models/mse_loss/infer"):
            with socket.create_connection((server.host, server.port), timeout=60) as caller:
                head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"
                caller.sendall(head.encode())
                assert caller.recv(65536).startswith(b"HTTP/1.1 401 ")  # no 100 before it
