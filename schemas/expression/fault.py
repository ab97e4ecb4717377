"""What is wrong with an expression, and where."""

from __future__ import annotations


class ExpressionFault(Exception):
    """Why a text is no expression of this language; `column` counts its characters from 1."""

    def __init__(self, column: int, detail: str) -> None:
        super().__init__(f"column {column}: {detail}")
