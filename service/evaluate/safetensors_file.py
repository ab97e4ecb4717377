"""Tables in safetensors files: each tensor is a column."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from service.evaluate.faults import Failed, Misused
from service.evaluate.table import EXTRA, Slices


class Safetensors(Slices):
    """The tensors of one file, mapped into memory. Needs the package `safetensors`."""

    def __init__(self, path: Path) -> None:
        try:
            from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - an extra
        except ImportError:
            raise Misused(f"{path}: safetensors is needed to read it: {EXTRA}") from None
        self._broken = SafetensorError
        try:
            file: Any = safe_open(path, framework="numpy")
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
        except (SafetensorError, OSError) as error:
            raise Failed(f"{path}: this is no sound safetensors file: {error}") from None
        self._file = file
        super().__init__(str(path), [path], shapes)

    def opened(self, columns: list[str], stack: ExitStack) -> dict[str, Callable[[int, int], NDArray[Any]]]:
        """Slices of the file."""
        return {column: self._slice(column) for column in columns}

    def _slice(self, column: str) -> Callable[[int, int], NDArray[Any]]:
        tensor = self._file.get_slice(column)

        def take(begin: int, end: int) -> NDArray[Any]:
            try:
                rows: NDArray[Any] = tensor[begin:end]
            except (self._broken, TypeError) as error:
                raise Failed(f"{self.name}: {column} cannot be read: {error}") from None
            return rows

        return take
