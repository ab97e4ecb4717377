"""Tables in NumPy's files: `.npz`, whose arrays are columns; `.npy`, each a column that bears the file's name."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.evaluate.faults import Failed, Misused
from service.evaluate.table import Slices

BROKEN: Final = (OSError, ValueError, EOFError, zipfile.BadZipFile)
"""What NumPy and the standard library raise at a broken file."""


class Npz(Slices):
    """The arrays of one `.npz`, compressed or not, read as streams: none is ever whole in memory."""

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                heads = {}
                for member in archive.namelist():
                    with archive.open(member) as stream:
                        heads[member.removesuffix(".npy")] = _head(stream)
        except BROKEN as error:
            raise Failed(f"{path}: this is no sound .npz: {error}") from None
        self._heads = heads
        super().__init__(str(path), [path], {name: shape for name, (shape, _, _) in heads.items()})

    def opened(self, columns: list[str], stack: ExitStack) -> dict[str, Callable[[int, int], NDArray[Any]]]:
        """Streams of the archive's members."""
        (path,) = self.paths
        return {column: self._stream(stack.enter_context(zipfile.ZipFile(path)), column, stack) for column in columns}

    def _stream(self, archive: zipfile.ZipFile, column: str, stack: ExitStack) -> Callable[[int, int], NDArray[Any]]:
        shape, fortran, dtype = self._heads[column]
        if dtype.hasobject:
            raise Failed(f"{self.name}: {column} holds Python objects, which are not read")
        if fortran and len(shape) > 1:
            raise Failed(f"{self.name}: {column} lies by columns; save it with numpy.ascontiguousarray")
        stream = stack.enter_context(archive.open(f"{column}.npy"))
        _head(stream)
        row = math.prod(shape[1:]) * dtype.itemsize
        at = 0

        def take(begin: int, end: int) -> NDArray[Any]:
            nonlocal at
            try:
                stream.seek((begin - at) * row, 1)
                data = stream.read((end - begin) * row)
            except BROKEN as error:
                raise Failed(f"{self.name}: {column} cannot be read: {error}") from None
            at = end
            if len(data) != (end - begin) * row:
                raise Failed(f"{self.name}: {column} ends before row {end}")
            return np.frombuffer(data, dtype).reshape(end - begin, *shape[1:])

        return take


def _head(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies by columns, and type."""
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of .npy is not read")


class Npy(Slices):
    """The `.npy` files of one folder side by side, mapped into memory; one of records has a column for each field."""

    def __init__(self, paths: list[Path]) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}
        for path in paths:
            try:
                array = npy.open_memmap(path, mode="r")
            except BROKEN as error:
                raise Failed(f"{path}: this is no sound .npy: {error}") from None
            fields = array.dtype.names
            found = {name: array[name] for name in fields} if fields else {path.stem: array}
            twice = found.keys() & self._arrays.keys()
            if twice:
                raise Misused(f"{path}: there is another column {min(twice)}")
            self._arrays |= found
        name = str(paths[0]) if len(paths) == 1 else ", ".join(map(str, paths))
        super().__init__(name, paths, {name: array.shape for name, array in self._arrays.items()})

    def opened(self, columns: list[str], stack: ExitStack) -> dict[str, Callable[[int, int], NDArray[Any]]]:
        """Views of the files."""
        return {column: self._view(self._arrays[column]) for column in columns}

    def _view(self, array: NDArray[Any]) -> Callable[[int, int], NDArray[Any]]:
        return lambda begin, end: np.asarray(array[begin:end])
