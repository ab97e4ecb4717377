"""Columns as a loss's tensors, as sample ids and as groups."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.field import TensorField
from service.evaluate.table import Column

INT64: Final = np.iinfo(np.int64)
LARGEST_WHOLE: Final = 2**53
"""Floating-point numbers below it are exact whole numbers where they are whole."""
BOOLEANS: Final = {"true": True, "false": False, "True": True, "False": False, "1": True, "0": False}
SHOWN: Final = 40


class Unfit(Exception):
    """A row, counted in its piece, that has no such value; `row` is None where the whole column has not.

    `part` is the column's place among those of its tensor.
    """

    def __init__(self, row: int | None, detail: str, part: int = 0) -> None:
        super().__init__(detail)
        self.row = row
        self.detail = detail
        self.part = part


def tensor(parts: list[Column], field: TensorField, classes: dict[str, int] | None) -> NDArray[Any]:
    """The rows of a tensor: one column as it is, several side by side as its second dim.

    Class indices may be texts: names of classes, or numbers. Raises `Unfit`.
    """
    whole = field.kind in ("index", "integer")
    if field.probabilities and (len(parts) > 1 or parts[0].ndim > 1):
        whole = whole and all(part.dtype.kind in "iub" for part in parts)
    names = classes if field.kind == "index" else None
    read = []
    for at, part in enumerate(parts):
        try:
            read.append(_numbers(part, mask=field.kind == "mask", whole=whole, names=names))
        except Unfit as fault:
            raise Unfit(fault.row, fault.detail, at) from None
    if len(read) == 1:
        return read[0]
    if any(part.ndim > 1 for part in read):
        raise Unfit(None, "several columns are one tensor only where each holds single numbers")
    return np.stack(read, axis=1)


def texts(column: Column, what: str) -> list[str]:
    """The texts of a column of ids or names of groups; whole numbers are written out. Raises `Unfit`."""
    if column.ndim != 1:
        raise Unfit(0, f"is no {what}, but a list")
    if column.dtype == object or column.dtype.kind in "iub":
        return [str(value) for value in column.tolist()]
    raise Unfit(None, f"has type {column.dtype}; a {what} is a text or a whole number")


def _numbers(column: Column, *, mask: bool, whole: bool, names: dict[str, int] | None) -> NDArray[Any]:
    if column.dtype == object:
        return _of_texts(column, mask=mask, whole=whole, names=names)
    kind = column.dtype.kind
    if kind == "b":
        return column if mask else column.astype(np.uint8)
    if kind == "u" and column.dtype != np.uint8:
        beyond = column > INT64.max
        if beyond.any():
            at, value = _first(beyond, column)
            raise Unfit(at, f"is {value}, which no int64 holds")
        return column.astype(np.int64)
    if kind == "i" or column.dtype == np.uint8:
        return column
    if kind in "OMmSUVc" and column.dtype.name != "bfloat16":
        raise Unfit(None, f"has type {column.dtype}, which are no real numbers")
    if column.dtype.name not in ("float16", "float32", "float64", "bfloat16"):
        raise Unfit(None, f"has type {column.dtype}; the service takes float16, bfloat16, float32 and float64")
    return _as_whole(column) if whole or mask else column


def _as_whole(column: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers that were written as floating-point ones, as pandas does where a value was missing."""
    numbers = column.astype(np.float64)
    with np.errstate(invalid="ignore"):
        broken = ~((np.trunc(numbers) == numbers) & (np.abs(numbers) < LARGEST_WHOLE))
    if broken.any():
        at, value = _first(broken, numbers)
        raise Unfit(at, f"is {value}, where a whole number is needed")
    return numbers.astype(np.int64)


def _of_texts(column: Column, *, mask: bool, whole: bool, names: dict[str, int] | None) -> NDArray[Any]:
    cells = column.tolist()
    if cells and cells[0].lstrip().startswith("["):
        return _numbers(_lists(cells), mask=mask, whole=whole, names=None)
    if mask:
        return np.array([_boolean(at, cell) for at, cell in enumerate(cells)], np.bool_)
    if whole:
        return np.array([_index(at, cell, names) for at, cell in enumerate(cells)], np.int64)
    try:
        return column.astype(np.float64)
    except ValueError:
        for at, cell in enumerate(cells):
            try:
                float(cell)
            except ValueError:
                raise Unfit(at, f"is {_shown(cell)}, which is no number") from None
        raise


def _boolean(at: int, cell: str) -> bool:
    found = BOOLEANS.get(cell.strip())
    if found is None:
        raise Unfit(at, f"is {_shown(cell)}; true, false, 1 and 0 are taken")
    return found


def _index(at: int, cell: str, names: dict[str, int] | None) -> int:
    if names is not None and cell in names:
        return names[cell]
    try:
        found = int(cell)
    except ValueError:
        try:
            number = float(cell)
            found = int(number)
        except (ValueError, OverflowError):
            hint = "the class names do not have it" if names else "tell the names by --classes, in the logits' order"
            raise Unfit(at, f"is {_shown(cell)}, which is no whole number; {hint}") from None
        if found != number or abs(number) >= LARGEST_WHOLE:
            raise Unfit(at, f"is {_shown(cell)}, where a whole number is needed") from None
    if not INT64.min <= found <= INT64.max:
        raise Unfit(at, f"is {_shown(cell)}, which no int64 holds")
    return found


def _lists(cells: list[str]) -> NDArray[Any]:
    """Cells that hold lists as JSON writes them."""
    rows: list[NDArray[Any]] = []
    for at, cell in enumerate(cells):
        try:
            row = np.array(orjson.loads(cell))
        except ValueError:  # no JSON, or ragged within
            raise Unfit(at, f"is {_shown(cell)}, which is no list of numbers") from None
        if row.dtype.kind not in "iuf" and row.size:
            raise Unfit(at, f"is {_shown(cell)}, which is no list of numbers")
        if rows and row.shape != rows[0].shape:
            raise Unfit(at, f"has shape {list(row.shape)}, other rows have {list(rows[0].shape)}; pad them to one")
        rows.append(row)
    return np.stack(rows)


def _first(broken: NDArray[np.bool_], values: NDArray[Any]) -> tuple[int, Any]:
    """The row of the first broken value, and the value."""
    place = np.unravel_index(int(broken.argmax()), broken.shape)
    return int(place[0]), values[place]


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= SHOWN else cell[: SHOWN - 3] + "...")
