"""What is wrong with an expression, and where."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

MAX_LISTED: Final = 20
"""Known names that a fault tells."""


class ExpressionFault(Exception):
    """Why a text is no expression of this language; `column` counts its characters from 1."""

    def __init__(self, column: int, detail: str) -> None:
        super().__init__(f"column {column}: {detail}")


def column_of(tree: ast.AST) -> int:
    """Where a part of the tree begins in the text, which has a bracket less."""
    return max(getattr(tree, "col_offset", 1), 1)


def unknown(column: int, what: str, name: str, known: Sequence[str], besides: Iterable[str]) -> ExpressionFault:
    """That there is no tensor, constant or function of that name, and which there are; `besides`: words likewise."""
    near = get_close_matches(name[:64], known, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    shown = name if len(name) <= 40 else f"{name[:37]}..."
    return ExpressionFault(column, f"there is no {what} {shown}{meant}; there are {listed((*known, *besides))}")


def listed(names: Iterable[str]) -> str:
    """The first of these names by the alphabet, and how many more there are."""
    found = sorted(names)
    more = f" and {len(found) - MAX_LISTED} more" if len(found) > MAX_LISTED else ""
    return ", ".join(found[:MAX_LISTED]) + more
