"""A real server whose worker dies, and one whose device is lost."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.http.ending import EXIT_CODE
from tests.serving import environment


@pytest.fixture
def faulty() -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Uvicorn with the application of `faulty_app`, and a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-m", "uvicorn", "--factory", "tests.e2e.faulty_app:make"]
        address = "http://{}:{}".format(*listening.getsockname())
        descriptor = listening.fileno()
        with subprocess.Popen(
            [*command, "--fd", str(descriptor)],
            pass_fds=[descriptor],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                with httpx.Client(base_url=address, timeout=60) as client:
                    client.get("/livez").raise_for_status()
                    yield process, client
            finally:
                process.kill()


def ask(client: httpx.Client, value: float) -> httpx.Response:
    body: dict[str, Any] = {"loss": "mse_loss", "input": [value], "target": [1.0]}
    return client.post("/v1/loss", json=body)


def test_a_server_whose_worker_dies_amid_a_batch_is_ready_again_within_five_seconds(
    faulty: tuple[subprocess.Popen[str], httpx.Client],
) -> None:
    _, client = faulty
    for _ in range(3):
        failed = ask(client, 13.0)
        assert failed.status_code == 503
        assert failed.headers["retry-after"].isdigit()
        assert client.get("/readyz", timeout=5).status_code == 200
        assert ask(client, 3.0).json()["loss"] == 4.0


def test_a_server_whose_device_is_lost_says_so_and_ends_to_be_replaced(
    faulty: tuple[subprocess.Popen[str], httpx.Client],
) -> None:
    process, client = faulty
    assert ask(client, 14.0).status_code == 503
    assert process.stderr is not None
    log = process.stderr.read()
    assert process.wait(60) == EXIT_CODE == 70
    assert "the device is lost" in log
