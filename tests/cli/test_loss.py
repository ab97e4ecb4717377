"""`gradwire loss`: the service's answer without the service."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.catalogue import example
from schemas.losses import LOSSES
from service.cli import app
from tests.asgi import InProcess
from tests.serving import COMMAND, environment

REQUESTS = [example(cls) for cls in LOSSES.values()] + [
    {"loss": "mse_loss", "input": ["NaN", 2.0], "target": [1.0, 1.0], "reduction": "none", "encoding": "base64"},
]
FAULTY = {
    "a fault": b'{"loss": "mse_loss", "input": [1.0], "target": [1.0, 2.0], "extra": 1}',
    "no JSON": b"[1, 2",
    "an unknown loss": b'{"loss": "nope"}',
}


@pytest.mark.parametrize("request_", REQUESTS, ids=[str(one["loss"]) for one in REQUESTS])
def test_the_answer_is_the_services_byte_for_byte(client: InProcess, request_: dict[str, object]) -> None:
    body = json.dumps(request_).encode()
    result = CliRunner().invoke(app, ["loss", "-", "--device", "cpu"], input=body)
    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes == client.post(body).content + b"\n"
    assert result.stderr == ""


def test_a_file_is_read(client: InProcess, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUESTS[0]))
    done = subprocess.run(
        [COMMAND, "loss", str(file), "--device", "cpu"], capture_output=True, env=environment(), check=True
    )
    assert done.stdout == client.post(file.read_bytes()).content + b"\n"
    assert done.stderr == b""


@pytest.mark.parametrize("body", FAULTY.values(), ids=FAULTY)
def test_a_faulty_request_prints_its_problem_on_standard_error(client: InProcess, body: bytes) -> None:
    result = CliRunner().invoke(app, ["loss", "-"], input=body)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr_bytes == client.post(body).content + b"\n"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "nothing.json"
    result = CliRunner().invoke(app, ["loss", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(file) in result.stderr
    assert "No such file" in result.stderr


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["loss", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(tmp_path) in result.stderr


def test_a_bad_device_is_told() -> None:
    result = CliRunner().invoke(app, ["loss", "-", "--device", "tpu"], input=b"{}")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "tpu" in result.stderr


def test_the_limits_hold_here_too() -> None:
    result = CliRunner(env={"GRADWIRE_MAX_ELEMENTS": "2"}).invoke(app, ["loss", "-"], input=json.dumps(REQUESTS[0]))
    assert result.exit_code == 1
    assert json.loads(result.stderr)["status"] == 413
