"""A partial as bytes: compact, and the same for equal partials.

One byte for the version, one that tells whether zstd follows; then the length of a JSON head, the head, and the blobs
that it describes: sums without the zeros at their ends, cells as differences of sorted keys, each in the narrowest
integers that hold it, little-endian.
"""

from __future__ import annotations

import math
import struct
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from service.evaluations.exact import Sums
from service.evaluations.hardest import Hard
from service.zstd import zstd

VERSION: Final = 1
COMPRESS_FROM: Final = 512
"""Bytes below which zstd saves nothing to speak of."""

_FIXED: Final = struct.Struct("<4q2dI")
_WIDTHS: Final = ("<u1", "<u2", "<u4", "<u8")
_EMPTY: Final = np.zeros(0, np.int64)

Cells = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Counts that are not 0: their keys, sorted, and the counts. Both (k,)."""


def packed(
    figures: tuple[int, int, int, int, float, float], sums: dict[str, Sums], cells: dict[str, Cells], hard: list[Hard]
) -> bytes:
    """The bytes of a partial: its batches, samples, elements, ignored ones, least and largest loss; and the rest."""
    blobs: list[bytes] = []
    head: dict[str, Any] = {}
    if totals := [[name, *_pack_sums(sums[name], blobs)] for name in sorted(sums) if any(sums[name].values())]:
        head["sums"] = totals
    if counted := [[name, *_pack_cells(cells[name], blobs)] for name in sorted(cells) if len(cells[name][0])]:
        head["cells"] = counted
    if hard:
        head["hardest"] = _pack_hard(hard, blobs)
    text = orjson.dumps(head)
    body = b"".join((_FIXED.pack(*figures, len(text)), text, *blobs))
    if len(body) >= COMPRESS_FROM and len(pressed := zstd.compress(body, 3)) < len(body):
        return bytes((VERSION, 1)) + pressed
    return bytes((VERSION, 0)) + body


def unpacked(
    data: bytes,
) -> tuple[tuple[int, int, int, int, float, float], dict[str, Sums], dict[str, Cells], list[Hard]]:
    """What `packed` took. Raises `ValueError` for bytes of another version."""
    if len(data) < 2 or data[0] != VERSION:
        raise ValueError(f"not a partial of version {VERSION}")
    body = zstd.decompress(data[2:]) if data[1] else data[2:]
    *figures, size = _FIXED.unpack_from(body)
    head = orjson.loads(body[_FIXED.size : _FIXED.size + size])
    reader = _Reader(body, _FIXED.size + size)
    sums = {name: _unpack_sums(count, widths, reader) for name, count, *widths in head.get("sums", ())}
    cells = {name: _unpack_cells(count, widths, reader) for name, count, *widths in head.get("cells", ())}
    return tuple(figures), sums, cells, _unpack_hard(head["hardest"], reader) if "hardest" in head else []


class _Reader:
    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at = body, at

    def take(self, size: int) -> bytes:
        self._at += size
        return self._body[self._at - size : self._at]

    def integers(self, count: int, width: int) -> NDArray[np.int64]:
        dtype = np.dtype(_WIDTHS[width])
        return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(np.int64)


def _narrow(numbers: NDArray[np.int64] | list[int], blobs: list[bytes]) -> int:
    """Append non-negative integers in the narrowest type; tell which."""
    if isinstance(numbers, list):
        most = max(numbers, default=0)
        if most <= 0xFF:  # as in most lists: no array is made of it
            blobs.append(bytes(numbers))
            return 0
    else:
        most = int(numbers.max(initial=0))
    width = (most > 0xFF) + (most > 0xFFFF) + (most > 0xFFFFFFFF)
    blobs.append(np.asarray(numbers, _WIDTHS[width]).tobytes())
    return width


def _pack_sums(sums: Sums, blobs: list[bytes]) -> list[int]:
    slots, shifts, sizes, parts = [], [], [], []
    for slot in sorted(sums):
        total = sums[slot]
        if not total:  # what cancelled is as what never was
            continue
        shift = ((total & -total).bit_length() - 1) >> 3
        total >>= 8 * shift
        size = (total.bit_length() + 8) >> 3
        slots.append(slot)
        shifts.append(shift)
        sizes.append(size)
        parts.append(total.to_bytes(size, "little", signed=True))
    widths = [_narrow(column, blobs) for column in (slots, shifts, sizes)]
    blobs.extend(parts)
    return [len(slots), *widths]


def _unpack_sums(count: int, widths: list[int], reader: _Reader) -> Sums:
    slots, shifts, sizes = (reader.integers(count, width).tolist() for width in widths)
    return {
        slot: int.from_bytes(reader.take(size), "little", signed=True) << (8 * shift)
        for slot, shift, size in zip(slots, shifts, sizes, strict=True)
    }


def _pack_cells(cells: Cells, blobs: list[bytes]) -> list[int]:
    keys, counts = cells
    steps = keys.copy()
    steps[1:] -= keys[:-1]
    return [len(keys), _narrow(steps, blobs), _narrow(counts, blobs)]


def _unpack_cells(count: int, widths: list[int], reader: _Reader) -> Cells:
    steps, counts = (reader.integers(count, width) for width in widths)
    return np.cumsum(steps), counts


def _pack_hard(hard: list[Hard], blobs: list[bytes]) -> list[Any]:
    defined, negated, names, batch_ids, places, named, labels, groups = zip(*hard, strict=True)
    batches = sorted(set(batch_ids))
    numbered = {batch_id: at for at, batch_id in enumerate(batches)}
    losses = 0.0 - np.array(negated, "<f8")
    losses[~np.array(defined)] = math.nan
    blobs.append(losses.tobytes())
    columns = (
        [numbered[batch_id] for batch_id in batch_ids],
        list(places),
        [label + 1 for label in labels],
        [group + 1 for group in groups],
    )
    widths = [_narrow(column, blobs) for column in columns]
    ids = [name if own else None for name, own in zip(names, named, strict=True)] if any(named) else None
    return [len(hard), widths, batches, ids]


def _unpack_hard(head: list[Any], reader: _Reader) -> list[Hard]:
    count, widths, batches, ids = head
    losses = np.frombuffer(reader.take(8 * count), "<f8").tolist()
    columns = [reader.integers(count, width).tolist() for width in widths]
    found = []
    for loss, name, batch, index, label, group in zip(losses, ids or [None] * count, *columns, strict=True):
        defined = loss == loss  # noqa: PLR0124 - NaN is what differs from itself
        named = name is not None
        negated = 0.0 - loss if defined else 0.0
        found.append(Hard(defined, negated, name or "", batches[batch], index, named, label - 1, group - 1))
    return found
