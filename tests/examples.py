"""The losses' own examples, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.catalogue import example
from schemas.request import LossRequest
from tests.binary import Array


def array_of(value: Any) -> Array:
    """A tensor of an example: as float32 if its numbers have points."""
    array = np.array(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def arrays_of(cls: type[LossRequest]) -> tuple[dict[str, Array], dict[str, Any]]:
    """A loss's example: its tensors as arrays, and its other members."""
    members = example(cls)
    tensors = {}
    for name in [name for name in members if name in cls.tensor_fields]:
        tensors[name] = array_of(members.pop(name))
    for at, cluster in enumerate(members.pop("tail", [])):
        tensors |= {f"tail.{at}.{name}": np.array(value, np.float32) for name, value in cluster.items()}
    for name, value in members.pop("tensors", {}).items():
        tensors[f"tensors.{name}"] = array_of(value)
    return tensors, members
