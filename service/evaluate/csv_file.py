"""Tables in CSV files, also compressed: every cell is a text, which what it is read for makes a number.

Guessing types from a file's first rows is what other readers do, and where they fail: ids lose their zeros, and a later
row has another type.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from service.evaluate.faults import BadRow, Failed
from service.evaluate.table import Column

LONGEST_CELL = 1 << 24
"""Characters of a cell: one may hold a list of numbers."""


class Csv:
    """One CSV file: its first line names the columns; empty lines are no rows."""

    def __init__(self, path: Path, delimiter: str = ",") -> None:
        self.name = str(path)
        self.paths = [path]
        self._delimiter = delimiter
        csv.field_size_limit(LONGEST_CELL)
        with self._open() as stream:
            head = next(self._lines(stream), None)
        if head is None:
            raise Failed(f"{self.name}: the file is empty")
        self.columns = head

    def count(self, columns: list[str]) -> None:
        """As in `Table`: only who has read it knows."""

    def pieces(self, columns: list[str], start: int, size: int) -> Iterator[dict[str, Column]]:
        """As in `Table`; each column is texts."""
        for column in columns:
            if self.columns.count(column) > 1:
                raise Failed(f"{self.name}: there are {self.columns.count(column)} columns {column}")
        places = [self.columns.index(column) for column in columns]
        with self._open() as stream:
            lines = self._lines(stream)
            next(lines)
            row = sum(1 for _ in islice(lines, start))
            while piece := list(islice(lines, size)):
                for at, cells in enumerate(piece):
                    if len(cells) != len(self.columns):
                        told = f"has {len(cells)} cells, the first line has {len(self.columns)}"
                        raise BadRow(self.name, row + at, "it", told)
                yield {
                    column: self._texts(column, [cells[place] for cells in piece], row)
                    for column, place in zip(columns, places, strict=True)
                }
                row += len(piece)

    def _texts(self, column: str, cells: list[str], row: int) -> Column:
        if "" in cells:
            raise BadRow(self.name, row + cells.index(""), column, "is empty")
        texts = np.empty(len(cells), object)
        texts[:] = cells
        return texts

    def _open(self) -> TextIO:
        (path,) = self.paths
        stream = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 - its caller closes it
        return io.TextIOWrapper(stream, "utf-8-sig", newline="")

    def _lines(self, stream: TextIO) -> Iterator[list[str]]:
        lines = csv.reader(stream, delimiter=self._delimiter, strict=True)
        try:
            yield from filter(None, lines)
        except (csv.Error, UnicodeDecodeError, OSError, EOFError) as error:
            raise Failed(f"{self.name}, line {lines.line_num}: {error}") from None
