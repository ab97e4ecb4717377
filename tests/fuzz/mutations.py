"""Bodies that are nearly sound: text and data of a sound one, changed a little, from a seeded generator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

Rng = np.random.Generator
Mutation = Callable[[bytes, Rng], bytes]

NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
VALUE: Final = re.compile(rb'"[^"\\]*"|-?\d[\d.eE+-]*|true|false|null')
ESCAPED: Final = re.compile(rb'\\\\"[^"\\\\]*\\\\"')
NUMBERS: Final = (
    b"0", b"-1", b"1", b"2", b"7", b"255", b"1.5", b"-0.0", b"1e999", b"1e-400", b"-1e39", b"65537", b"2147483648",
    b"4294967296", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616",
    b"1" * 400, b"0x10", b"01", b"NaN", b"Infinity",
)  # fmt: skip
VALUES: Final = (
    b"null", b"true", b"false", b"[]", b"{}", b"[[]]", b'""', b'"NaN"', b'"-Infinity"', b'"mean"', b'"none"',
    b'"input"', b'"float16"', b'"F64"', b'"BOOL"', b'"U64"', b"[0, 0]", b"[1, 2, 3]", b'"\\ud800"', b'"\\u0000"',
    b'"\xf0\x9f\x98\x80"', b'{"a": {"b": [1]}}', b"[" * 40 + b"]" * 40, b'"' + b"x" * 5000 + b'"',
)  # fmt: skip
WINDOW: Final = 4096
LENGTHS: Final = (0, 1, 7, 8, 9, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 48, 1 << 63, (1 << 64) - 1)


class Sample(NamedTuple):
    """A body in two: JSON text, and the binary data that follows it where there is any."""

    text: bytes
    data: bytes = b""


def spot(body: bytes, rng: Rng) -> int:
    return int(rng.integers(len(body) + 1))


def stretch(body: bytes, rng: Rng) -> tuple[int, int]:
    """Where a short piece of it begins and ends."""
    at = spot(body, rng)
    return at, at + int(rng.integers(1, 33))


def flip(body: bytes, rng: Rng) -> bytes:
    """Some bits are others."""
    found = bytearray(body)
    for at in rng.integers(max(len(found), 1), size=int(rng.integers(1, 5))).tolist() if found else ():
        found[at] ^= 1 << int(rng.integers(8))
    return bytes(found)


def truncate(body: bytes, rng: Rng) -> bytes:
    """The end is missing."""
    return body[: spot(body, rng)]


def insert(body: bytes, rng: Rng) -> bytes:
    """Something that does not belong there."""
    at = spot(body, rng)
    return body[:at] + rng.bytes(int(rng.integers(1, 9))) + body[at:]


def leave_out(body: bytes, rng: Rng) -> bytes:
    """A piece is missing."""
    begin, end = stretch(body, rng)
    return body[:begin] + body[end:]


def repeat(body: bytes, rng: Rng) -> bytes:
    """A piece comes again, there or elsewhere."""
    begin, end = stretch(body, rng)
    at = begin if rng.integers(2) else spot(body, rng)
    return body[:at] + body[begin:end] * int(rng.integers(1, 4)) + body[at:]


def move(body: bytes, rng: Rng) -> bytes:
    """A piece has changed its place."""
    begin, end = stretch(body, rng)
    left = body[:begin] + body[end:]
    at = spot(left, rng)
    return left[:at] + body[begin:end] + left[at:]


def number(body: bytes, rng: Rng) -> bytes:
    """One number is another."""
    return replaced(body, NUMBER, NUMBERS, rng)


def digit(body: bytes, rng: Rng) -> bytes:
    """One digit of a number is another, or one more."""
    return replaced(body, re.compile(rb"\d"), [b"%d" % rng.integers(100)], rng)


def value(body: bytes, rng: Rng) -> bytes:
    """One text, number or constant is something else; in JSON within a text too."""
    if ESCAPED.search(body) and rng.integers(2):
        return replaced(body, ESCAPED, [other.replace(b'"', b'\\"') for other in VALUES], rng)
    return replaced(body, VALUE, VALUES, rng)


def replaced(body: bytes, pattern: re.Pattern[bytes], others: Sequence[bytes], rng: Rng) -> bytes:
    found = spans(body, pattern, rng)
    if not found:
        return body
    begin, end = found[int(rng.integers(len(found)))]
    return body[:begin] + others[int(rng.integers(len(others)))] + body[end:]


def spans(body: bytes, pattern: re.Pattern[bytes], rng: Rng) -> list[tuple[int, int]]:
    """Where the pattern is: everywhere in a small body; in a large one near three random spots, which is quicker."""
    if len(body) <= WINDOW:
        return [match.span() for match in pattern.finditer(body)]
    near = {match.span() for _ in range(3) if (match := pattern.search(body, spot(body, rng)))}
    return [span for span in near if all(span is other or span[1] <= other[0] or other[1] <= span[0] for other in near)]


def swap(body: bytes, rng: Rng) -> bytes:
    """Two numbers have changed places: offsets, sizes, indices."""
    return exchanged(body, NUMBER, rng)


def swap_values(body: bytes, rng: Rng) -> bytes:
    """Two names or values have changed places."""
    return exchanged(body, VALUE, rng)


def exchanged(body: bytes, pattern: re.Pattern[bytes], rng: Rng) -> bytes:
    found = spans(body, pattern, rng)
    if len(found) < 2:
        return body
    (a, b), (c, d) = (found[at] for at in sorted(rng.choice(len(found), 2, replace=False).tolist()))
    return body[:a] + body[c:d] + body[b:c] + body[a:b] + body[d:]


def length(body: bytes, rng: Rng) -> bytes:
    """Eight bytes that tell a length tell another."""
    at = 0 if rng.integers(2) else spot(body, rng)
    return body[:at] + LENGTHS[rng.integers(len(LENGTHS))].to_bytes(8, "little") + body[at + 8 :]


ANYWHERE: Final[tuple[Mutation, ...]] = (flip, truncate, insert, leave_out, repeat, move, length)
OF_TEXT: Final[tuple[Mutation, ...]] = (number, number, digit, value, value, swap, swap_values, *ANYWHERE[:-1])


def mutated(sample: Sample, join: Callable[[Sample], bytes], rng: Rng) -> bytes:
    """A body with one change or some: of its text, of its data, or of the whole with its lengths."""
    text, data = sample
    raw: list[Mutation] = []
    for _ in range(int(rng.geometric(0.7))):
        where = rng.integers(10)
        if where < 7:
            text = OF_TEXT[rng.integers(len(OF_TEXT))](text, rng)
        elif where < 8:
            data = ANYWHERE[rng.integers(len(ANYWHERE))](data, rng)
        else:
            raw.append(ANYWHERE[rng.integers(len(ANYWHERE))])
    body = join(Sample(text, data))
    for mutation in raw:
        body = mutation(body, rng)
    return body
