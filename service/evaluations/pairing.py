"""Pairs of two runs' samples, found in bounded memory.

Samples pair by the hash of their identity. Where there are many, the hashes' range is parted, and each part is gathered
in a pass of its own over the stored samples: columns of numbers only, never objects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from service.evaluations.chunks import Aside, Batches, chunks
from service.evaluations.samples import Samples

if TYPE_CHECKING:
    from service.evaluations.run import Run

TOGETHER: Final = 1 << 20
"""Samples of a run that one pass gathers, about: 40 MB, and as much again to sort them."""

Stream = Callable[[str, int], AsyncIterator[tuple[str, Samples]]]
"""The stored samples of a run, by its id and how many of its batches: (batch id, samples), batch by batch."""

Table = NDArray[np.void]
ROW: Final = np.dtype(
    [("key", np.uint64), ("loss", np.float64), ("share", np.float64), ("class", np.int32), ("group", np.int32)]
)
NONE: Final = -1
"""The class and group of a sample without one."""


@dataclass(frozen=True)
class Pairs:
    """Some pairs, ordered by their keys, and what has none in this part of the data."""

    first: Table
    second: Table
    first_only: int
    second_only: int
    first_repeated: int
    second_repeated: int
    """Samples whose id one of the runs has more than once: which belongs to which is not known."""


async def pairs(first: Run, second: Run, stream: Stream, aside: Aside) -> AsyncIterator[Pairs]:
    """The pairs of two runs, part by part. The parts depend on nothing but the numbers of samples."""
    bits = max(0, (max(first.samples, second.samples, 1) - 1) // TOGETHER).bit_length()
    for part in range(1 << bits):
        left = await _gathered(stream(first.id, first.seq), part, bits, aside)
        right = await _gathered(stream(second.id, second.seq), part, bits, aside)
        yield await aside(_paired, left, right)


async def _gathered(samples: AsyncIterator[tuple[str, Samples]], part: int, bits: int, aside: Aside) -> list[Table]:
    """The samples of one part, in any order."""
    return [await aside(_rows, chunk, part, bits) async for chunk in chunks(samples)]


def _rows(batches: Batches, part: int, bits: int) -> Table:
    """The samples of some batches that are in the part."""
    found = [np.empty(0, ROW)]
    for _, batch in batches:
        chosen = slice(None) if not bits else batch.keys >> np.uint64(64 - bits) == part
        rows = np.empty(len(batch.keys[chosen]), ROW)
        rows["key"], rows["loss"], rows["share"] = batch.keys[chosen], batch.losses[chosen], batch.shares[chosen]
        rows["class"] = NONE if batch.classes is None else batch.classes[chosen]
        rows["group"] = NONE if batch.groups is None else batch.groups[chosen]
        found.append(rows)
    return np.concatenate(found)


def _paired(first: list[Table], second: list[Table]) -> Pairs:
    return paired(*(np.concatenate([np.empty(0, ROW), *side]) for side in (first, second)))


def paired(first: Table, second: Table) -> Pairs:
    """The samples of both that are there once in each."""
    left, left_repeated = _sorted(first)
    right, right_repeated = _sorted(second)
    repeated = np.union1d(left_repeated, right_repeated)
    lone_left, lone_right = ~np.isin(left["key"], repeated), ~np.isin(right["key"], repeated)
    repeats = int((~lone_left).sum()), int((~lone_right).sum())
    left, right = left[lone_left], right[lone_right]
    _, in_left, in_right = np.intersect1d(left["key"], right["key"], assume_unique=True, return_indices=True)
    matched = len(in_left)
    return Pairs(left[in_left], right[in_right], len(left) - matched, len(right) - matched, *repeats)


def _sorted(rows: Table) -> tuple[Table, NDArray[np.uint64]]:
    """The rows by their keys, and the keys that are there more than once."""
    ordered = rows[np.argsort(rows["key"], kind="stable")]
    keys = ordered["key"]
    return ordered, np.unique(keys[1:][keys[1:] == keys[:-1]])
