"""Numbers that are the same wherever and whenever they are drawn: short decimals that float32 holds exactly."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.dims import Shape

SEED: Final = "gradwire-vectors-1"
"""What all draws start from; another one makes other vectors of every loss."""
STEP: Final = 64
"""Values are odd multiples of 1/64 (never 0, at most six decimals), times a scale."""

Array = NDArray[Any]


class Drawing:
    """The numbers of one draft, from the text that names it.

    The bits are those of NumPy's Philox4x64-10, whose key is the start of SHA-256 of `SEED/name`; they are mapped here,
    since NumPy does not promise that its own mapping stays.
    """

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(f"{SEED}/{name}".encode()).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest[:16], "little"))

    def whole(self, shape: Shape, low: int, high: int) -> Array:
        """Whole numbers in [low, high)."""
        count = int(np.prod(shape, dtype=np.int64))
        words = np.asarray(self._bits.random_raw(count), np.uint64).reshape(shape)
        return np.asarray((words % np.uint64(high - low)).astype(np.int64) + low)

    def floats(self, shape: Shape, scale: float = 2.0) -> Array:
        """Values in (-scale, scale)."""
        return np.asarray((2 * self.whole(shape, -STEP // 2, STEP // 2) + 1) * (scale / STEP))

    def positive(self, shape: Shape, scale: float = 2.0) -> Array:
        """Values in (0, scale)."""
        return np.asarray((2 * self.whole(shape, 0, STEP // 2) + 1) * (scale / STEP))

    def coarse(self, shape: Shape) -> Array:
        """-0.5, 0, 0.5 and 1: among a few of them many are equal, and differences are whole."""
        return np.asarray(self.whole(shape, -1, 3) / 2)

    def signs(self, shape: Shape) -> Array:
        """1 and -1."""
        return np.asarray(self.whole(shape, 0, 2) * 2.0 - 1.0)

    def shares(self, shape: Shape, axis: int) -> Array:
        """Probabilities: positive, and their sum over an axis of up to 8 is 1."""
        parts = self.whole(shape, 1, 9) / STEP
        rows = np.moveaxis(parts, axis, -1)
        if rows.shape[-1]:
            rows[..., -1] = 1 - rows[..., :-1].sum(-1)
        return parts

    def near(self, array: Array) -> Array:
        """Values a few per cent beside the given ones, multiples of 1/1024; what is 0 stays so."""
        moved = array * (1 + self.whole(array.shape, -16, 17) / 256)
        return np.asarray(np.where(np.abs(array) < 2**-6, array, np.round(moved * 1024) / 1024))
