"""Compressed request bodies: whatever the pieces, the same body or the same refusal, and never more than the limit."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from isal import igzip

from service.http import content_decoding
from service.http.content_decoding import open_decoder
from service.http.problems import HTTPProblem
from service.zstd import zstd

LIMIT: Final = 1 << 20
BODY: Final = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}' * 40
SKIPPABLE: Final = b"\x5a\x2a\x4d\x18\x05\x00\x00\x00notes"


def bare(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


WRITERS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "gzip": ("gzip", gzip.compress),
    "igzip": ("gzip", igzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "zstd": ("zstd", zstd.compress),
    "zstd with a checksum": ("zstd", lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data)),
    "zstd of unknown size": ("zstd", lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data)),
}
each_writer = pytest.mark.parametrize(("coding", "compress"), WRITERS.values(), ids=WRITERS)
GZIPPED = gzip.compress(BODY, mtime=0)
"""The same in every process: names of tests are made of it."""

each_coding = pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])


def decoded(coding: str, *pieces: bytes, limit: int = LIMIT) -> bytearray:
    decoder = open_decoder(coding.encode(), limit)
    assert decoder is not None
    for piece in pieces:
        list(decoder.feed(piece))
    return decoder.finish()


def refusal(coding: str, *pieces: bytes, limit: int = LIMIT) -> tuple[int, str]:
    with pytest.raises(HTTPProblem) as caught:
        decoded(coding, *pieces, limit=limit)
    return caught.value.status, caught.value.detail


@pytest.mark.parametrize("header", [b"", b"identity", b" Identity ", b"identity, identity", b","])
def test_identity_needs_no_decoder(header: bytes) -> None:
    assert open_decoder(header, LIMIT) is None


@pytest.mark.parametrize("header", ["GZIP", " gzip ", "identity, gzip", "gzip,", "X-GZip"])
def test_a_coding_is_known_however_it_is_written(header: str) -> None:
    assert decoded(header, GZIPPED) == BODY


@pytest.mark.parametrize("header", ["br", "compress", "gzip, gzip", "gzip, deflate", "gzip;q=1", "x-zstd", "\xff"])
def test_other_and_stacked_codings_are_not_served(header: str) -> None:
    with pytest.raises(HTTPProblem) as caught:
        open_decoder(header.encode("latin-1"), LIMIT)
    assert caught.value.status == 415
    assert header in caught.value.detail
    assert caught.value.headers == {"accept-encoding": "gzip, deflate, zstd, identity"}


def test_a_long_coding_is_told_in_part() -> None:
    with pytest.raises(HTTPProblem) as caught:
        open_decoder(b"x" * 10_000, LIMIT)
    assert len(caught.value.detail) < 200


@each_writer
@pytest.mark.parametrize("size", [0, 1, 100, 70_000, LIMIT])
def test_a_body_comes_out_as_it_went_in(coding: str, compress: Callable[[bytes], bytes], size: int) -> None:
    body = (np.arange(size) ** 2 % 251).astype(np.uint8).tobytes()
    assert decoded(coding, compress(body)) == body


@each_writer
def test_a_body_comes_out_of_single_bytes(coding: str, compress: Callable[[bytes], bytes]) -> None:
    assert decoded(coding, *[bytes([byte]) for byte in compress(BODY)]) == BODY


@each_coding
@given(data=st.data())
def test_any_split_of_the_bytes_gives_the_same(coding: str, data: st.DataObject) -> None:
    body = data.draw(st.one_of(st.binary(max_size=400), st.binary(min_size=1, max_size=3).map(lambda run: run * 5000)))
    body_of = [compress for name, compress in WRITERS.values() if name == coding]
    parts = [data.draw(st.sampled_from(body_of))(body) for _ in range(1 if coding == "deflate" else 2)]
    stream = b"".join(parts)
    damage = data.draw(st.sampled_from(["none", "cut", "changed", "more"]))
    at = data.draw(st.integers(0, len(stream) - 1))
    if damage == "cut":
        stream = stream[:at]
    elif damage == "changed":
        stream = stream[:at] + bytes([stream[at] ^ data.draw(st.integers(1, 255))]) + stream[at + 1 :]
    elif damage == "more":
        stream += data.draw(st.binary(min_size=1, max_size=20))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    limit = data.draw(st.sampled_from([LIMIT, len(body) * len(parts), len(body)]))

    def outcome(*pieces: bytes) -> bytes | int:
        try:
            return bytes(decoded(coding, *pieces, limit=limit))
        except HTTPProblem as problem:
            # Of a body that is both broken and too large, either is told.
            return problem.status if limit == LIMIT or damage == "none" else 0

    assert outcome(*pieces) == outcome(stream)
    if damage == "none" and limit >= len(body) * len(parts):
        assert outcome(stream) == body * len(parts)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_follow_each_other(coding: str) -> None:
    compress = WRITERS[coding][1]
    assert decoded(coding, compress(b"one"), compress(b""), compress(b"two") + compress(b"three")) == b"onetwothree"


def test_skippable_frames_are_skipped() -> None:
    frame = zstd.compress(BODY)
    assert decoded("zstd", SKIPPABLE + frame + SKIPPABLE + SKIPPABLE + frame + SKIPPABLE) == BODY * 2
    assert refusal("zstd", frame + SKIPPABLE[:-1]) == (400, "the zstd body ends too early")


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 17])
def test_a_zstd_frame_of_another_size_than_it_tells_is_broken(cut: int) -> None:
    block = b"\x18\x00\x00abc"
    told, empty = b"\x28\xb5\x2f\xfd\x20\x03", b"\x01\x00\x00"
    sound = told + block + empty
    assert decoded("zstd", sound[:cut], sound[cut:]) == b"abc"
    other = told[:-1] + b"\x04" + block + empty
    assert refusal("zstd", other[:cut], other[cut:]) == (400, "the zstd body is broken: it is no zstd, or damaged")


def test_a_gzip_head_with_all_its_fields_is_read() -> None:
    head = b"\x1f\x8b\x08\x1e" + bytes(4) + b"\x00\x03" + b"\x04\x00more" + b"a name\x00" + b"a comment\x00"
    head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    assert decoded("gzip", head + GZIPPED[10:]) == BODY


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_too_many_members_are_refused(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_decoding, "MAX_MEMBERS", 5)
    member = WRITERS[coding][1](b"x")
    assert decoded(coding, member * 5) == b"xxxxx"
    assert refusal(coding, member * 6) == (413, f"the {coding} body has more than 5 parts")


@each_writer
def test_every_beginning_of_a_body_ends_too_early(coding: str, compress: Callable[[bytes], bytes]) -> None:
    stream = compress(BODY)
    for end in range(len(stream)):
        assert refusal(coding, stream[:end]) == (400, f"the {coding.removeprefix('x-')} body ends too early")


@each_coding
def test_no_bytes_are_no_body(coding: str) -> None:
    assert refusal(coding) == (400, f"the {coding} body ends too early")
    assert refusal(coding, b"") == (400, f"the {coding} body ends too early")


@each_writer
@pytest.mark.parametrize("more", [b"\x00", b"more of it", bytes(100), BODY])
def test_bytes_after_the_end_are_refused(coding: str, compress: Callable[[bytes], bytes], more: bytes) -> None:
    expected = (400, f"the {coding.removeprefix('x-')} body is followed by bytes that are no part of it")
    assert refusal(coding, compress(BODY) + more) == expected
    assert refusal(coding, compress(BODY), more) == expected


@pytest.mark.parametrize(
    ("coding", "stream", "reason"),
    [
        ("gzip", BODY, "incorrect header check"),
        ("gzip", zlib.compress(BODY), "incorrect header check"),
        ("gzip", b"\x1f\x8b\x07" + GZIPPED[3:], "unknown compression method"),
        ("gzip", GZIPPED[:-8] + bytes(8), "incorrect data check"),
        ("gzip", GZIPPED[:-4] + bytes(4), "incorrect length check"),
        ("gzip", GZIPPED[:10] + b"\xff" * 20, "invalid block type"),
        ("deflate", zlib.compress(BODY)[:-4] + bytes(4), "incorrect data check"),
        ("deflate", b"\x78\x00" + bytes(10), "incorrect header check"),
        ("deflate", b"\xff" * 10, "invalid block type"),
        ("zstd", BODY, "it is no zstd, or damaged"),
        ("zstd", WRITERS["zstd with a checksum"][1](BODY)[:-4] + bytes(4), "its checksum is wrong"),
        ("zstd", zstd.compress(BODY)[:6] + b"\xff" * 90, "it is no zstd, or damaged"),
    ],
)
def test_a_broken_body_is_refused_with_the_reason(coding: str, stream: bytes, reason: str) -> None:
    assert refusal(coding, stream) == (400, f"the {coding} body is broken: {reason}")


def test_a_body_that_needs_a_dictionary_is_refused() -> None:
    words = b"loss input target gradients reduction mean sum none " * 10
    stream = zlib.compressobj(zdict=words)
    assert refusal("deflate", stream.compress(BODY) + stream.flush())[0] == 400
    trained = zstandard.ZstdCompressionDict(words, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    frame = zstandard.ZstdCompressor(dict_data=trained).compress(words)
    assert refusal("zstd", frame)[0] == 400


@pytest.mark.parametrize(("log", "served"), [(10, True), (23, True), (24, False), (27, False)])
def test_zstd_windows_of_8_mib_are_read_and_larger_ones_refused(log: int, served: bool) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=log, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = stream.compress(BODY) + stream.flush()
    if served:
        assert decoded("zstd", frame) == BODY
    else:
        assert refusal("zstd", frame) == (400, "the zstd body is broken: its window is larger than 8 MiB (RFC 9659)")


@each_writer
def test_the_limit_is_the_last_size_that_is_read(coding: str, compress: Callable[[bytes], bytes]) -> None:
    for size in (1, 1000, 3 << 20):
        stream = compress(bytes(size))
        assert len(decoded(coding, stream, limit=size)) == size
        too_large = (413, f"the decompressed body is larger than {size - 1} bytes")
        assert refusal(coding, stream, limit=size - 1) == too_large


def test_an_empty_body_passes_a_limit_of_nothing() -> None:
    assert decoded("gzip", gzip.compress(b""), limit=0) == b""


@each_coding
def test_the_limit_is_told_before_the_body_has_come(coding: str) -> None:
    stream = WRITERS[coding][1](bytes(50 << 20))
    decoder = open_decoder(coding.encode(), 1 << 20)
    assert decoder is not None
    with pytest.raises(HTTPProblem, match="larger than 1048576 bytes"):
        list(decoder.feed(stream[: len(stream) // 2]))


BOMBS: Final = """
from pathlib import Path
from isal import isal_zlib  # writes in 0.2 s what takes zlib six
from service.http.content_decoding import open_decoder
from service.http.problems import HTTPProblem
from service.zstd import zstd

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def bomb(coding):
    wbits = 31 if coding == "gzip" else 15
    stream = zstd.ZstdCompressor(1) if coding == "zstd" else isal_zlib.compressobj(1, isal_zlib.DEFLATED, wbits)
    mebibyte = bytes(1 << 20)
    return b"".join([stream.compress(mebibyte) for _ in range(1024)]) + stream.flush()

for coding in ("gzip", "deflate", "zstd"):
    body = bomb(coding)
    for limit in (1 << 20, 32 << 20):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before = memory("VmRSS")
        decoder = open_decoder(coding.encode(), limit)
        try:
            list(decoder.feed(body))
        except HTTPProblem as problem:
            print(coding, len(body), limit, memory("VmHWM") - before, problem.status)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read, and forgotten, in /proc")
def test_a_gibibyte_of_zeros_takes_its_limit_in_memory_and_a_few_mebibytes() -> None:
    run = subprocess.run([sys.executable, "-c", BOMBS], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 6, run.stdout
    for line in lines:
        coding, size, limit, taken, status = line.split()
        assert status == "413", line
        assert int(size) < 1 << 23, "a bomb is small"
        # The few: the decompressor's window (zstd's is 512 KiB here), its last piece, and how buffers grow.
        assert int(taken) < int(limit) * 1.25 + (6 << 20), f"{coding}: {line}"


@pytest.mark.parametrize("command", ["gzip -1", "gzip -9", "zstd -1", "zstd -19", "zstd --no-check", "zstd --fast=5"])
def test_what_the_command_writes_is_read(command: str) -> None:
    coding, option = command.split()
    if shutil.which(coding) is None:
        pytest.skip(f"no {coding} here")
    body = np.random.default_rng(7).standard_normal(100_000).astype(np.float32).tobytes()
    run = subprocess.run([coding, "-c", option], input=body, capture_output=True, check=True)
    assert decoded(coding, run.stdout) == body
