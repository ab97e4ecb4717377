"""docs/evaluate.md: its commands are taken, and its tables list what there is."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main

from service import evaluate_commands
from service.cli import app
from service.evaluate.columns import chosen
from service.evaluate.files import KINDS
from service.evaluate.thresholds import parsed
from tests.docs import readme

COMMAND = re.compile(r"gradwire (evaluate (?:\\\n|.)*)")
PAGE = readme.README.parent / "docs" / "evaluate.md"


def cells(title: str) -> list[str]:
    """The first cells of the table under that head."""
    text = PAGE.read_text()
    rows = text[text.index(f"| {title} |") :].split("\n\n")[0].splitlines()[2:]
    return [row.split("|")[1] for row in rows]


def commands() -> list[list[str]]:
    """The arguments of every `gradwire evaluate` in a fenced block."""
    texts = [text for block in readme.blocks(PAGE) for text in re.findall(COMMAND, block.text)]
    return [shlex.split(text.replace("\\\n", " ")) for text in texts]


def test_every_command_of_the_page_is_taken() -> None:
    command = typer.main.get_command(app).commands["evaluate"]  # type: ignore[attr-defined] # a group
    assert len(commands()) == 3
    for _, *arguments in commands():
        with command.make_context("evaluate", arguments) as context:
            assert context.params["files"]
            for condition in context.params["fail_if"] or ():
                parsed(condition)


def test_every_option_of_the_page_is_there() -> None:
    command = typer.main.get_command(app).commands["evaluate"]  # type: ignore[attr-defined] # a group
    options = {name for one in command.params for name in one.opts if name.startswith("--")}
    named = set(re.findall(r"--[a-z][a-z-]*", PAGE.read_text()))
    assert named <= options | {"--help"}


def test_every_kind_of_file_and_exit_code_is_listed() -> None:
    suffixes = set(re.findall(r"`(\.\w+)`", " ".join(cells("suffix"))))
    assert suffixes == {"." + kind.split(".")[-1] for kind in KINDS.split(", ")}
    codes = [int(code) for code in cells("exit code")]
    assert codes == [
        0,
        evaluate_commands.THRESHOLD_PASSED,
        evaluate_commands.MISUSED,
        evaluate_commands.FAILED,
        evaluate_commands.INTERRUPTED,
    ]


@pytest.mark.parametrize("at", range(5))
def test_every_form_of_a_column_is_read(at: int) -> None:
    wanted = cells("COLUMN")[at].strip().strip("`")
    columns = ["a", "b", "logits", *[f"logits_{number}" for number in range(10)]]
    if at == 4:
        columns.remove("logits")
    assert set(chosen(wanted, columns, "f")) <= set(columns)
