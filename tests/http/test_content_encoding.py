"""Compressed answers: which coding a caller gets, and that every reader gets the same bytes back."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import zlib
from collections.abc import Callable
from typing import Final

import httpx
import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from service.http.content_decoding import open_decoder
from service.http.content_encoding import LEAST_BYTES, PROBED_BYTES, Coding, Part, choose, encode
from service.http.problems import HTTPProblem
from service.zstd import zstd

CODINGS: Final = ("zstd", "gzip", "deflate")
each_coding = pytest.mark.parametrize("coding", CODINGS)
READERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data),
}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, None),
        (b"", None),
        (b" , ,", None),
        (b"identity", None),
        (b"gzip", "gzip"),
        (b"x-gzip", "gzip"),
        (b"GZip", "gzip"),
        (b"deflate", "deflate"),
        (b"zstd", "zstd"),
        (b"br", None),
        (b"br, compress", None),
        (b"gzip, deflate", "gzip"),
        (b"deflate, gzip", "gzip"),
        (b"gzip, deflate, br, zstd", "zstd"),
        (b"gzip;q=1.0, zstd;q=0.9", "gzip"),
        (b"gzip ; Q=0.5 ,\tdeflate;q=0.501", "deflate"),
        (b"gzip;q=0.001", "gzip"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.000, deflate", "deflate"),
        (b"zstd;q=0, gzip", "gzip"),
        (b"*", "gzip"),
        (b"*;q=0.1", "gzip"),
        (b"gzip;q=0, *", "deflate"),
        (b"gzip;q=0, deflate;q=0, *;q=0.5", "zstd"),
        (b"*, zstd", "zstd"),
        (b"*;q=1, zstd;q=0.5", "gzip"),
        (b"br, *;q=0", "406"),
        (b"*;q=0", "406"),
        (b"identity;q=0", "406"),
        (b"identity;q=0, br", "406"),
        (b"identity;q=0, gzip;q=0, *;q=0", "406"),
        (b"gzip;q=0, deflate;q=0, zstd;q=0", None),
        (b"gzip;q=0.5, identity", None),
        (b"gzip, identity;q=0.5", "gzip"),
        (b"gzip, identity", "gzip"),
        (b"gzip;q=0.2, *;q=0.1", "gzip"),
        (b"identity, *;q=0", None),
        (b"identity;q=0.5, *;q=0", None),
        # Malformed weights: their entries are passed over.
        (b"gzip;q=2", None),
        (b"gzip;q=nan, deflate", "deflate"),
        (b"gzip;q=-1, deflate", "deflate"),
        (b"gzip;q=0.1234, deflate;q=0.1", "deflate"),
        (b"gzip;q=, deflate", "deflate"),
        (b"gzip;q=1.001", None),
        (b"identity;q=x", None),
        (b"gzip;level=9", "gzip"),
        (b"\xff\xfe, gzip", "gzip"),
    ],
)
def test_the_coding_is_what_the_caller_weighs_most(header: bytes | None, name: str | None) -> None:
    if name == "406":
        with pytest.raises(HTTPProblem, match="identity") as caught:
            choose(header)
        assert caught.value.status == 406
    else:
        chosen = choose(header)
        assert (chosen and chosen.name) == name


@pytest.mark.parametrize(
    ("header", "required"),
    [
        (b"gzip", False),
        (b"gzip, identity;q=0", True),
        (b"gzip, *;q=0", True),
        (b"gzip, *;q=0, identity;q=0.1", False),
        (b"*", False),
    ],
)
def test_a_coding_is_required_where_identity_is_refused(header: bytes, required: bool) -> None:
    assert choose(header) == Coding("gzip", required)


@given(st.text("gzipdeflatestdxnty*;q=,. 019", max_size=60))
def test_any_header_is_answered_or_refused(header: str) -> None:
    try:
        chosen = choose(header.encode())
    except HTTPProblem as problem:
        status = problem.status
    else:
        status = 200 if chosen is None or chosen.name in CODINGS else 500
    assert status in (200, 406)


def text(rows: int) -> bytes:
    gradients = np.random.default_rng(1).standard_normal((rows, 100)).astype(np.float32) / rows
    return orjson.dumps({"loss": 1.5, "gradients": {"input": gradients}}, option=orjson.OPT_SERIALIZE_NUMPY)


@each_coding
@pytest.mark.parametrize("rows", [8, 400])
def test_an_answer_in_parts_is_read_whole(coding: str, rows: int) -> None:
    body = text(rows)
    parts: list[Part] = [body[:100], memoryview(body)[100:5000], b"", bytearray(body[5000:])]
    encoded = encode(Coding(coding, required=False), parts)
    assert encoded is not None
    assert sum(map(len, encoded)) < len(body) * 0.5
    assert READERS[coding](b"".join(encoded)) == body


@each_coding
def test_what_is_written_is_read_here_too(coding: str) -> None:
    body = text(100)
    decoder = open_decoder(coding.encode(), len(body))
    assert decoder is not None
    for part in encode(Coding(coding, required=True), [body]) or []:
        list(decoder.feed(part))
    assert decoder.finish() == body


@each_coding
def test_httpx_reads_what_it_asks_for(coding: str) -> None:
    body = text(100)

    def answer(request: httpx.Request) -> httpx.Response:
        chosen = choose(request.headers["accept-encoding"].encode())
        assert chosen is not None
        encoded = encode(chosen, [body])
        assert encoded is not None
        return httpx.Response(200, headers={"content-encoding": chosen.name}, content=b"".join(encoded))

    with httpx.Client(transport=httpx.MockTransport(answer), headers={"accept-encoding": coding}) as client:
        response = client.get("http://service/")
    assert response.headers["content-encoding"] == coding
    assert response.content == body


@pytest.mark.parametrize(("coding", "command"), [("gzip", "gzip"), ("zstd", "zstd")])
def test_the_command_reads_what_is_written(coding: str, command: str) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"no {command} here")
    body = text(100)
    encoded = encode(Coding(coding, required=True), [body])
    run = subprocess.run([command, "-dc"], input=b"".join(encoded or []), capture_output=True, check=True)
    assert run.stdout == body


@each_coding
def test_views_of_any_shape_and_type_are_taken(coding: str) -> None:
    array = np.zeros((64, 300), np.float32)
    array[:, 7] = 1.5
    encoded = encode(Coding(coding, required=False), [b"head", array.data])
    assert encoded is not None
    assert READERS[coding](b"".join(encoded)) == b"head" + array.tobytes()


@each_coding
def test_small_answers_are_left_alone(coding: str) -> None:
    body = b"1" * LEAST_BYTES
    assert encode(Coding(coding, required=False), [body[:-1]]) is None
    assert encode(Coding(coding, required=False), [body]) is not None


@each_coding
@pytest.mark.parametrize("elements", [2000, PROBED_BYTES])
def test_random_float32_is_left_alone(coding: str, elements: int) -> None:
    values = np.random.default_rng(2).standard_normal(elements).astype(np.float32)
    assert encode(Coding(coding, required=False), [b"head", values.tobytes()]) is None


@each_coding
@pytest.mark.parametrize("body", [b"", b"{}", np.random.default_rng(3).bytes(100_000)], ids=["none", "two", "random"])
def test_a_required_coding_is_always_applied(coding: str, body: bytes) -> None:
    encoded = encode(Coding(coding, required=True), [body])
    assert encoded is not None
    assert READERS[coding](b"".join(encoded)) == body


def test_a_zstd_answer_tells_its_size() -> None:
    body = text(100)
    encoded = encode(Coding("zstd", required=False), [body[:50], body[50:]])
    assert encoded is not None
    assert zstd.get_frame_info(b"".join(encoded)).decompressed_size == len(body)


@each_coding
@given(parts=st.lists(st.binary(max_size=200), max_size=6))
def test_any_parts_come_back(coding: str, parts: list[Part]) -> None:
    encoded = encode(Coding(coding, required=True), parts)
    assert encoded is not None
    assert READERS[coding](b"".join(encoded)) == b"".join(parts)
