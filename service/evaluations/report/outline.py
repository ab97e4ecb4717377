"""What a report holds, before it is a page or a text: sections of plots and tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from service.evaluations.report.numbers import NONE


@dataclass(frozen=True)
class Column:
    """One column of a table. `given` texts are the caller's, and every format guards against them."""

    title: str
    kind: Literal["text", "number", "given"] = "number"


@dataclass
class Table:
    """Rows of written cells. `about` tells what it shows; `brief` is how many rows suffice in a short report."""

    title: str
    columns: list[Column]
    rows: list[list[str]]
    about: str = ""
    brief: int = 10
    note: str = ""

    @property
    def explained(self) -> bool:
        """Whether its last column explains each row: it stands below the row where a screen is narrow."""
        return self.columns[-1].title == "meaning"

    def without_blanks(self) -> Table:
        """Without columns of callers' texts that hold nothing but dashes."""
        kept = [
            at
            for at, column in enumerate(self.columns)
            if column.kind != "given" or any(row[at] != NONE for row in self.rows)
        ]
        return replace(
            self, columns=[self.columns[at] for at in kept], rows=[[row[at] for at in kept] for row in self.rows]
        )


BESIDE = 5
"""Columns of a table that may stand beside a plot."""


@dataclass
class Plot:
    """One plot, drawn only where a format shows plots. `draw` gives an `svg` element."""

    name: str
    title: str
    about: str
    draw: Callable[[], str]


@dataclass
class Section:
    """One heading, what it is about, and what it shows."""

    name: str
    title: str
    about: str = ""
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    in_brief: bool = True

    @property
    def beside(self) -> bool:
        """Whether plots and tables fit beside each other."""
        return bool(self.plots) and bool(self.tables) and len(self.tables[0].columns) <= BESIDE


@dataclass
class Fact:
    """One line about what was evaluated: `value` is the caller's text."""

    name: str
    value: str


@dataclass
class Headline:
    """The figure that the report is about, in large; `sentence` tells it in words."""

    label: str
    value: str
    interval: str
    sentence: str


@dataclass
class Page:
    """A whole report. `title` is the caller's text, and `against`, what a comparison's baseline is called."""

    kind: str
    title: str
    facts: list[Fact]
    headline: Headline
    cards: list[tuple[str, str]]
    warnings: list[str]
    sections: list[Section]
    against: str = ""
