"""The generated clients, each made once, when it is first asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
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
def client_in(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Future[Client]]]:
    """A language's client, begun at the first call; its result may be that the test skips."""
    folder = tmp_path_factory.mktemp("clients")
    source = folder / "openapi.json"
    source.write_text(json.dumps(document))
    begun: dict[str, Future[Client]] = {}

    def make(generator: Generator) -> Client:
        made = folder / generator.language / "gradwire_client"
        made.parent.mkdir()
        return Client(generator, made, generator.generate(source, made))

    def begin(language: str) -> Future[Client]:
        if language not in begun:
            (generator,) = (one for one in GENERATORS if one.language == language)
            begun[language] = pool.submit(make, generator)
        return begun[language]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield begin
