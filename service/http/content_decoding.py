"""The content codings of requests: bodies decompressed as they come, within bounds.

`gzip` (RFC 1952), `deflate` (RFC 1950; bare RFC 1951 too, which some send under this name) and `zstd` (RFC 8878,
windows of at most 8 MiB as RFC 9659 has it), one coding a body.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from service.http.problems import HTTPProblem
from service.zstd import zstd

ACCEPTED: Final = "gzip, deflate, zstd, identity"
"""What an `Accept-Encoding` of the service's own says."""

MAX_MEMBERS: Final = 8192
"""Members of one gzip body and frames of one zstd body. Each costs some microseconds, however few its bytes are; block
gzip of 256 MiB has half as many."""

INPUT_BYTES: Final = 1 << 16
"""Compressed bytes that a decompressor is given at once: it copies what it leaves of them."""

OUTPUT_BYTES: Final = 1 << 20
"""Decompressed bytes that are asked for at once."""

HEAD_BYTES: Final = 18
"""The most that the header of a zstd frame takes."""

WINDOW_LOG: Final = 23
"""The binary logarithm of the largest zstd window in bytes (RFC 9659, section 3)."""


class Member(Protocol):
    """A decompressor of one gzip member, zlib or deflate stream, or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes: ...


def _gzip(_first: int) -> Member:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _deflate(first: int) -> Member:
    # A zlib stream begins with its method, 8, in the low half of a byte. In bare deflate that half would be the head of
    # a stored block and a bit of its padding, which is 0.
    return zlib.decompressobj(zlib.MAX_WBITS if first & 0x0F == 8 else -zlib.MAX_WBITS)


def _zstd(_first: int) -> Member:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})


CODINGS: Final[dict[str, Callable[[int], Member]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}

FURTHER: Final = {"gzip": b"\x1f", "deflate": b"", "zstd": b"\x28" + bytes(range(0x50, 0x60))}
"""First bytes of a further member: gzip's; none; a zstd frame's and those of skippable ones."""

DAMAGED: Final = "it is no zstd, or damaged"
ZSTD_REASONS: Final = {"memory": "its window is larger than 8 MiB (RFC 9659)", "checksum": "its checksum is wrong"}
"""What to tell for a word of the library's reason."""


def open_decoder(content_encoding: bytes, limit: int) -> Decoder | None:
    """A decoder for a body with that `Content-Encoding`, of at most `limit` decompressed bytes; None for `identity`.

    Raises `HTTPProblem` 415 for a coding that is not served, and for more than one.
    """
    text = content_encoding.decode("latin-1")
    names = [name for name in (item.strip(" \t").lower() for item in text.split(",")) if name not in ("", "identity")]
    if not names:
        return None
    if len(names) > 1 or names[0] not in CODINGS:
        more = ": only one coding is" if len(names) > 1 else ""
        shown = text if len(text) <= 100 else text[:100] + "..."
        raise HTTPProblem(415, f"Content-Encoding {shown} is not served{more}", {"accept-encoding": ACCEPTED})
    return Decoder(names[0], limit)


class Decoder:
    """One body being decompressed. After a raised problem it is of no more use.

    It takes what it makes of the body so far, and a MiB.
    """

    def __init__(self, coding: str, limit: int) -> None:
        self._open = CODINGS[coding]
        self._coding = coding.removeprefix("x-")
        self._limit = limit
        self._body = bytearray()
        self._member: Member | None = None
        self._members = 0
        self._began = 0  # where in the body the member did
        self._head = bytearray()  # its first bytes

    @property
    def held(self) -> int:
        """Bytes that it holds of the body so far: a growing array keeps an eighth in reserve."""
        return len(self._body) + (len(self._body) >> 3)

    def feed(self, data: bytes | memoryview) -> Iterator[int]:
        """Decompress the next bytes of the body, however many: a step for each MiB that they make, and its size.

        Raises `HTTPProblem` 413 as soon as the limit is passed, 400 where the bytes are no such coding.
        """
        view = memoryview(data)
        told = len(self._body)
        for start in range(0, len(view), INPUT_BYTES):
            for size in self._take(view[start : start + INPUT_BYTES]):
                if size - told >= OUTPUT_BYTES:
                    told = size
                    yield size

    def finish(self) -> bytearray:
        """The whole body. Raises `HTTPProblem` 400 if more should have come, or if nothing came."""
        if self._member is not None or not self._members:
            raise HTTPProblem(400, f"the {self._coding} body ends too early")
        return self._body

    def _take(self, data: bytes | memoryview) -> Iterator[int]:
        while True:
            member = self._member
            if member is None:
                member = self._begin(data[0])
            if len(self._head) < HEAD_BYTES:
                self._head += data[: HEAD_BYTES - len(self._head)]
            room = min(OUTPUT_BYTES, self._limit - len(self._body) + 1)
            try:
                made = member.decompress(data, room)
            except (zlib.error, zstd.ZstdError) as error:
                raise self._broken(error) from None
            self._body += made
            yield len(self._body)
            if len(self._body) > self._limit:
                raise HTTPProblem(
                    413, f"the decompressed body is larger than {self._limit} bytes", {"connection": "close"}
                )
            if member.eof:
                self._check_size()
                self._member = None
                data = member.unused_data
                if not data:
                    return
            else:
                # zlib hands back what it has not read yet; zstd keeps it. Either may hold output back for want of room.
                data = getattr(member, "unconsumed_tail", b"")
                if not data and len(made) < room:
                    return

    def _begin(self, first: int) -> Member:
        if self._members and first not in FURTHER[self._coding]:
            raise HTTPProblem(400, f"the {self._coding} body is followed by bytes that are no part of it")
        if self._members == MAX_MEMBERS:
            raise HTTPProblem(
                413, f"the {self._coding} body has more than {MAX_MEMBERS} parts", {"connection": "close"}
            )
        self._members += 1
        self._began = len(self._body)
        self._head.clear()
        self._member = self._open(first)
        return self._member

    def _check_size(self) -> None:
        # The library does so too, but not where a frame comes in pieces and its last block is empty.
        if self._coding == "zstd":
            told = zstd.get_frame_info(self._head).decompressed_size
            if told not in (None, len(self._body) - self._began):
                raise HTTPProblem(400, f"the zstd body is broken: {DAMAGED}")

    def _broken(self, error: Exception) -> HTTPProblem:
        reason = str(error).rpartition(": ")[2]  # before the colon both libraries put what they were at
        if isinstance(error, zstd.ZstdError):
            # Its other reasons depend on how the bytes came.
            reason = next((told for word, told in ZSTD_REASONS.items() if word in reason), DAMAGED)
        return HTTPProblem(400, f"the {self._coding} body is broken: {reason}")
