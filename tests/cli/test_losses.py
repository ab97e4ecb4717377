"""`gradwire losses`, `gradwire openapi`, `--help` and `--version`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.losses import ALIASES, LOSSES
from service.cli import app
from tests.asgi import InProcess

WIDE = {"COLUMNS": "250", "TERM": "dumb"}


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Put back what the command sets up for a process of its own."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def run(*arguments: str) -> Any:
    """Run the command."""
    return CliRunner(env=WIDE).invoke(app, list(arguments))


def test_the_catalogue_lists_every_loss() -> None:
    result = run("losses")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for name, cls in LOSSES.items():
        assert any(
            line.split()[0] == name and all(one in line for one in cls.aliases[:1])
            for line in lines[1:]
            if line.split()
        ), name


@pytest.mark.parametrize("name", [*LOSSES, *ALIASES])
def test_one_loss_is_shown_with_its_tensors_options_and_example(name: str) -> None:
    result = run("losses", name)
    assert result.exit_code == 0
    cls = LOSSES[ALIASES.get(name, name)]
    for shown in (cls.name, *cls.aliases[:1], "reduction", *cls.tensor_fields, *cls.option_names):
        assert shown in result.stdout, shown
    example = json.loads(result.stdout[result.stdout.index('{"loss"') :])
    assert example["loss"] == cls.name


@pytest.mark.parametrize("name", [*LOSSES, "CrossEntropyLoss"])
def test_one_loss_as_json_is_the_services_entry(client: InProcess, name: str) -> None:
    assert json.loads(run("losses", name, "--json").stdout) == client.get(f"/v1/losses/{name}").json()


def test_the_catalogue_as_json_is_the_services(client: InProcess) -> None:
    assert json.loads(run("losses", "--json").stdout) == client.get("/v1/losses").json()


def test_an_unknown_loss_is_told_with_the_known_ones() -> None:
    result = run("losses", "nope")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'nope'" in result.stderr
    assert all(name in result.stderr for name in LOSSES)


def test_openapi_is_the_services_document(client: InProcess) -> None:
    result = run("openapi")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == client.get("/openapi.json").json()


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout.strip() == version("gradwire")


def test_without_a_command_the_help_is_shown() -> None:
    shown = run()
    assert "Usage" in shown.stdout + shown.stderr
    assert run("--help").exit_code == 0


@pytest.mark.parametrize("command", ["serve", "loss", "losses", "openapi", "vectors"])
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"gradwire {command}" in result.stdout


def test_the_help_names_every_command() -> None:
    text = run("--help").stdout
    assert all(command in text for command in ("serve", "loss", "losses", "openapi", "vectors"))
