"""What every kind of file is read as: named columns of rows, in pieces of bounded size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from service.evaluate.faults import Failed, Misused

Column = NDArray[Any]
"""Numbers of shape `rows *D`, or texts: `rows` of type object, each a `str`. Nothing is null."""

PIECE: Final = 1024
"""Rows that are read at once, unless a batch has fewer."""

EXTRA: Final = "pip install 'gradwire[evaluate]'"


class Table(Protocol):
    """A table in a file, or in several that belong together."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def paths(self) -> list[Path]:
        """The files that it lies in."""

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""

    def count(self, columns: list[str]) -> int | None:
        """How many rows those columns have, where that is known without reading them."""

    def pieces(self, columns: list[str], start: int, size: int) -> Iterator[dict[str, Column]]:
        """Those columns from row `start` on, up to `size` rows at once.

        Raises `BadRow` for nulls and for rows of different lengths, `Failed` where the file is broken.
        """


class Slices(ABC):
    """A table whose arrays can be cut by rows: pieces are cut one after the other."""

    def __init__(self, name: str, paths: list[Path], shapes: dict[str, tuple[int, ...]]) -> None:
        self.name = name
        self.paths = paths
        self.shapes = shapes
        self.columns = list(shapes)

    def count(self, columns: list[str]) -> int | None:
        """As in `Table`."""
        shape = self.shapes[columns[0]]
        return shape[0] if shape else None

    @abstractmethod
    def opened(self, columns: list[str], stack: ExitStack) -> dict[str, Callable[[int, int], NDArray[Any]]]:
        """For each column what gives its rows from one to another; asked for in order, until the stack is left."""

    def pieces(self, columns: list[str], start: int, size: int) -> Iterator[dict[str, Column]]:
        """As in `Table`."""
        if not columns:
            raise Misused(f"{self.name}: no column is asked for")
        for column in columns:
            if not self.shapes[column]:
                raise Failed(f"{self.name}: {column} is a single number, no column")
        sizes = {column: self.shapes[column][0] for column in columns}
        rows = sizes[columns[0]]
        if set(sizes.values()) != {rows}:
            told = ", ".join(f"{column} {count}" for column, count in sizes.items())
            raise Failed(f"{self.name}: the arrays have different numbers of rows: {told}")
        with ExitStack() as stack:
            takes = self.opened(columns, stack)
            for begin in range(start, rows, size):
                end = min(begin + size, rows)
                yield {column: plain(take(begin, end)) for column, take in takes.items()}


def plain(array: NDArray[Any]) -> Column:
    """Texts as objects, numbers in the byte order of this machine."""
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise Failed(f"a text is no UTF-8: {error}") from None
    if array.dtype.kind in "UT":
        return array.astype(object)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array
