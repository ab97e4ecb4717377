"""Quotas of API keys over HTTP: 429, Retry-After, and what the RateLimit fields tell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.http.metrics.snapshot import Snapshot
from service.settings import Settings
from tests.asgi import InProcess, problem_of
from tests.keys import Held, key

BODY = b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("service.http.access.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def serving(*keys: Held) -> InProcess:
    text = "".join(held.record for held in keys)
    return InProcess(Settings(device="cpu", access_log=False, log_level="error", api_keys=text))


def post(client: InProcess, held: Held, body: bytes = BODY, path: str = "/v1/loss") -> Any:
    return client.request("POST", path, content=body, headers=held.header)


def test_requests_are_told_down_and_refused(clock: Clock) -> None:
    held = key("team", requests_per_second=2, requests_burst=2)
    with serving(held) as client:
        first, second, third = (post(client, held) for _ in range(3))
        assert first.headers["ratelimit-policy"] == '"requests";q=2;w=1'
        assert first.headers["ratelimit"] == '"requests";r=1;t=1'
        assert second.headers["ratelimit"] == '"requests";r=0;t=1'
        problem = problem_of(third, 429)
        assert problem["title"] == "Too Many Requests"
        assert problem["detail"] == "over this key's quota of 2 requests a second, 2 at once; try again in 1 s"
        assert third.headers["retry-after"] == "1"
        assert third.headers["ratelimit"] == '"requests";r=0;t=1'
        assert third.headers["ratelimit-policy"] == '"requests";q=2;w=1'
        clock.now += int(third.headers["retry-after"])
        assert post(client, held).status_code == 200


def test_reading_counts_as_a_request_and_computes_no_elements(clock: Clock) -> None:
    held = key("team", requests_per_second=1, requests_burst=2, elements_per_second=1)
    with serving(held) as client:
        answer = client.get("/v1/limits", headers=held.header)
        assert answer.headers["ratelimit"] == '"requests";r=1;t=1, "elements";r=1;t=0'
        assert client.get("/v1/limits", headers=held.header).status_code == 200
        assert client.get("/v1/limits", headers=held.header).status_code == 429


def test_what_needs_no_key_is_not_counted(clock: Clock) -> None:
    held = key("team", requests_per_second=1)
    with serving(held) as client:
        for _ in range(3):
            assert "ratelimit" not in client.get("/livez", headers=held.header).headers
        assert post(client, held).status_code == 200


def test_elements_are_taken_before_computing_and_may_run_into_debt(clock: Clock) -> None:
    held = key("team", elements_per_second=10, elements_burst=20)
    numbers = json.dumps([0.5] * 50)
    body = f'{{"loss": "mse_loss", "input": {numbers}, "target": {numbers}, "gradients": []}}'.encode()
    with serving(held) as client:
        needed = elements_of(client, held, clock, body)
        assert needed > 20
        clock.now += 1e6
        assert post(client, held, body).status_code == 200  # more than the burst, out of a full bucket
        refused = post(client, held)
        problem = problem_of(refused, 429)
        assert problem["detail"].startswith("over this key's quota of 10 elements a second, 20 at once; try again in ")
        wait = int(refused.headers["retry-after"])
        assert wait == pytest.approx((needed - 20 + 1) / 10, abs=1)
        assert '"elements";r=0' in refused.headers["ratelimit"]
        clock.now += wait
        computed = answered(client)
        late = post(client, held, body)  # let in, read, and then seen to be too much
        assert problem_of(late, 429)
        assert answered(client) == computed


def answered(client: InProcess) -> int:
    """How many requests for the loss of these tests were computed and answered."""
    snapshot = Snapshot()
    client.app.state.computing.counters.told(snapshot)
    return int(snapshot.counted("gradwire_losses_total", "mse_loss", "answered"))


def elements_of(client: InProcess, held: Held, clock: Clock, body: bytes) -> int:
    """The elements that a request is charged, from the time that the bucket takes to fill again."""
    clock.now += 1e6
    answer = post(client, held, body)
    assert answer.status_code == 200
    return int(answer.headers["ratelimit"].rpartition("t=")[2]) * 10


def test_a_batch_call_is_one_request_and_all_its_elements(clock: Clock) -> None:
    meter = key("meter", requests_per_second=1, requests_burst=5, elements_per_second=1, elements_burst=10**6)
    with serving(meter) as client:
        one = left(post(client, meter))
        batch = post(client, meter, b'{"requests": [' + b", ".join([BODY] * 8) + b"]}", "/v1/loss/batch")
        mixed = post(client, meter, b'{"requests": [' + BODY + b', {"loss": "no"}, ' + BODY + b"]}", "/v1/loss/batch")
    charged = 10**6 - one
    assert charged > 0
    assert left(batch) == one - 8 * charged
    assert left(mixed) == left(batch) - 2 * charged
    assert '"requests";r=2' in mixed.headers["ratelimit"]


def left(answer: Any) -> int:
    """The elements that are left."""
    assert answer.status_code == 200
    return int(answer.headers["ratelimit"].partition('"elements";r=')[2].partition(";")[0])


def test_a_batch_call_and_an_inference_over_the_quota_are_refused_whole(clock: Clock) -> None:
    held = key("team", elements_per_second=1, elements_burst=4)
    infer = (
        b'{"inputs": [{"name": "input", "shape": [1], "datatype": "FP32", "data": [3.0]}, '
        b'{"name": "target", "shape": [1], "datatype": "FP32", "data": [1.0]}]}'
    )
    for path, body in [
        ("/v1/loss/batch", b'{"requests": [' + BODY + b"]}"),
        ("/v2/models/mse_loss/infer", infer),
        ("/v1/losses/mse_loss", BODY),
    ]:
        clock.now += 1e6
        with serving(held) as client:
            assert post(client, held, body, path).status_code == 200
            clock.now += 1  # something is there again, but not enough
            assert problem_of(post(client, held, body, path), 429)["detail"].startswith("over this key's quota of 1 ")


def test_an_invalid_request_takes_a_request_and_no_elements(clock: Clock) -> None:
    held = key("team", requests_per_second=1, requests_burst=5, elements_per_second=1)
    with serving(held) as client:
        answer = post(client, held, b'{"loss": "mse_loss"}')
        assert answer.status_code == 422
        assert answer.headers["ratelimit"] == '"requests";r=4;t=1, "elements";r=1;t=0'


def test_who_has_no_quota_is_told_of_none_and_harmed_by_nobody(clock: Clock) -> None:
    tight, free = key("tight", requests_per_second=1), key("free")
    with serving(tight, free) as client:
        assert [post(client, tight).status_code for _ in range(2)] == [200, 429]
        for _ in range(5):
            answer = post(client, free)
            assert answer.status_code == 200
            assert not {"ratelimit", "ratelimit-policy", "retry-after"} & set(answer.headers)
