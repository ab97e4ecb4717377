"""413: bodies and elements over the limits, refused as early as can be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.asgi import InProcess, pointers, problem_of


def send(client: InProcess, body: AsyncIterator[bytes], **headers: str) -> httpx.Response:
    """Post a body that is made on the way."""
    return client.request("POST", "/v1/loss", content=body, headers=headers)


def test_a_body_whose_content_length_is_too_large_is_refused_unread(small: InProcess) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    response = send(small, body(), **{"content-length": "2001"})
    assert "2000 bytes" in problem_of(response, 413)["detail"]


def test_a_chunked_body_is_refused_once_it_is_too_large(small: InProcess) -> None:
    sent = []

    async def body() -> AsyncIterator[bytes]:
        for at in range(1000):
            sent.append(at)
            yield b" " * 500

    assert "2000 bytes" in problem_of(send(small, body()), 413)["detail"]
    assert len(sent) == 5


@pytest.mark.parametrize(("size", "status"), [(2000, 200), (2001, 413)])
def test_the_limit_itself_is_allowed(small: InProcess, size: int, status: int) -> None:
    body = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'.ljust(size)
    assert small.post(body).status_code == status

    async def chunked() -> AsyncIterator[bytes]:
        yield body[:100]
        yield body[100:]

    assert send(small, chunked()).status_code == status


@pytest.mark.parametrize("declared", ["-1", "abc", "1e3"])
def test_a_content_length_that_is_no_number_is_not_trusted(small: InProcess, declared: str) -> None:
    response = small.post(b" " * 2001, content_length=declared)
    assert response.status_code in (400, 413)


def test_elements_over_the_limit_are_told_in_detail(small: InProcess) -> None:
    problem = small.refusal(413, "mse_loss", input=[0.5] * 40, target=[1.0] * 40)
    assert "120 elements" in problem["detail"]
    assert "100" in problem["detail"]


def test_a_shape_without_its_data_is_refused_by_arithmetic(client: InProcess) -> None:
    huge = {"dtype": "float32", "shape": [2**30, 2**30, 2**30], "data": ""}
    assert client.post(json.dumps({"loss": "mse_loss", "input": huge, "target": [1.0]}).encode()).status_code in (
        413,
        422,
    )


@pytest.mark.parametrize("size", [2**31, 2**63, 2**64 - 1])
def test_a_size_beyond_every_limit_is_too_large(client: InProcess, size: int) -> None:
    problem = client.refusal(413, "mse_loss", input={"dtype": "float32", "shape": [size], "data": ""}, target=[1.0])
    assert "/input/shape" in pointers(problem)


EXPANDED: dict[str, dict[str, Any]] = {
    # 40 + 40 given; a weight of one element expands to 40, and the loss is 40.
    "binary_cross_entropy": {"input": [0.5] * 30, "target": [1.0] * 30, "weight": [1.0]},
    "gaussian_nll_loss": {"input": [0.5] * 30, "target": [1.0] * 30, "var": 1.0},
    # Logits of 20 rows and 4 classes.
    "linear_cross_entropy": {"input": [[0.5]] * 20, "linear_weight": [[1.0]] * 4, "target": [0] * 20},
    # 3 frames, 1 sequence, 2S + 1 states.
    "ctc_loss": {
        "log_probs": [[[-1.0, -1.0]]] * 3,
        "targets": [[1] * 16],
        "input_lengths": [3],
        "target_lengths": [1],
    },
}


@pytest.mark.parametrize("loss", EXPANDED)
def test_what_a_computation_needs_beside_its_tensors_counts(small: InProcess, loss: str) -> None:
    assert "the limit is 100" in small.refusal(413, loss, **EXPANDED[loss])["detail"]


def test_a_cotangent_counts(small: InProcess) -> None:
    request = {"input": [0.5] * 30, "target": [1.0] * 30, "reduction": "none"}
    assert small.answer("mse_loss", **request)["count"] == 30
    assert "120 elements" in small.refusal(413, "mse_loss", **request, cotangent=[1.0] * 30)["detail"]


def test_the_limits_are_told(small: InProcess) -> None:
    assert small.get("/v1/limits").json() == {
        "body_bytes": 2000,
        "decompressed_bytes": 268435456,
        "elements": 100,
        "batch_losses": 1024,
        "depth": 32,
        "dims": 8,
        "tensors": 64,
        "errors": 256,
        "containers": 1048576,
        "inflight_bytes": 1073741824,
        "inflight_requests": 1024,
        "evaluation_batches": 1024,
        "evaluation_samples": 100_000_000,
        "evaluation_runs": 100_000,
        "evaluation_bytes": 16 << 30,
        "queue_seconds": 10.0,
    }


def test_the_default_limits_are_the_contracts(client: InProcess) -> None:
    limits = client.get("/v1/limits").json()
    assert (limits["body_bytes"], limits["elements"]) == (64 << 20, 16 << 20)
