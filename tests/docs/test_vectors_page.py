"""docs/vectors.md: its example runs, and what it says of the form is so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from schemas.vectors.answer import Kind, Vector, Vectors
from tests.docs import readme
from tests.needs import needs
from tests.vectors.made import made

PAGE = readme.README.parent / "docs" / "vectors.md"


def listed(title: str) -> list[str]:
    """The first column of the table under that head."""
    text = PAGE.read_text()
    rows = text[text.index(f"| {title} |") :].split("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_the_page_lists_every_kind_and_every_member() -> None:
    assert listed("kind") == list(get_args(Kind))
    assert listed("member") == list(Vectors.model_fields)
    text = PAGE.read_text().partition("A case:\n")[2]
    rows = text.strip().split("\n\n")[0].splitlines()[2:]
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])] == list(Vector.model_fields)


@pytest.fixture
def example(tmp_path: Path) -> tuple[list[str], Path]:
    (source,) = [block.text for block in readme.blocks(PAGE) if block.language == "js"]
    script, file = tmp_path / "huber.mjs", tmp_path / "huber_loss.json"
    script.write_text(source)
    file.write_bytes(made("huber_loss").as_json())
    return [needs("node"), str(script), str(file)], script


def test_the_javascript_of_the_page_meets_the_vectors(example: tuple[list[str], Path]) -> None:
    command, _ = example
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    met = int(re.fullmatch(r"(\d+) vectors met\n", done.stdout)[1])  # type: ignore[index] # fails where it does not match
    assert met >= 30


@pytest.mark.parametrize(
    ("right", "wrong"), [("(e * e) / 2", "e * e"), ("1 / x.length", "1"), ("Math.min(delta, e)", "e")]
)
def test_a_wrong_javascript_does_not_meet_them(example: tuple[list[str], Path], right: str, wrong: str) -> None:
    command, script = example
    source = script.read_text()
    assert source.count(right) == 1
    script.write_text(source.replace(right, wrong))
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "is right" in done.stderr
