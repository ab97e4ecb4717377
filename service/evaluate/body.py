"""A batch as the body of a request."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from service.evaluate.batches import Batch
from service.wire import safetensors

Wire = Literal["safetensors", "json"]
MEDIA_TYPES: Final[dict[Wire, str]] = {"safetensors": safetensors.MEDIA_TYPE, "json": "application/json"}


def encode(batch: Batch, wire: Wire) -> bytes:
    """The body; both forms hold the very same bits of every tensor."""
    members: dict[str, Any] = {"batch_id": batch.id}
    if batch.ids is not None:
        members["sample_ids"] = batch.ids
    if batch.groups is not None:
        members["groups"] = batch.groups
    if wire == "safetensors":
        return b"".join(safetensors.write(batch.tensors, {"request": orjson.dumps(members).decode()}))
    return orjson.dumps(members | {name: _typed(array) for name, array in batch.tensors.items()})


def _typed(array: NDArray[Any]) -> dict[str, Any]:
    """A tensor in JSON whose type and bits are told, infinities and NaN included."""
    data = pybase64.b64encode(safetensors.memory(np.ascontiguousarray(array))).decode()
    return {"dtype": array.dtype.name, "shape": array.shape, "data": data}
