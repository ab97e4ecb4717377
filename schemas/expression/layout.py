"""The geometry of an expression."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.expression.program import Program
from schemas.layout import Layout


@dataclass(slots=True)
class ExpressionLayout(Layout):
    """A layout with the program whose shapes it tells; `None` where the text is no program for these tensors."""

    program: Program | None = None
