"""The stand-in server, and the command run against it in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from service.cli import app
from tests.evaluate.standin import StandIn, standing_in

COMMAND = get_command(app)
"""The command, made once: that takes as long as a short evaluation."""
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "_get_command", lambda _: COMMAND)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with standing_in() as state:
        yield state


@pytest.fixture
def run(standin: StandIn) -> Run:
    """`gradwire evaluate` with these arguments, on the stand-in."""

    def call(*arguments: object, exits: int = 0) -> Result:
        result = CliRunner().invoke(
            app, ["evaluate", *map(str, arguments), "--server", standin.url, "--patience", "10"]
        )
        assert result.exit_code == exits, (result.exit_code, result.output, result.stderr, result.exception)
        return result

    return call
