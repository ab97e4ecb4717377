"""`gradwire serve`: its options, bad ones, several workers, and its end."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.cli import app
from tests.serving import COMMAND, RunningServer, environment, serving

REQUEST = {"loss": "mse_loss", "input": [3.0], "target": [1.0]}


def test_the_first_line_tells_the_address_and_the_documentation(server: RunningServer) -> None:
    assert server.greeting.startswith("Gradwire ")
    assert f"on {server.url} " in server.greeting
    assert "/docs" in server.greeting
    assert httpx.get(f"{server.url}/docs").status_code == 200


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--device", "tpu"], "must be auto, cpu, cuda or cuda:N"),
        (["--device", "cuda:"], "must be auto, cpu, cuda or cuda:N"),
        (["--device", "cuda:99"], "'cuda:99'"),
        (["--port", "70000"], "65535"),
        (["--port", "-1"], "port"),
        (["--port", "http"], "--port"),
        (["--workers", "0"], "workers"),
        (["--nothing"], "nothing"),
        (["left", "over"], "left"),
    ],
)
def test_a_bad_option_is_told_and_fails(options: list[str], told: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["serve", *options])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_variable_is_told_by_its_name_and_fails() -> None:
    result = CliRunner(env={"GRADWIRE_MAX_ELEMENTS": "many"}).invoke(app, ["serve"])
    assert result.exit_code == 2
    assert "max_elements" in result.stderr
    assert "many" in result.stderr


def test_a_port_in_use_is_told_and_fails(server: RunningServer) -> None:
    done = subprocess.run(
        [COMMAND, "serve", "--port", str(server.port), "--device", "cpu"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode not in (0, -signal.SIGTERM)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert str(server.port) in done.stderr
    assert "in use" in done.stderr


def test_two_workers_serve_and_stop_by_sigterm() -> None:
    with serving("--workers", "2", GRADWIRE_LOG_FORMAT="json", GRADWIRE_DRAIN_SECONDS="20") as running:
        answers = {httpx.post(f"{running.url}/v1/loss", json=REQUEST, timeout=60).text for _ in range(10)}
        running.logged("engine started", times=2)
        if sys.platform == "linux":  # the parent computes nothing
            maps = Path(f"/proc/{running.process.pid}/maps").read_text()
            assert not re.search("libtorch", maps)
    assert len(answers) == 1
    assert json.loads(answers.pop())["loss"] == 4.0
    started = [line for line in running.lines if '"engine started"' in line]
    assert len(started) == 2
    assert not any("Traceback" in line for line in running.lines), running.lines


def test_workers_that_have_no_place_to_share_are_told_and_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("service.serving.run.TemporaryDirectory", full)
    environment = {"GRADWIRE_LOG_LEVEL": "error", "GRADWIRE_METRICS_DIR": ""}
    result = CliRunner(env=environment).invoke(app, ["serve", "--port", "0", "--workers", "2"])
    assert result.exit_code == 2
    assert "no space left on device" in result.stderr
    assert "Traceback" not in result.stderr
