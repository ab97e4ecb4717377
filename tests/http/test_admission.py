"""What gets in: bounds on requests, bytes and the queue over the whole process; refusals say when to come back."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from service.engine.base import Load
from service.http.admission import BASE_BYTES, Admission
from service.http.problems import HTTPProblem
from service.settings import Settings
from tests.asgi import InProcess, problem_of

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
MIB = 1 << 20


class Working:
    """An engine that has so many elements before it, at so many a second."""

    def __init__(self, elements: int, elements_per_second: float) -> None:
        self.load = Load(1, elements, elements_per_second)
        self.backlog = elements / elements_per_second


def admission(engine: Working | None = None, **settings: Any) -> Admission:
    """The accounts of a process with these limits."""
    return Admission(Settings(device="cpu", **settings), engine)


def refusal(made: Admission, length: int = 0, **headers: str) -> HTTPProblem:
    """How a request with a body of that length is refused."""
    fields = {b"content-length": b"%d" % length} | {name.encode(): value.encode() for name, value in headers.items()}
    with pytest.raises(HTTPProblem) as caught:
        made.admit({}, fields, length, 2)
    assert made.refused.total() > 0
    return caught.value


def test_what_is_given_back_is_nothing_owed() -> None:
    made = admission()
    claims = [made.admit({}, {}, 1000, 2) for _ in range(3)]
    assert (made.requests, made.bytes) == (3, 3 * (BASE_BYTES + 2000))
    claims[0].need(5 * MIB, 7 * MIB)
    claims[1].need(0, 9 * MIB)
    claims[2].reach(MIB)
    assert (made.bytes, made.work) == (3 * BASE_BYTES + 6 * MIB, 9 * MIB)
    claims[1].release()
    assert made.work == 7 * MIB
    for claim in claims * 2:
        claim.release()
    assert (made.requests, made.bytes, made.work) == (0, 0, 0)


def test_a_claim_that_was_given_back_takes_nothing() -> None:
    made = admission()
    claim = made.admit({}, {}, 0, 2)
    claim.release()
    claim.need(MIB)
    claim.reach(MIB)
    assert not claim.fits(1)
    assert made.bytes == 0


def test_requests_beyond_the_limit_are_told_when_to_come_back() -> None:
    made = admission(max_inflight_requests=1)
    made.admit({}, {}, 0, 2)
    problem = refusal(made)
    assert problem.status == 429
    assert problem.headers["retry-after"] == "1"
    assert problem.headers["ratelimit-policy"] == '"in-flight";q=1;qu="concurrent-requests"'
    assert problem.headers["ratelimit"] == '"in-flight";r=0;t=1'
    assert made.refused["requests"] == 1


def test_a_queue_that_takes_too_long_refuses_by_the_time_that_it_takes() -> None:
    made = admission(Working(4_000_000, 100_000.0), max_queue_seconds=10)
    problem = refusal(made)
    assert problem.status == 429
    assert "40.0 seconds" in problem.detail
    assert problem.headers["ratelimit-policy"] == '"queue";q=1000000;qu="elements";w=10'
    assert 35 <= int(problem.headers["retry-after"]) <= 53
    assert made.refused["queue"] == 1
    admission(Working(1_000_000, 100_000.0), max_queue_seconds=10).admit({}, {}, 0, 2)


def test_memory_that_is_taken_refuses_with_503_and_what_never_fits_with_413() -> None:
    made = admission(max_inflight_bytes=MIB)
    held = made.admit({}, {}, 0, 2)
    held.need(MIB // 2)
    problem = refusal(made, MIB // 4)
    assert (problem.status, problem.headers["retry-after"]) == (503, "1")
    assert refusal(made, MIB).status == 413
    assert (made.refused["memory"], made.refused["too_large"]) == (1, 1)
    other = made.admit({}, {}, 0, 2)
    for size, work in ((MIB // 2, 0), (0, MIB // 2)):
        with pytest.raises(HTTPProblem, match="no memory"):
            other.need(size, work)
    other.release()
    held.release()
    made.admit({}, {}, MIB // 4, 2)


def test_what_is_announced_and_does_not_come_holds_next_to_nothing() -> None:
    made = admission()
    for _ in range(1000):
        made.admit({}, {}, 64 * MIB, 2)
    assert made.bytes == 1000 * BASE_BYTES


@pytest.mark.parametrize(
    ("length", "headers", "ends"),
    [(0, {}, False), (MIB, {}, False), (MIB + 1, {}, True), (10, {"expect": "100-continue"}, True)],
)
def test_a_refusal_ends_the_connection_where_much_would_follow(
    length: int, headers: dict[str, str], ends: bool
) -> None:
    made = admission(max_inflight_requests=1)
    made.admit({}, {}, 0, 2)
    assert (refusal(made, length, **headers).headers.get("connection") == "close") == ends


@pytest.fixture
def tight() -> Iterator[InProcess]:
    """An application with one MiB for all that is in flight."""
    settings = Settings(device="cpu", access_log=False, log_level="error", max_inflight_bytes=MIB)
    with InProcess(settings) as made:
        yield made


def nothing_owed(client: InProcess) -> None:
    """All requests have given back what they held."""
    made: Admission = client.app.state.admission
    assert (made.requests, made.bytes, made.work) == (0, 0, 0)


def test_every_way_gives_back_what_it_held(client: InProcess) -> None:
    nothing_owed(client)
    numbers = np.linspace(0, 1, 100_000).tolist()
    client.answer("mse_loss", input=numbers, target=numbers)
    for path in ("/v1/loss", "/v1/loss/batch", "/v2/models/mse_loss/infer", "/v2/repository/index"):
        for body in (BODY, b"{}", b"[", b'{"requests": [%b]}' % BODY):
            client.post(body, path)
        client.post(gzip.compress(BODY), path, content_encoding="gzip")
        client.post(b"no gzip", path, content_encoding="gzip")
    nothing_owed(client)


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_a_body_that_grows_beyond_the_memory_is_refused_while_it_comes(tight: InProcess, coding: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 100_000

    if coding == "gzip":
        response = tight.post(gzip.compress(b" " * 4_000_000), content_encoding="gzip")
    else:
        response = tight.request("POST", "/v1/loss", content=body())
    assert "bytes of memory" in problem_of(response, 413)["detail"]
    nothing_owed(tight)
    assert tight.post(BODY).status_code == 200


def test_what_computing_needs_is_refused_before_it_is_computed(tight: InProcess) -> None:
    zeros = {"dtype": "int8", "shape": [30_000], "data": "AAAA" * 10_000}
    problem = tight.refusal(413, "mse_loss", input=zeros, target=zeros)
    assert "bytes of memory" in problem["detail"]
    nothing_owed(tight)


def test_a_caller_beyond_the_limit_on_requests_gets_429_and_the_others_their_answers() -> None:
    settings = Settings(device="cpu", access_log=False, log_level="error", max_inflight_requests=1)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield BODY[:10]
        begun.set()
        await go_on.wait()
        yield BODY[10:]

    async def both(client: InProcess) -> tuple[httpx.Response, httpx.Response, int]:
        first = asyncio.create_task(client.http.post("/v1/loss", content=slow()))
        await begun.wait()
        refused = await client.http.post("/v1/loss", content=BODY)
        alive = await client.http.get("/livez")
        go_on.set()
        return await first, refused, alive.status_code

    with InProcess(settings) as client:
        answered, refused, alive = client.run(both(client))
        assert (answered.status_code, alive) == (200, 200)
        problem_of(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit"].startswith('"in-flight";r=0')
        nothing_owed(client)


@pytest.mark.parametrize("tiny", ["[]", "{}", "[[]]"])
def test_a_million_tiny_lists_are_refused_unread(client: InProcess, tiny: str) -> None:
    body = b'{"loss": "mse_loss", "target": [1], "input": [' + b",".join([tiny.encode()] * 1_100_000) + b"]}"
    assert "lists and objects" in problem_of(client.post(body), 413)["detail"]


def test_more_values_than_elements_are_refused_unread(small: InProcess, client: InProcess) -> None:
    settings = Settings(device="cpu", access_log=False, log_level="error", max_elements=1000)
    body = b'{"loss": "mse_loss", "target": [1], "input": [' + b"1," * 600_000 + b"1]}"
    with InProcess(settings) as made:
        assert "more than 600" in problem_of(made.post(body), 413)["detail"]


def test_unknown_members_of_a_whole_call_are_looked_up_64_times(client: InProcess) -> None:
    request = json.loads(BODY) | {f"inptu{at}": 1 for at in range(4)}
    found = client.answer(None, "/v1/loss/batch", requests=[request] * 100)["results"]
    told = [error["detail"] for result in found for error in result["errors"]]
    assert len(told) == 400
    assert sum("did you mean" in detail for detail in told) == 64
