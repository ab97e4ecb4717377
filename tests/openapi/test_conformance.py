"""The service does what its OpenAPI document says, and nothing else: schemathesis tries every operation.

It makes requests that the schemas allow and ones that they do not, other methods, other media types and missing parts,
and holds each answer to the document: status, media type, headers, schema. What it is let off is in schemathesis.toml.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from tests.serving import RunningServer

HERE = Path(__file__).parent


def test_every_operation_does_as_the_document_says(server: RunningServer) -> None:
    # A process of its own: its way of running within pytest leans on pytest's inner parts.
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")]
    done = subprocess.run(
        [*command, "run", f"{server.url}/openapi.json", "--continue-on-failure"],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = httpx.get(f"{server.url}/openapi.json").json()
    operations = sum(len(item) for item in document["paths"].values())
    assert f"Tested: {operations}\n" in done.stdout, done.stdout
