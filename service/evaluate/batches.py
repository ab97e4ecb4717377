"""Batches: rows of a table as the tensors of a loss. The same file is cut into the same batches every time."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.dims import forms
from schemas.field import TensorField
from schemas.request import LossRequest
from service.evaluate.columns import chosen
from service.evaluate.faults import BadRow, Failed, Misused
from service.evaluate.files import Content
from service.evaluate.table import PIECE, Column, Table
from service.evaluate.values import Unfit, tensor, texts

MOST_ROWS: Final = 1024
MOST_ELEMENTS: Final = 1 << 20
"""Elements of a batch whose size is not told: some megabytes, well under a server's limits."""
ID: Final = re.compile(r"(?P<content>[0-9a-f]{16})-(?P<cut>[0-9a-f]{8})-(?P<start>\d{12})-(?P<stop>\d{12})")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read from every table: the columns by tensor, and those of ids and groups."""

    loss: type[LossRequest]
    tensors: dict[str, str]
    ids: str | None = None
    group: str | None = None
    classes: tuple[str, ...] | None = None

    def digest(self, batch_size: int) -> str:
        """What tells these columns, and this cut into batches, from others."""
        told = [self.loss.name, self.tensors, self.ids, self.group, self.classes, batch_size]
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=4).hexdigest()

    def columns(self, table: Table) -> dict[str, list[str]]:
        """The table's columns by tensor. Raises `Misused` for one that it does not have."""
        for wanted in (self.ids, self.group):
            if wanted is not None and chosen(wanted, table.columns, table.name) != [wanted]:
                raise Misused(f"{table.name}: {wanted!r} is more than one column")
        return {name: chosen(wanted, table.columns, table.name) for name, wanted in self.tensors.items()}


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a table: each tensor as the loss takes it, and each row's id and group where there are any.

    `axes`: the dim of each tensor along which its rows lie.
    """

    id: str
    table: str
    start: int
    stop: int
    tensors: dict[str, NDArray[Any]]
    axes: dict[str, int]
    ids: list[str] | None
    groups: list[str] | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as read: tensors with their rows first."""

    start: int
    tensors: dict[str, NDArray[Any]]
    ids: list[str] | None
    groups: list[str] | None

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def cut(self, begin: int, end: int) -> Rows:
        """Some of them, counted from the first here."""
        return Rows(
            self.start + begin,
            {name: rows[begin:end] for name, rows in self.tensors.items()},
            self.ids and self.ids[begin:end],
            self.groups and self.groups[begin:end],
        )


def rows(reading: Reading, table: Table, start: int = 0, size: int = PIECE) -> Iterator[Rows]:
    """A table's rows from `start` on, up to `size` at once. Raises `BadRow`, `Misused` and `Failed`."""
    columns = reading.columns(table)
    beside = [name for name in (reading.ids, reading.group) if name is not None]
    wanted = list(dict.fromkeys([name for names in columns.values() for name in names] + beside))
    classes = {name: at for at, name in enumerate(reading.classes)} if reading.classes is not None else None
    for piece in table.pieces(wanted, start, size):
        fields = reading.loss.tensor_fields
        read = _Converted(table.name, start, piece)
        made = {name: read.tensor(columns[name], fields[name], classes) for name in columns}
        found = Rows(start, made, read.texts(reading.ids, "sample id"), read.texts(reading.group, "group"))
        yield found
        start += len(found)


@dataclass(frozen=True, slots=True)
class _Converted:
    """A piece of a table, whose rows' faults are told by file and row."""

    file: str
    start: int
    piece: dict[str, Column]

    def tensor(self, names: list[str], field: TensorField, classes: dict[str, int] | None) -> NDArray[Any]:
        try:
            return tensor([self.piece[name] for name in names], field, classes)
        except Unfit as fault:
            raise self._told(fault, names) from None

    def texts(self, name: str | None, what: str) -> list[str] | None:
        if name is None:
            return None
        try:
            return texts(self.piece[name], what)
        except Unfit as fault:
            raise self._told(fault, [name]) from None

    def _told(self, fault: Unfit, names: list[str]) -> Failed:
        name = names[fault.part]
        if fault.row is None:
            return Failed(f"{self.file}: {name} {fault.detail}")
        return BadRow(self.file, self.start + fault.row, name, fault.detail)


def batch_size(first: Rows) -> int:
    """How many rows a batch has where that is not told: fewer where rows are large."""
    row = sum(math.prod(array.shape[1:]) for array in first.tensors.values())
    return max(1, min(MOST_ROWS, 1 << (MOST_ELEMENTS // max(row, 1)).bit_length() >> 1))


def batches(reading: Reading, table: Table, content: Content, size: int, sent: set[int]) -> Iterator[Batch]:
    """A table's batches but those whose first row is in `sent`; rows before the first that is not are not read."""
    start = 0
    while start in sent:
        start += size
    prefix = f"{content.digest}-{reading.digest(size)}"
    kept: list[Rows] = []
    held = 0
    for piece in rows(reading, table, start, min(size, PIECE)):
        at = 0
        while at < len(piece):
            end = min(len(piece), at + size - held)
            kept.append(piece.cut(at, end))
            held += end - at
            at = end
            if held == size:
                if kept[0].start not in sent:
                    yield _batch(reading, table.name, prefix, kept)
                kept, held = [], 0
    if kept and kept[0].start not in sent:
        yield _batch(reading, table.name, prefix, kept)


def _batch(reading: Reading, table: str, prefix: str, kept: list[Rows]) -> Batch:
    start, stop = kept[0].start, kept[-1].start + len(kept[-1])
    axes = {name: sample_axis(reading.loss.tensor_fields[name]) for name in reading.tensors}
    tensors = {}
    for name in reading.tensors:
        arrays = [part.tensors[name] for part in kept]
        for part in kept:
            if part.tensors[name].shape[1:] != arrays[0].shape[1:]:
                told = f"has shape {list(part.tensors[name].shape[1:])}, rows before have {list(arrays[0].shape[1:])}"
                raise BadRow(table, part.start, name, f"{told}; pad them to one")
        whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        tensors[name] = np.moveaxis(whole, 0, axes[name])
    ids = [one for part in kept for one in part.ids or ()] if reading.ids is not None else None
    groups = [one for part in kept for one in part.groups or ()] if reading.group is not None else None
    return Batch(f"{prefix}-{start:012}-{stop:012}", table, start, stop, tensors, axes, ids, groups)


def sample_axis(field: TensorField) -> int:
    """The dim of a tensor along which its samples lie: of `T N C` the second."""
    form = forms(field.dims)[-1]
    return form.index("N") if "N" in form else 0


def by_rows(field: TensorField) -> bool:
    """Whether a tensor has rows, as against one that all batches share, such as class weights."""
    form = forms(field.dims)[-1]
    return not field.dims or "N" in form or any(token.startswith("*") for token in form[:1])
