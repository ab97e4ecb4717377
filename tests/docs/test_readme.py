"""What the README and the pages with examples show is what happens: its commands run, and answer what it says."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs import readme
from tests.needs import needs
from tests.serving import RunningServer

SHOWN = "http://127.0.0.1:8000"


SHOWN_ANSWERS = [
    shown
    for page in (readme.README, readme.WIRES, readme.GRADIENTS, readme.CHECKING, readme.AROUND)
    for shown in readme.answered(page)
]


def output(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout


def assert_same(found: Any, shown: Any) -> None:
    """Equal, numbers to 1e-6: other processors round the last digits otherwise."""
    if isinstance(shown, dict):
        assert found.keys() == shown.keys()
        for name in shown:
            assert_same(found[name], shown[name])
    elif isinstance(shown, list):
        assert len(found) == len(shown)
        for one, other in zip(found, shown, strict=True):
            assert_same(one, other)
    elif isinstance(shown, float):
        assert math.isclose(found, shown, rel_tol=1e-6, abs_tol=1e-7)
    else:
        assert found == shown


@pytest.mark.parametrize(("command", "answer"), SHOWN_ANSWERS)
def test_a_command_answers_what_is_shown(command: str, answer: str, server: RunningServer) -> None:
    needs("curl")
    assert SHOWN in command or "gradwire loss" in command
    gradwire = Path(sys.executable).parent / "gradwire"
    asked = command.replace(SHOWN, server.url).replace(".venv/bin/gradwire", str(gradwire))
    assert_same(json.loads(output(["bash", "-c", asked])), json.loads(answer))


def test_the_javascript_of_the_readme_prints_the_shown_answer(server: RunningServer) -> None:
    source = readme.of("js").replace(SHOWN, server.url)
    loss, _, gradient = output([needs("node"), "--input-type=module", "-e", source]).strip().partition(" ")
    shown = json.loads(readme.answered()[0][1])
    assert_same(float(loss), shown["loss"])
    assert_same(json.loads(gradient), shown["gradients"]["input"])


@pytest.mark.parametrize("source", [block.text for block in readme.blocks(readme.WIRES) if block.language == "js"])
def test_the_javascript_of_the_page_on_forms_prints_the_loss(source: str, server: RunningServer) -> None:
    node = needs("node")
    printed = output([node, "--input-type=module", "-e", source.replace(SHOWN, server.url)]).split()
    shown = json.loads(readme.answered()[0][1])
    assert_same([float(word) for word in printed], [shown["loss"], 6.0, shown["divisor"]])


def test_the_java_of_the_readme_prints_the_shown_answer(server: RunningServer, tmp_path: Path) -> None:
    java = needs("java")
    needs("javac")
    source = tmp_path / "AskLoss.java"
    source.write_text(readme.of("java").replace(SHOWN, server.url))
    assert_same(json.loads(output([java, str(source)])), json.loads(readme.answered()[0][1]))


def test_the_readme_lists_the_catalogue() -> None:
    assert readme.losses_table() in readme.README.read_text()
