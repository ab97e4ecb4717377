"""Tables in Arrow's files: Parquet, and the IPC formats `.arrow` and `.feather`, files as well as streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from service.evaluate.faults import BadRow, Failed, Misused
from service.evaluate.table import EXTRA, Column

try:
    import pyarrow as pa
    import pyarrow.ipc
    import pyarrow.parquet
except ImportError:
    raise Misused(f"pyarrow is needed to read Parquet and Arrow files: {EXTRA}") from None

BROKEN = (pa.ArrowException, OSError)


class Parquet:
    """One Parquet file, read by row groups."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.paths = [path]
        try:
            self._file = pa.parquet.ParquetFile(path, memory_map=True)
        except BROKEN as error:
            raise Failed(f"{path}: this is no sound Parquet file: {error}") from None
        self.columns: list[str] = self._file.schema_arrow.names

    def count(self, columns: list[str]) -> int:
        """As in `Table`."""
        rows: int = self._file.metadata.num_rows
        return rows

    def pieces(self, columns: list[str], start: int, size: int) -> Iterator[dict[str, Column]]:
        """As in `Table`; row groups before `start` are not read."""
        begin = 0
        for group in range(self._file.metadata.num_row_groups):
            end = begin + self._file.metadata.row_group(group).num_rows
            if start < end:
                batches = self._file.iter_batches(batch_size=size, row_groups=[group], columns=columns)
                yield from _pieces(self.name, batches, columns, begin, start, size)
            begin = end


class Ipc:
    """One file of record batches: the file format (that of Feather too), or a stream."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.paths = [path]
        try:
            self.columns: list[str] = self._open().schema.names
        except BROKEN as error:
            raise Failed(f"{path}: this is no sound Arrow file: {error}") from None

    def count(self, columns: list[str]) -> None:
        """As in `Table`: only who has read it knows."""

    def pieces(self, columns: list[str], start: int, size: int) -> Iterator[dict[str, Column]]:
        """As in `Table`."""
        reader = self._open()
        stream = hasattr(reader, "read_next_batch")
        batches = iter(reader) if stream else (reader.get_batch(at) for at in range(reader.num_record_batches))
        yield from _pieces(self.name, batches, columns, 0, start, size)

    def _open(self) -> Any:
        (path,) = self.paths
        with path.open("rb") as stream:
            is_file = stream.read(6) == b"ARROW1"
        source = pa.memory_map(str(path))
        return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def _pieces(
    name: str, batches: Iterator[Any], columns: list[str], begin: int, start: int, size: int
) -> Iterator[dict[str, Column]]:
    """The columns of record batches, the first of which starts at row `begin`, from row `start` on."""
    while True:
        try:
            batch = next(batches, None)
        except BROKEN as error:
            raise Failed(f"{name}: after row {begin} it cannot be read: {error}") from None
        if batch is None:
            return
        for at in range(max(start - begin, 0), batch.num_rows, size):
            piece = batch.slice(at, size)
            yield {column: _column(name, column, piece, begin + at) for column in columns}
        begin += batch.num_rows


def _column(name: str, column: str, piece: Any, row: int) -> Column:
    places = piece.schema.get_all_field_indices(column)
    if len(places) != 1:
        raise Failed(f"{name}: there are {len(places)} columns {column}")
    try:
        return _values(piece.column(places[0]))
    except _Unfit as fault:
        raise BadRow(name, row + fault.row, column, fault.detail) from None
    except pa.ArrowException as error:
        raise Failed(f"{name}: {column} cannot be read: {error}") from None


class _Unfit(Exception):
    """A row that is null, or of another length than the first."""

    def __init__(self, row: int, detail: str) -> None:
        super().__init__(detail)
        self.row = row
        self.detail = detail


def _values(array: Any) -> Column:
    """An Arrow array as NumPy's: of lists as many dims as they are deep."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _values(array.dictionary_decode())
    if array.null_count:
        raise _Unfit(int(array.is_null().to_numpy(zero_copy_only=False).argmax()), "is null")
    if isinstance(kind, pa.FixedShapeTensorType):
        _nothing_null(array.storage.flatten(), int(np.prod(kind.shape)))
        tensors: Column = array.to_numpy_ndarray()
        return tensors
    if isinstance(kind, pa.BaseExtensionType):
        return _values(array.storage)
    if pa.types.is_fixed_size_list(kind):
        return _rows(array, kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        width = int(lengths[0]) if len(lengths) else 0
        other = np.flatnonzero(lengths != width)
        if len(other):
            at = int(other[0])
            raise _Unfit(at, f"has {lengths[at]} values, other rows have {width}; pad them to one length")
        return _rows(array, width)
    return _single(array)


def _single(array: Any) -> Column:
    """An Arrow array of numbers or texts."""
    kind = array.type
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        texts = np.empty(len(array), object)
        texts[:] = array.to_pylist()
        return texts
    values: Column = array.to_numpy(zero_copy_only=False)
    if values.dtype == object:
        raise _Unfit(0, f"has type {kind}, which is neither numbers nor texts")
    return values


def _rows(array: Any, width: int) -> Column:
    """Lists of one length."""
    try:
        values = _values(array.flatten())
    except _Unfit as fault:
        place = f"at {fault.row % width} " if width else ""
        raise _Unfit(fault.row // max(width, 1), place + fault.detail) from None
    return values.reshape(len(array), width, *values.shape[1:])


def _nothing_null(values: Any, width: int) -> None:
    if values.null_count:
        at = int(values.is_null().to_numpy(zero_copy_only=False).argmax())
        raise _Unfit(at // max(width, 1), f"at {at % max(width, 1)} is null")
