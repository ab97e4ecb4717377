"""Small bodies that become large: compression bombs, and sizes that the bytes do not back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest
import zstandard
from isal import igzip, isal_zlib

from tests.binary import MEDIA_TYPE, forge
from tests.e2e.large import MB
from tests.e2e.test_wire import Caller, post
from tests.serving import RunningServer


def blown(compress: Callable[[bytes], bytes], mebibytes: int) -> bytes:
    """White space, which JSON allows to any length."""
    return compress(b" " * (mebibytes * MB))


def raw(data: bytes) -> bytes:
    made = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
    return made.compress(data) + made.flush()


BOMBS = {
    "gzip": ("gzip", lambda data: igzip.compress(data, 1)),
    "deflate": ("deflate", lambda data: isal_zlib.compress(data, 1)),
    "bare deflate": ("deflate", raw),
    "zstd": ("zstd", zstandard.ZstdCompressor(level=19).compress),
    "many zstd frames": (
        "zstd",
        lambda data: zstandard.ZstdCompressor().compress(data[: len(data) // 64]) * 64,
    ),
    "many gzip members": ("gzip", lambda data: gzip.compress(data[: len(data) // 64], 9) * 64),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_the_bound(attacked: RunningServer, name: str) -> None:
    coding, compress = BOMBS[name]
    body = blown(compress, 320)
    assert len(body) < 2 * MB
    with Caller(attacked) as caller:
        caller.send(post(body, f"Content-Encoding: {coding}"))
        status, _, told = caller.answer()
        assert status == 413
        assert "decompressed" in json.loads(told)["detail"]


def test_a_bomb_in_a_bomb_is_undone_once(attacked: RunningServer) -> None:
    body = gzip.compress(gzip.compress(b" " * (64 * MB)))
    with Caller(attacked) as caller:
        caller.send(post(body, "Content-Encoding: gzip"))
        assert caller.answer()[0] == 400  # what it holds is no JSON
        caller.send(post(body, "Content-Encoding: gzip, gzip"))
        assert caller.answer()[0] == 415


HUGE = 1 << 40
LIES = {
    "offsets beyond the body": {"input": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}},
    "a shape that its bytes do not fill": {"input": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 8]}},
    "sizes that overflow": {"input": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 8]}},
    "an overlap": {
        "input": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "target": {"dtype": "F32", "shape": [2], "data_offsets": [4, 8]},
    },
    "a hole": {
        "input": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "target": {"dtype": "F32", "shape": [0], "data_offsets": [8, 8]},
    },
    "a type that is not its bytes'": {"input": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}},
    "an unknown type": {"input": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}},
    "a negative size": {"input": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}},
    "offsets in reverse": {"input": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
}


@pytest.mark.parametrize("name", LIES)
def test_a_binary_body_that_lies_is_refused(attacked: RunningServer, name: str) -> None:
    metadata = {"__metadata__": {"request": json.dumps({"loss": "mse_loss"})}}
    for path in ("/v1/loss", "/v1/losses/mse_loss"):
        with Caller(attacked) as caller:
            body = forge({**metadata, **LIES[name]}, b"\0" * 8)
            caller.send(post(body, f"Content-Type: {MEDIA_TYPE}").replace(b"/v1/loss ", path.encode() + b" "))
            status, headers, _ = caller.answer()
            assert status in (400, 413, 415, 422)
            assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("length", [0, 7, 1 << 20, 1 << 32, 2**63, 2**64 - 1])
def test_a_binary_header_that_lies_about_its_length_is_refused(attacked: RunningServer, length: int) -> None:
    with Caller(attacked) as caller:
        caller.send(post(length.to_bytes(8, "little") + b"{}", f"Content-Type: {MEDIA_TYPE}"))
        assert caller.answer()[0] == 400


def test_a_header_of_many_tensors_is_refused(attacked: RunningServer) -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    with Caller(attacked) as caller:
        caller.send(post(forge({f"t{at}": entry for at in range(50_000)}), f"Content-Type: {MEDIA_TYPE}"))
        assert caller.answer()[0] in (400, 413, 422)


@pytest.mark.parametrize("told", ["0", "1", "99999999", str(2**63), "-1", "0x10", "1e3", "NaN", " ", "9" * 400])
def test_an_inference_header_that_lies_about_its_length_is_refused(attacked: RunningServer, told: str) -> None:
    body = b'{"inputs": [{"name": "input", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]}'
    with Caller(attacked) as caller:
        whole = post(body + b"\0" * 8, f"Inference-Header-Content-Length: {told}")
        caller.send(whole.replace(b"/v1/loss ", b"/v2/models/mse_loss/infer "))
        status, _, answer = caller.answer()
        assert status == 400
        assert json.loads(answer)["error"]


@pytest.mark.parametrize("size", [-1, 0, 7, 9, 2**40, 2**63, 1e3, "8", None])
def test_an_inference_tensor_that_lies_about_its_size_is_refused(attacked: RunningServer, size: object) -> None:
    entry = {"name": "input", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    document = json.dumps({"inputs": [entry]}).encode()
    with Caller(attacked) as caller:
        whole = post(document + b"\0" * 8, f"Inference-Header-Content-Length: {len(document)}")
        caller.send(whole.replace(b"/v1/loss ", b"/v2/models/mse_loss/infer "))
        assert caller.answer()[0] in (400, 413, 422)
