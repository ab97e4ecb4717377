"""Content codings on answers: the figures behind `service.http.content_encoding` and the choice of libraries.

`python -m benchmarks.codings` prints three tables: ratio and speed both ways for a coding, a level and a kind of
answer; what a coded answer gains on a link; and the cost of small answers. Only ratios within a table mean anything.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import orjson
from isal import isal_zlib
from numpy.typing import NDArray

from service.http.content_decoding import open_decoder
from service.http.content_encoding import Coding, encode
from service.zstd import zstd

GZIP: Final = 31  # zlib's window bits for gzip
LINKS: Final = {"100 Mbit/s": 12.5e6, "1 Gbit/s": 125e6}
SMALL: Final = (512, 1024, 2048, 4096, 8192, 16_384)

Bytes = Callable[[bytes], bytes]


def seconds(work: Callable[[], object], at_least: float = 0.2) -> float:
    """The median time of one call, over runs that take a fifth of a second together."""
    work()
    times: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < at_least or len(times) < 3:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def gradient(shape: tuple[int, int], scale: float) -> NDArray[np.float32]:
    """Cross entropy's mean gradient for normal logits times `scale`."""
    generator = np.random.default_rng(1)
    logits = generator.standard_normal(shape, dtype=np.float32) * scale
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(shape[0]), generator.integers(0, shape[1], shape[0])] -= 1
    made: NDArray[np.float32] = (shares / shape[0]).astype(np.float32)
    return made


def answers() -> dict[str, bytes]:
    """Bodies of answers, by what they are."""
    small, peaked = gradient((32, 1000), 1.0), gradient((32, 1000), 30.0)
    text = base64.b64encode(small.tobytes()).decode()
    return {
        "JSON 32x1000": orjson.dumps({"gradients": {"input": small}}, option=orjson.OPT_SERIALIZE_NUMPY),
        "JSON 32x1000, peaked": orjson.dumps({"gradients": {"input": peaked}}, option=orjson.OPT_SERIALIZE_NUMPY),
        "JSON 32x1000, base64": orjson.dumps({"gradients": {"input": {"data": text}}}),
        "binary 32x1000": small.tobytes(),
        "binary 32x1000, peaked": peaked.tobytes(),
        "binary 64x32000": gradient((64, 32_000), 1.0).tobytes(),
        "binary 64x32000, peaked": gradient((64, 32_000), 30.0).tobytes(),
    }


def by_zlib(level: int) -> Bytes:
    def compress(data: bytes) -> bytes:
        stream = zlib.compressobj(level, wbits=GZIP)
        return stream.compress(data) + stream.flush()

    return compress


def by_igzip(level: int) -> Bytes:
    def compress(data: bytes) -> bytes:
        stream = isal_zlib.compressobj(level, isal_zlib.DEFLATED, GZIP)
        return stream.compress(data) + stream.flush()

    return compress


def by_zstd(level: int) -> Bytes:
    return lambda data: zstd.compress(data, level)


def decode(coding: str, data: bytes) -> bytes | bytearray:
    """By the service's own decoder: zlib's or zstd's work, and its bounds."""
    decoder = open_decoder(coding.encode(), 1 << 30)
    assert decoder is not None
    list(decoder.feed(data))
    return decoder.finish()


WRITERS: Final[dict[str, tuple[str, Bytes]]] = {
    "gzip, igzip 1": ("gzip", by_igzip(1)),
    "gzip, igzip 2": ("gzip", by_igzip(2)),
    "gzip, zlib 1": ("gzip", by_zlib(1)),
    "gzip, zlib 6": ("gzip", by_zlib(6)),
    "zstd -1": ("zstd", by_zstd(-1)),
    "zstd 1": ("zstd", by_zstd(1)),
    "zstd 3": ("zstd", by_zstd(3)),
}


def speed() -> None:
    """Every kind of answer by every writer."""
    print("| answer | bytes | coding | size ÷ coded | MB/s coding | MB/s decoding | decoding by igzip |")
    print("|---|--:|---|--:|--:|--:|--:|")
    for answer, data in answers().items():
        for writer, (coding, compress) in WRITERS.items():
            coded = compress(data)
            assert decode(coding, coded) == data
            there = seconds(lambda data=data, compress=compress: compress(data))  # type: ignore[misc]
            back = seconds(lambda coding=coding, coded=coded: decode(coding, coded))  # type: ignore[misc]
            other = ""
            if coding == "gzip":
                other = rate(data, seconds(lambda coded=coded: isal_zlib.decompress(coded, GZIP)))  # type: ignore[misc]
            cells = (answer, f"{len(data):,}", writer, f"{len(data) / len(coded):.2f}", rate(data, there))
            print(f"| {' | '.join((*cells, rate(data, back), other))} |")


def rate(data: bytes, duration: float) -> str:
    return f"{len(data) / duration / 1e6:,.0f}"


def gains() -> None:
    """Transfer time saved, less the time to code and to decode, and what the service does."""
    print("\n| answer | coding | code ms | decode ms |", *[f"ms saved at {link} |" for link in LINKS], "the service |")
    print(f"|---|---|--:|--:|{'--:|' * len(LINKS)}---|")
    for answer, data in answers().items():
        for name in ("zstd", "gzip"):
            forced = Coding(name, required=True)
            coded = b"".join(encode(forced, [data]) or [])
            there = seconds(lambda forced=forced, data=data: encode(forced, [data]))  # type: ignore[misc]
            back = seconds(lambda name=name, coded=coded: decode(name, coded))  # type: ignore[misc]
            saved = [(len(data) - len(coded)) / bandwidth - there - back for bandwidth in LINKS.values()]
            left = encode(Coding(name, required=False), [data]) is None
            cells = [f"{value * 1e3:.2f}" for value in (there, back, *saved)]
            print(f"| {' | '.join((answer, name, *cells, 'leaves it' if left else 'codes it'))} |")


def small() -> None:
    """JSON text of few bytes: `LEAST_BYTES`."""
    values = gradient((32, 1000), 1.0).ravel()
    whole = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    print(
        "\n| bytes of JSON | coding | coded bytes | code µs | decode µs |", *[f"µs saved at {link} |" for link in LINKS]
    )
    print(f"|--:|---|--:|--:|--:|{'--:|' * len(LINKS)}")
    for size in SMALL:
        data = whole[:size]
        for name in ("zstd", "gzip"):
            forced = Coding(name, required=True)
            coded = b"".join(encode(forced, [data]) or [])
            there = seconds(lambda forced=forced, data=data: encode(forced, [data]))  # type: ignore[misc]
            back = seconds(lambda name=name, coded=coded: decode(name, coded))  # type: ignore[misc]
            saved = [(size - len(coded)) / bandwidth - there - back for bandwidth in LINKS.values()]
            cells = [f"{value * 1e6:.0f}" for value in (there, back, *saved)]
            print(f"| {' | '.join((f'{size:,}', name, f'{len(coded):,}', *cells))} |")


if __name__ == "__main__":
    speed()
    gains()
    small()
