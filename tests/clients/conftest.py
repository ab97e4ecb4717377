"""The six generated clients, made once, side by side."""

from __future__ import annotations

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.asgi import InProcess
from tests.clients.generating import GENERATORS, Client, Generator


@pytest.fixture(scope="session")
def document(client: InProcess) -> dict[str, Any]:
    """GET /openapi.json."""
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


@pytest.fixture(scope="session")
def clients(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[Client]]:
    """The clients by language; a result may be that the test skips."""
    folder = tmp_path_factory.mktemp("clients")
    source = folder / "openapi.json"
    source.write_text(json.dumps(document))

    def make(generator: Generator) -> Client:
        made = folder / generator.language / "gradwire_client"
        made.parent.mkdir()
        return Client(generator, made, generator.generate(source, made))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {generator.language: pool.submit(make, generator) for generator in GENERATORS}
