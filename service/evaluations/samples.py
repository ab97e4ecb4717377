"""A batch's per-sample columns: what bootstrap, comparison and series read again."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

VERSION = 1
HEAD = struct.Struct("<BBxxI")
"""Version, flags, samples."""
ONE_SHARE, HAS_IDS, HAS_GROUPS, HAS_CLASSES = 1, 2, 4, 8
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(slots=True)
class Samples:
    """The columns of n samples: `losses` and `shares` as in `Scored` (each sample's part of sum and divisor).

    `keys` are hashes of the samples' identities (`keys_of`); `named`, `groups` and `classes` are None where the batch
    has none. `named` are the ids, or as they are stored, the JSON of them: most readers need no more than the keys.
    """

    losses: NDArray[np.float64]
    shares: NDArray[np.float64]
    keys: NDArray[np.uint64]
    named: list[str] | memoryview | None = None
    groups: NDArray[np.int32] | None = None
    classes: NDArray[np.int32] | None = None

    @property
    def ids(self) -> list[str] | None:
        """The samples' ids, read anew each time if they come from the store."""
        if not isinstance(self.named, memoryview):
            return self.named
        found: list[str] = orjson.loads(self.named)
        return found

    def __len__(self) -> int:
        return len(self.losses)

    def encode(self) -> bytes:
        """Little-endian columns behind a head of 8 bytes; equal shares are written once, ids as one JSON array."""
        n = len(self)
        one = n > 0 and self.shares.tobytes() == self.shares[:1].tobytes() * n
        optional = ((self.named, HAS_IDS), (self.groups, HAS_GROUPS), (self.classes, HAS_CLASSES))
        flags = ONE_SHARE * one + sum(flag for column, flag in optional if column is not None)
        parts = [HEAD.pack(VERSION, flags, n), _bytes(self.losses, "<f8"), _bytes(self.keys, "<u8")]
        parts.append(_bytes(self.shares[:1] if one else self.shares, "<f8"))
        parts += [_bytes(column, "<i4") for column in (self.groups, self.classes) if column is not None]
        if self.named is not None:
            parts.append(bytes(self.named) if isinstance(self.named, memoryview) else orjson.dumps(self.named))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Samples:
        """What `encode` wrote. Raises `ValueError` for another version."""
        version, flags, n = HEAD.unpack_from(data)
        if version != VERSION:
            raise ValueError(f"samples of version {version}, not {VERSION}")
        at = HEAD.size

        def column(kind: str, length: int) -> NDArray[Any]:
            nonlocal at
            made = np.frombuffer(data, kind, length, at)
            at += made.nbytes
            return made

        losses, keys = column("<f8", n), column("<u8", n)
        shares = np.repeat(column("<f8", 1), n) if flags & ONE_SHARE else column("<f8", n)
        groups = column("<i4", n) if flags & HAS_GROUPS else None
        classes = column("<i4", n) if flags & HAS_CLASSES else None
        ids = memoryview(data)[at:] if flags & HAS_IDS else None
        return cls(losses, shares, keys, ids, groups, classes)


def keys_of(batch_id: str, n: int, ids: list[str] | None) -> NDArray[np.uint64]:
    """64-bit hashes of n samples' identities: of their ids, or where there are none of the batch's id and the position.

    XXH3 of the text; positions go through SplitMix64's finalizer (Steele, Lea, Flood 2014).
    """
    if ids is not None:
        return np.array([_hash(one) for one in ids], np.uint64)
    mixed: NDArray[np.uint64] = np.uint64(_hash(batch_id)) + np.arange(1, n + 1, dtype=np.uint64) * GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * MIX[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX[1]
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _hash(text: str) -> int:
    return xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _bytes(column: NDArray[Any], kind: str) -> bytes:
    return np.ascontiguousarray(column, kind).tobytes()
