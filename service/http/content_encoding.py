"""The content codings of answers: which one the caller wants, and an answer compressed with it.

Where the caller's `Accept-Encoding` allows a coding, the answer says so to caches, compressed or not: `Vary:
accept-encoding`. Documents say so to everyone; other answers are answers to POSTs, which no cache keeps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from isal import isal_zlib

from service.http.problems import HTTPProblem
from service.zstd import zstd

NAMED: Final = ("zstd", "gzip", "deflate")
"""The codings by preference where the caller names them: zstd makes answers smallest, and is read fastest
(`benchmarks/codings.py`)."""

ANY: Final = ("gzip", "deflate", "zstd")
"""The same where it only says `*`: what everyone can read first."""

LEVEL: Final = 1
"""Of all codings: higher ones take several times as long for a few per cent."""

LEAST_BYTES: Final = 4096
"""Answers below this are left as they are. One of JSON text this size takes 10 to 20 µs here and as much at the caller.
It leaves two thirds of it away: 220 µs on a link of 100 Mbit/s, as long as the work at 1 Gbit/s
(`benchmarks/codings.py`)."""

WORTH: Final = 0.75
"""An answer that would keep more of its size than this is left as it is. Gradients in float32 keep nine tenths: what
that saves at 1 Gbit/s, the caller's reading alone takes."""

PROBED_BYTES: Final = 1 << 16
"""From this size on, samples tell whether an answer is worth it; a smaller one is compressed to see."""

SAMPLES: Final = 4
SAMPLE_BYTES: Final = 4096

GZIP: Final = 16 + isal_zlib.MAX_WBITS
ZLIB: Final = isal_zlib.MAX_WBITS
WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)

Part = bytes | bytearray | memoryview


class Coding(NamedTuple):
    """A content coding of an answer."""

    name: str
    required: bool
    """Whether the caller takes no answer without it."""


@lru_cache(maxsize=64)  # callers send the same few
def choose(accept_encoding: bytes | None) -> Coding | None:
    """The coding for an answer under that `Accept-Encoding` (RFC 9110, section 12.5.3); None for none.

    The largest weight wins; among equals a coding that is named, then the order of `NAMED`. Where the caller weighs
    `identity` above all codings, or names none that is served, the answer has none. An entry with a malformed weight is
    passed over. Raises `HTTPProblem` 406 where `identity` is refused and all codings are: the RFC leaves the server to
    answer all the same, but a caller that refuses by name what everyone can read could not read that, and is told so
    before anything is computed for it.
    """
    if accept_encoding is None:
        return None
    weights = _weights(accept_encoding.decode("latin-1").lower())
    others = weights.get("*", 0.0)
    identity = weights.get("identity", others)
    refused = identity == 0 and ("identity" in weights or "*" in weights)
    ranked = [(weights[name], True, -rank, name) for rank, name in enumerate(NAMED) if name in weights]
    ranked += [(others, False, -rank, name) for rank, name in enumerate(ANY) if name not in weights]
    weight, _, _, name = max(ranked)
    if weight > 0 and weight >= identity:
        return Coding(name, refused)
    if refused:
        raise HTTPProblem(406, "Accept-Encoding allows none of zstd, gzip, deflate and identity")
    return None


def _weights(accept_encoding: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in accept_encoding.split(","):
        name, *parameters = [part.strip(" \t") for part in item.split(";")]
        weight = "1"
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.rstrip(" \t") == "q":
                weight = value.lstrip(" \t")
        if name and WEIGHT.fullmatch(weight):
            weights["gzip" if name == "x-gzip" else name] = float(weight)
    return weights


def encode(coding: Coding, parts: Sequence[Part], least: int = LEAST_BYTES) -> list[bytes] | None:
    """A body, given in parts, compressed; again in parts. None where it is better left as it is.

    Bodies below `least` bytes are, and with 0 all of them. What is required is always done. The parts are not joined,
    and views may be of any shape and type.
    """
    size = sum([memoryview(part).nbytes for part in parts])
    if coding.required:
        return _compress(coding.name, parts, size)
    if not least or size < least or (size >= PROBED_BYTES and not _is_worth_it(parts)):
        return None
    encoded = _compress(coding.name, parts, size)
    return encoded if sum(map(len, encoded)) <= WORTH * size else None


def _compress(name: str, parts: Sequence[Part], size: int) -> list[bytes]:
    if name == "zstd":
        frame = zstd.ZstdCompressor(LEVEL)
        frame.set_pledged_input_size(size)  # so that the reader knows it
        encoded = [frame.compress(part) for part in parts]
        encoded.append(frame.flush())
    else:
        # igzip, not zlib: three to twenty times as fast. It reads nothing but our own answers; see content_decoding.
        stream = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP if name == "gzip" else ZLIB)
        encoded = [stream.compress(part) for part in parts]
        encoded.append(stream.flush())
    return [piece for piece in encoded if piece]


def _is_worth_it(parts: Sequence[Part]) -> bool:
    """Whether samples from all over the largest part get small enough."""
    largest = max((memoryview(part).cast("B") for part in parts), key=len)
    step = max(len(largest) // SAMPLES, 1)
    samples = b"".join([largest[start : start + SAMPLE_BYTES] for start in range(0, len(largest), step)])
    return len(zstd.compress(samples, LEVEL)) <= WORTH * len(samples)
