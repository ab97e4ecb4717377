"""The service does what its OpenAPI document says, and nothing else: schemathesis tries every operation.

It makes requests that the schemas allow and ones that they do not, other methods, other media types and missing parts,
and holds each answer to the document: status, media type, headers, schema. What it is let off is in schemathesis.toml.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.serving import RunningServer

HERE = Path(__file__).parent
BATCH = {"input": [[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]], "target": [0, 2]}


@pytest.fixture
def runs(server: RunningServer) -> dict[str, str]:
    """Runs that are there, as the environment tells of them: one that is sealed, one that takes batches."""
    metrics = ["accuracy", "f1", "auroc", "calibration_error", "confusion_matrix"]
    found = {}
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for name in ("SEALED_RUN", "OPEN_RUN"):
            made = client.post(
                "/v1/evaluations", json={"loss": "cross_entropy", "classes": 3, "metrics": metrics}
            ).json()
            found[name] = made["id"]
            assert client.post(f"/v1/evaluations/{made['id']}/batches", json=BATCH).status_code == 200
        assert client.patch(f"/v1/evaluations/{found['SEALED_RUN']}", json={"state": "sealed"}).status_code == 200
    return found


def test_every_operation_does_as_the_document_says(server: RunningServer, runs: dict[str, str]) -> None:
    # A process of its own: its way of running within pytest leans on pytest's inner parts.
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")]
    done = subprocess.run(
        [*command, "run", f"{server.url}/openapi.json", "--continue-on-failure"],
        cwd=HERE.parents[1],
        env=os.environ | runs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = httpx.get(f"{server.url}/openapi.json").json()
    operations = sum(len(item) for item in document["paths"].values())
    assert f"Tested: {operations}\n" in done.stdout, done.stdout
