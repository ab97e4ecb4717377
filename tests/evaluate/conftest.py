"""The stand-in server, and the command run against it in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from tests.evaluate.standin import StandIn, standing_in

Run = Callable[..., Result]


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
