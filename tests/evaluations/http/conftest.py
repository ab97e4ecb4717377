"""The application with a database of its own, and runs in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from service.settings import Settings
from tests.asgi import InProcess

INPUT = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [1.5, -0.25, 0.75]], np.float32)
TARGET = np.array([0, 2, 1])
MEMBERS: dict[str, Any] = {"input": INPUT.tolist(), "target": TARGET.tolist()}
"""A batch of three samples for cross entropy."""
PATH = "/v1/evaluations"


class Evaluations(InProcess):
    """A client of an application that stores evaluations."""

    def __init__(self, url: str, **settings: Any) -> None:
        super().__init__(
            Settings(device="cpu", access_log=False, log_level="error", database_url=SecretStr(url), **settings)
        )

    def made(self, **members: Any) -> str:
        """The id of a new run; of cross entropy, if not said otherwise."""
        answer = self.request("POST", PATH, json={"loss": "cross_entropy", **members})
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found

    def send(self, run: str, **members: Any) -> httpx.Response:
        """A batch, in JSON."""
        return self.request("POST", f"{PATH}/{run}/batches", json=members)

    def added(self, run: str, **members: Any) -> dict[str, Any]:
        """The answer to a batch that is taken."""
        answer = self.send(run, **members)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def results(self, run: str) -> dict[str, Any]:
        """What the report has under `results`."""
        answer = self.request("GET", f"{PATH}/{run}/report")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["results"]
        return found


@pytest.fixture(scope="session")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluations]:
    """One application for all tests: each makes runs of its own."""
    folder: Path = tmp_path_factory.mktemp("evaluations")
    with Evaluations(f"sqlite:///{folder}/evaluations.db") as made:
        yield made
