"""Content codings over HTTP: compressed requests in every form, compressed answers to those who ask for them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import numpy as np
import pytest
import zstandard
from isal import igzip, isal_zlib

from service.settings import Settings
from tests.asgi import InProcess, problem_of, strict
from tests.binary import MEDIA_TYPE, pack, unpack

JSON: Final = "application/json"
BODY: Final = json.dumps({"loss": "mse_loss", "input": [3.0] * 600, "target": [1.0] * 600}).encode()
TENSORS: Final = {"input": np.full(600, 3, np.float32), "target": np.full(600, 1, np.float32)}
BINARY: Final = pack(TENSORS, loss="mse_loss")
WRITERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
READERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}
BOMBERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    **WRITERS,
    "gzip": lambda data: igzip.compress(data, 1),  # a tenth of the standard library's time
    "deflate": lambda data: isal_zlib.compress(data, 1),
}
each_coding = pytest.mark.parametrize("coding", WRITERS)


@pytest.fixture(scope="module")
def tight() -> Iterator[InProcess]:
    """The application with bodies of 5,000 bytes, and of 10,000 decompressed."""
    with InProcess(made(max_body_bytes=5000, max_decompressed_bytes=10_000)) as client:
        yield client


@pytest.fixture(scope="module")
def uncompressed() -> Iterator[InProcess]:
    """The application that compresses nothing of its own accord."""
    with InProcess(made(compress_bytes=0)) as client:
        yield client


def made(**given: Any) -> Settings:
    return Settings(device="cpu", access_log=False, log_level="error", **given)


def peaked(rows: int = 64) -> dict[str, Any]:
    """Tensors of a cross entropy that is sure of nearly all its classes: its gradients are mostly 0."""
    rng = np.random.default_rng(3)
    target = rng.integers(0, 100, rows)
    logits = np.zeros((rows, 100), np.float32)
    logits[np.arange(rows), target] = 200
    return {"input": logits, "target": target}


def raw(
    client: InProcess, body: bytes, media: str, accept_encoding: str, accept: str = ""
) -> tuple[httpx.Headers, bytes]:
    """The headers and the content of an answer as it came, which httpx would decode."""

    async def ask() -> tuple[httpx.Headers, bytes]:
        named = {"content-type": media, "accept-encoding": accept_encoding, "accept": accept or media}
        request = client.http.build_request("POST", "/v1/loss", content=body, headers=named)
        response = await client.http.send(request, stream=True)
        assert response.status_code == 200
        return response.headers, b"".join([part async for part in response.aiter_raw()])

    return client.run(ask())


def json_request(**tensors: Any) -> bytes:
    members = {name: array.tolist() for name, array in tensors.items()}
    return json.dumps({"loss": "cross_entropy", **members}).encode()


# Requests.


@each_coding
def test_a_compressed_request_is_answered_as_the_plain_one(client: InProcess, coding: str) -> None:
    for body, media in ((BODY, JSON), (BINARY, MEDIA_TYPE)):
        plain = client.post(body, content_type=media)
        coded = client.post(WRITERS[coding](body), content_type=media, content_encoding=coding)
        assert plain.status_code == coded.status_code == 200
        assert coded.content == plain.content


@each_coding
def test_a_compressed_request_may_come_in_pieces(client: InProcess, coding: str) -> None:
    coded = WRITERS[coding](BODY)

    async def pieces() -> Any:
        for at in range(0, len(coded), 7):
            yield coded[at : at + 7]

    headers = {"content-type": JSON, "content-encoding": coding}
    response = client.request("POST", "/v1/loss", content=pieces(), headers=headers)
    assert response.json()["loss"] == 4.0


@each_coding
@pytest.mark.parametrize("size", [10_000, 10_001])
def test_the_decompressed_size_is_bounded(tight: InProcess, coding: str, size: int) -> None:
    response = tight.post(WRITERS[coding](BODY.ljust(size)), content_encoding=coding)
    if size == 10_000:
        assert response.json()["loss"] == 4.0
    else:
        assert problem_of(response, 413)["detail"] == "the decompressed body is larger than 10000 bytes"
        assert response.headers["connection"] == "close"


@each_coding
def test_the_compressed_size_is_bounded_too(tight: InProcess, coding: str) -> None:
    body = WRITERS[coding](np.random.default_rng(1).bytes(8000))
    assert problem_of(tight.post(body, content_encoding=coding), 413)["detail"] == "the body is larger than 5000 bytes"


@each_coding
def test_a_bomb_is_refused(client: InProcess, coding: str) -> None:
    bomb = BOMBERS[coding](bytes(300 << 20))
    assert len(bomb) < 400_000
    assert "decompressed" in problem_of(client.post(bomb, content_encoding=coding), 413)["detail"]


@each_coding
@pytest.mark.parametrize("media", [JSON, MEDIA_TYPE])
def test_what_is_no_such_coding_is_malformed(client: InProcess, coding: str, media: str) -> None:
    coded = WRITERS[coding](BODY if media == JSON else BINARY)
    for broken in (b"", b"{}", coded[:-1], coded[: len(coded) // 2], coded + b"{}", b"\0" * 100):
        problem = problem_of(client.post(broken, content_type=media, content_encoding=coding), 400)
        assert coding in problem["detail"]


def test_a_coding_that_is_not_the_one_told_is_malformed(client: InProcess) -> None:
    problem_of(client.post(gzip.compress(BODY), content_encoding="zstd"), 400)
    problem_of(client.post(gzip.compress(BODY)), 400)


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, zstd", "nonsense"])
@pytest.mark.parametrize("media", [JSON, MEDIA_TYPE])
def test_a_coding_that_is_not_served_is_told_with_those_that_are(client: InProcess, coding: str, media: str) -> None:
    response = client.post(BODY, content_type=media, content_encoding=coding)
    assert coding in problem_of(response, 415)["detail"]
    assert response.headers["accept-encoding"] == "gzip, deflate, zstd, identity"


@each_coding
def test_what_is_in_a_coding_is_checked_as_ever(client: InProcess, coding: str) -> None:
    assert "no JSON" in problem_of(client.post(WRITERS[coding](b"nope"), content_encoding=coding), 400)["detail"]
    problem_of(client.post(WRITERS[coding](b"nope"), content_type=MEDIA_TYPE, content_encoding=coding), 400)
    problem_of(client.post(WRITERS[coding](b'{"loss": "mse_loss"}'), content_encoding=coding), 422)


# Answers.


@each_coding
@pytest.mark.parametrize("form", [JSON, MEDIA_TYPE])
def test_a_large_answer_comes_in_the_coding_that_is_asked_for(client: InProcess, coding: str, form: str) -> None:
    body = pack(peaked(), loss="cross_entropy")
    headers, plain = raw(client, body, MEDIA_TYPE, "identity", form)
    assert "content-encoding" not in headers
    headers, coded = raw(client, body, MEDIA_TYPE, coding, form)
    assert headers["content-encoding"] == coding
    assert headers["content-type"] == form
    assert "server-timing" in headers
    assert int(headers["content-length"]) == len(coded) < len(plain) / 2
    assert READERS[coding](coded) == plain


@each_coding
def test_httpx_reads_an_answer_as_if_it_were_plain(client: InProcess, coding: str) -> None:
    response = client.post(json_request(**peaked()), accept_encoding=coding)
    assert response.headers["content-encoding"] == coding
    assert response.json() == client.post(json_request(**peaked()), accept_encoding="identity").json()
    unpacked, _ = unpack(client.post(pack(peaked(), loss="cross_entropy"), content_type=MEDIA_TYPE).content)
    assert unpacked["gradients.input"].shape == (64, 100)


@pytest.mark.parametrize("accept", ["gzip", "gzip, deflate, br, zstd", "*"])
def test_a_small_answer_is_left_alone(client: InProcess, accept: str) -> None:
    response = client.post(b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}', accept_encoding=accept)
    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "accept-encoding"


@each_coding
def test_an_answer_that_would_hardly_get_smaller_is_left_alone(client: InProcess, coding: str) -> None:
    rng = np.random.default_rng(4)
    tensors = {name: rng.normal(size=20_000).astype(np.float32) for name in ("input", "target")}
    headers, found = raw(client, pack(tensors, loss="mse_loss"), MEDIA_TYPE, coding)
    assert "content-encoding" not in headers
    assert headers["vary"] == "accept-encoding"
    assert unpack(found)[0]["gradients.input"].shape == (20_000,)


def test_the_answer_varies_by_accept_encoding_whatever_its_form(client: InProcess) -> None:
    for body, media in ((json_request(**peaked()), JSON), (pack(peaked(), loss="cross_entropy"), MEDIA_TYPE)):
        for accept in ("gzip", "gzip;q=0.1, deflate", "zstd"):
            assert raw(client, body, media, accept)[0]["vary"] == "accept-encoding"


@pytest.mark.parametrize("refused", ["identity;q=0", "*;q=0", "br, *;q=0", "gzip;q=0, zstd;q=0, deflate;q=0, *;q=0"])
@pytest.mark.parametrize(("body", "media"), [(BODY, JSON), (BINARY, MEDIA_TYPE), (b"nope", JSON)])
def test_what_allows_no_coding_and_not_none_is_not_acceptable(
    client: InProcess, refused: str, body: bytes, media: str
) -> None:
    response = client.post(body, content_type=media, accept_encoding=refused)
    assert "content-encoding" not in response.headers
    assert "Accept-Encoding" in problem_of(response, 406)["detail"]


@each_coding
def test_where_identity_is_refused_even_a_small_answer_is_coded(client: InProcess, coding: str) -> None:
    response = client.post(BODY, accept_encoding=f"{coding}, identity;q=0")
    assert response.headers["content-encoding"] == coding
    assert response.json()["loss"] == 4.0


@each_coding
@pytest.mark.parametrize(
    ("body", "media", "status"),
    [(b"[" * 9000, JSON, 400), (b"\0" * 9000, MEDIA_TYPE, 400), (BODY, "text/plain", 415), (b"{}", JSON, 422)],
)
def test_problems_are_never_compressed(client: InProcess, coding: str, body: bytes, media: str, status: int) -> None:
    response = client.post(body, content_type=media, accept_encoding=f"{coding}, identity;q=0")
    assert "content-encoding" not in response.headers
    problem_of(response, status)


def test_a_large_problem_is_not_compressed_either(client: InProcess) -> None:
    members = {f"member{at}": 1 for at in range(500)}
    response = client.post(json.dumps({"loss": "mse_loss", **members}).encode(), accept_encoding="gzip")
    assert len(problem_of(response, 422)["errors"]) == 256
    assert "content-encoding" not in response.headers
    assert len(response.content) > 4096


@each_coding
def test_a_server_that_compresses_nothing_does_so_only_where_it_must(uncompressed: InProcess, coding: str) -> None:
    body = pack(peaked(), loss="cross_entropy")
    assert "content-encoding" not in raw(uncompressed, body, MEDIA_TYPE, coding)[0]
    assert raw(uncompressed, body, MEDIA_TYPE, f"{coding}, identity;q=0")[0]["content-encoding"] == coding
    assert uncompressed.post(WRITERS[coding](BODY), content_encoding=coding).json()["loss"] == 4.0


# Documents.


@pytest.mark.parametrize("path", ["/v1/losses", "/openapi.json"])
def test_large_documents_come_in_gzip(client: InProcess, path: str) -> None:
    coded = client.get(path, headers={"accept-encoding": "gzip"})
    plain = client.get(path, headers={"accept-encoding": "identity"})
    assert coded.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert strict(coded.content) == strict(plain.content)
    for response in (coded, plain):
        assert response.headers["vary"].lower() == "accept-encoding"
    assert int(coded.headers["content-length"]) < len(plain.content) / 2


def test_gzip_that_is_refused_by_weight_is_not_sent(client: InProcess) -> None:
    assert "content-encoding" not in client.get("/v1/losses", headers={"accept-encoding": "gzip;q=0"}).headers
