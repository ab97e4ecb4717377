"""Tensors that all batches share, such as class weights, from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from service.evaluate.faults import Misused


def weights(path: Path, classes: tuple[str, ...] | None) -> Any:
    """The numbers of a file, as nested lists.

    `.json`: a list, or an object that names each class; `.npy`: an array; else numbers with commas or spaces between, a
    line or more. Raises `Misused`.
    """
    try:
        if path.suffix == ".npy":
            return _finite(np.load(path, allow_pickle=False), path).tolist()
        data = path.read_bytes()
        found = orjson.loads(data) if path.suffix == ".json" else data.decode().replace(",", " ").split()
        if isinstance(found, dict):
            found = _by_class(found, classes, path)
        return _finite(np.array(found, np.float64), path).tolist()
    except OSError as error:
        raise Misused(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise Misused(f"{path}: no numbers: {error}") from None


def _by_class(found: dict[str, Any], classes: tuple[str, ...] | None, path: Path) -> list[Any]:
    if classes is None:
        raise Misused(f"{path} names classes; tell their order by --classes")
    if found.keys() != set(classes):
        other = min(found.keys() ^ set(classes))
        raise Misused(f"{path}: class {other!r} is either there or in --classes, not in both")
    return [found[name] for name in classes]


def _finite(array: np.ndarray[Any, Any], path: Path) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise Misused(f"{path}: weights are finite numbers")
    return array
