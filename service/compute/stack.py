"""Stacking: the tensors of several requests as one set of host arrays, and where each request lies in them.

Element-wise losses: every tensor is broadcast to its loss's shape, flattened, and padded to a multiple of 64 elements,
alone too. torch's CPU kernels compute exp and log at the tail of a buffer with other code than in its middle; padding
keeps every element out of a tail, so that its last bit does not depend on what it is stacked with. Losses by rows are
stacked along their rows, padded in the same way only where their formula says that it needs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.check import Checked
from schemas.dims import Shape, numel
from schemas.request import LossRequest
from service.losses.lanes import LANE


class Segment(NamedTuple):
    """One request's part of a stack: `start` and `stop` along the first axis of the values."""

    checked: Checked
    start: int
    stop: int


class Stack(NamedTuple):
    """Host arrays by tensor name, the segments in order, and the shape of the unreduced values."""

    arrays: dict[str, NDArray[Any]]
    segments: list[Segment]
    values: Shape


def stack(batch: Sequence[LossRequest], *, pads: bool) -> Stack:
    """Stack requests whose keys are equal (or one request); `pads` is the formula's."""
    first = batch[0]
    if first.stacking == "elements":
        return _elements(batch)
    if first.stacking == "rows":
        return _rows(batch, pads)
    checked = first.checked
    shape = checked.layout.unreduced
    return Stack(dict(checked.tensors), [Segment(checked, 0, shape[0] if shape else 0)], shape)


def _elements(batch: Sequence[LossRequest]) -> Stack:
    segments: list[Segment] = []
    stop = 0
    for request in batch:
        start = stop
        checked = request.checked
        size = numel(checked.layout.unreduced)
        stop = start + -(-size // LANE) * LANE
        segments.append(Segment(checked, start, start + size))
    arrays: dict[str, NDArray[Any]] = {}
    for name, sample in batch[0].checked.tensors.items():
        if len(batch) == 1 and sample.shape == batch[0].checked.layout.unreduced and stop == sample.size:
            arrays[name] = sample.reshape(-1)  # fills its lanes already: no copy
            continue
        flat = np.zeros(stop, sample.dtype)
        for checked, start, end in segments:
            layout = checked.layout
            array = checked.tensors[name]
            if array.shape == layout.unreduced:
                flat[start:end] = array.reshape(-1)
            else:
                flat[start:end].reshape(layout.unreduced)[...] = array.reshape(layout.spread[name])
        arrays[name] = flat
    return Stack(arrays, segments, (stop,))


def _rows_alone(checked: Checked) -> Stack | None:
    """A request whose tensors are rows already, as they are: what `_rows` would make of it."""
    layout = checked.layout
    rows = layout.rows
    for name, shape in layout.trailing:
        if name not in layout.shared and layout.shapes[name] != (rows, *shape):
            return None
    return Stack(checked.tensors, [Segment(checked, 0, rows)], (rows, *layout.inner))


def _rows(batch: Sequence[LossRequest], pads: bool) -> Stack:
    first = batch[0].checked
    if len(batch) == 1 and not pads and (alone := _rows_alone(first)):
        return alone
    shared = first.layout.shared
    trailing = dict(first.layout.trailing)
    lead = next(name for name in first.tensors if name not in shared)
    step = LANE // math.gcd(LANE, numel(trailing[lead])) if pads else 1
    segments: list[Segment] = []
    stop = 0
    for request in batch:
        start = stop
        checked = request.checked
        rows = checked.layout.rows
        stop = start + -(-rows // step) * step
        segments.append(Segment(checked, start, start + rows))
    arrays: dict[str, NDArray[Any]] = {}
    for name, sample in first.tensors.items():
        if name in shared:
            arrays[name] = sample
            continue
        shape = trailing[name]
        parts: list[NDArray[Any]] = []
        for checked, start, end in segments:
            parts.append(checked.tensors[name].reshape(end - start, *shape))
            if spare := -(end - start) % step:
                parts.append(np.zeros((spare, *shape), sample.dtype))
        arrays[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return Stack(arrays, segments, (stop, *first.layout.inner))
