"""The README and pages with examples as data: their code blocks, and the table of losses that it must hold."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from schemas.catalogue import catalogue

README = Path(__file__).parents[2] / "README.md"
WIRES = README.parent / "docs" / "wires.md"
GRADIENTS = README.parent / "docs" / "gradients.md"
CHECKING = README.parent / "docs" / "checking.md"
AROUND = README.parent / "docs" / "around-a-loss.md"


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(page: Path = README) -> list[Block]:
    """Every fenced block with a language, in order."""
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)]


def of(language: str) -> str:
    """The text of the one block in that language."""
    (found,) = [block.text for block in blocks() if block.language == language]
    return found


def answered(page: Path = README) -> list[tuple[str, str]]:
    """Shell commands that are followed by their answer."""
    return [
        (command.text, answer.text)
        for command, answer in pairwise(blocks(page))
        if command.language == "sh" and answer.language == "json"
    ]


def losses_table() -> str:
    """The table of losses, from the catalogue."""
    families: dict[str, list[str]] = {}
    for entry in catalogue().losses:
        families.setdefault(entry.family, []).append(f"`{entry.name}`")
    rows = [f"| {family} | {', '.join(names)} |\n" for family, names in families.items()]
    return "| family | losses |\n|---|---|\n" + "".join(rows)
