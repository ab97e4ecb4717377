"""What strategies draw with: structure by hypothesis, so that it shrinks; values by NumPy, from a seed it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import hypothesis.strategies as st
import numpy as np
from hypothesis import note
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import NDArray

from schemas.dtype import FLOATING

T = TypeVar("T")
Array = NDArray[Any]
Shape = tuple[int, ...]

DTYPES = ("float64", "float32", "float16", "bfloat16")
LATTICE = 32
"""Half types get multiples of 1/32 in [-2, 2]: their differences are exact, so no kink is crossed by rounding."""


class Draw:
    """One request in the making. `memo` holds what requests that can be stacked have in common."""

    def __init__(self, draw: DrawFn, memo: dict[str, Any], dtypes: Sequence[str]) -> None:
        self._draw = draw
        self._memo = memo
        seed = draw(st.integers(0, 2**32 - 1))
        note(f"seed={seed}")
        self.rng = np.random.default_rng(seed)
        self.dtype: str = self.same("dtype", st.sampled_from(dtypes))

    def own(self, strategy: SearchStrategy[T]) -> T:
        """A choice of this request alone."""
        return self._draw(strategy)

    def same(self, key: str, strategy: SearchStrategy[T]) -> T:
        """A choice that requests with the same memo share."""
        if key not in self._memo:
            self._memo[key] = self._draw(strategy)
        found: T = self._memo[key]
        return found

    def option(self, name: str, *choices: Any) -> dict[str, Any]:
        """An option of the loss with one of these values, or left out."""
        chosen = self.same(f"option {name}", st.sampled_from((None, *choices)))
        return {} if chosen is None else {name: chosen}

    def size(self, low: int = 0) -> int:
        """A number of rows: 0 and 1 are as likely as any."""
        return self.own(st.sampled_from([size for size in (1, 2, 3, 5, 0, 17, 33) if size >= low]))

    def width(self, key: str, low: int = 1) -> int:
        """A trailing size, the same for requests that can be stacked."""
        return self.same(key, st.sampled_from([size for size in (3, 1, 2, 5, 7, 10, 16) if size >= low]))

    def shape(self, most: int = 3) -> Shape:
        """Any shape of up to `most` dims, of which any may be 0 or 1."""
        sizes = st.sampled_from((2, 3, 1, 5, 8, 0, 13))
        return tuple(self.own(st.lists(sizes, max_size=most)))

    def flag(self, key: str = "") -> bool:
        """True or false, shared if there is a key."""
        return self.same(key, st.booleans()) if key else self.own(st.booleans())

    # Values.

    def floats(self, shape: Shape, low: float = -2, high: float = 2) -> Array:
        """Uniform values of the request's type."""
        values = self.rng.uniform(low, high, shape)
        if self.dtype in ("float16", "bfloat16"):
            values = np.round(values * LATTICE) / LATTICE
        return self.typed(values)

    def typed(self, values: Any) -> Array:
        """The values in the request's type."""
        return np.asarray(values).astype(FLOATING[self.dtype])

    def unit(self, shape: Shape) -> Array:
        """Values in [0, 1], now and then one of its ends."""
        return self.typed(self.floats(shape, -0.05, 1.05).astype(np.float64).clip(0, 1))

    def signs(self, shape: Shape) -> Array:
        """1 and -1."""
        return self.typed(self.rng.choice([-1.0, 1.0], shape))

    def bits(self, shape: Shape) -> Array:
        """0 and 1."""
        return self.typed(self.rng.choice([0.0, 1.0], shape))

    def mask(self, shape: Shape) -> Array:
        """What takes part: booleans or whole numbers, all of them as likely as none."""
        share = self.own(st.sampled_from((0.7, 1.0, 0.3, 0.0)))
        kept = np.asarray(self.rng.random(shape) < share)
        return np.asarray(kept if self.flag() else kept.astype(np.int64))

    def log_softmax(self, shape: Shape, axis: int) -> Array:
        """Log-probabilities over an axis."""
        logits = self.rng.normal(size=shape)
        return self.typed(logits - np.log(np.exp(logits).sum(axis, keepdims=True)))

    def integers(self, shape: Shape, low: int, high: int) -> Array:
        """Whole numbers in [low, high), of some integer type."""
        kind = self.own(st.sampled_from(("int64", "int32", "int8", "uint8" if low >= 0 else "int16")))
        return np.asarray(self.rng.integers(low, high, shape)).astype(kind)

    def shared(self, key: str, shape: Shape, low: float, high: float) -> Array:
        """A tensor that all requests with the same memo share, such as class weights."""
        if key not in self._memo:
            self._memo[key] = self.floats(shape, low, high)
        found: Array = self._memo[key]
        return found

    def maybe(self, name: str, tensor: Array) -> dict[str, Any]:
        """An optional tensor: there in all requests with the same memo, or in none."""
        return {name: tensor} if self.flag(f"has {name}") else {}
