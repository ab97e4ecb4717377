"""What callers are told when the worker fails, and what readiness says meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from service.compute import Work
from service.engine import TooLargeForDevice
from service.engine.base import Engine
from service.http.ending import EXIT_CODE
from service.http.problems import render
from service.http.readiness import Readiness
from service.settings import Settings
from tests.asgi import InProcess, problem_of
from tests.engine.faulty import Faulty, holds

QUIET = Settings(device="cpu", access_log=False, log_level="error", inline_elements=0)
BODY = b'{"loss": "mse_loss", "input": [13.0], "target": [1.0]}'


def raising(error: BaseException) -> Any:
    """A hook that raises where a request holds 13."""

    def hook(batch: Sequence[Work]) -> None:
        if holds(batch, 13.0) or (len(batch) == 1 and not hasattr(batch[0], "reduction")):
            raise error

    return hook


def test_a_batch_whose_worker_died_is_503_with_retry_after() -> None:
    engine = Faulty(raising(SystemExit()))
    with InProcess(QUIET, engine) as made:
        response = made.post(BODY)
        assert "asked for again" in problem_of(response, 503)["detail"]
        assert response.headers["retry-after"].isdigit()
        assert made.get("/readyz").status_code == 200
        assert made.answer("mse_loss", input=[3.0], target=[1.0])["loss"] == 4.0
        assert engine.tally.restarts == 1


@pytest.mark.parametrize("count", [2, 8])
def test_of_a_batch_call_those_whose_worker_died_are_503_in_their_places(count: int) -> None:
    engine = Faulty(raising(SystemExit()))
    with InProcess(QUIET, engine) as made:
        one: dict[str, Any] = {"loss": "mse_loss", "input": [13.0], "target": [1.0]}
        other = {"loss": "l1_loss", "input": [3.0], "target": [1.0]}
        response = made.post(json.dumps({"requests": [one] * count + [other]}).encode(), "/v1/loss/batch")
        assert response.status_code == 200
        *failed, answered = response.json()["results"]
        assert [result["status"] for result in failed] == [503] * count
        assert answered["loss"] == 2.0
        assert engine.tally.restarts == 1, "what has ended one worker is not given to the next"


def test_no_room_on_the_device_is_503_and_never_room_413() -> None:
    engine = Faulty(raising(MemoryError()))
    with InProcess(QUIET, engine) as made:
        response = made.post(BODY)
        assert "no room" in problem_of(response, 503)["detail"]
        assert response.headers["retry-after"].isdigit()
        assert made.answer("mse_loss", input=[3.0], target=[1.0])["loss"] == 4.0
    status, headers, _ = render(TooLargeForDevice(never=True), "/v1/loss")
    assert status == 413
    assert "retry-after" not in headers


def test_a_lost_device_is_503_for_all_until_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("service.http.ending.os._exit", ended.append)
    monkeypatch.setattr("service.http.ending.LAST_ANSWERS", 0.0)
    engine = Faulty(raising(torch.AcceleratorError("CUDA error: device-side assert triggered")))
    with InProcess(QUIET, engine) as made:
        assert made.get("/readyz").status_code == 200
        engine.device.lost = True
        problem_of(made.post(BODY), 503)
        assert not made.app.state.readiness.right  # which the gauge tells, before any probe
        problem_of(made.post(BODY.replace(b"13", b"3")), 503)
        response = made.get("/readyz")
        assert response.headers["retry-after"].isdigit()
        problem_of(response, 503)
        assert made.get("/livez").status_code == 200
    assert ended == [EXIT_CODE]


def test_a_probe_is_shared_and_believed_for_a_while() -> None:
    async def run() -> None:
        engine = Faulty(lambda _: None)
        await engine.start()
        readiness = Readiness(engine, 5.0)
        assert await asyncio.gather(*[readiness.fault() for _ in range(100)]) == [None] * 100
        assert [await readiness.fault() for _ in range(100)] == [None] * 100
        assert engine.sizes == [1]
        await engine.stop()
        assert await readiness.fault() == "the probe computation failed"

    asyncio.run(run())


def test_a_probe_that_was_answered_while_the_loop_stood_still_is_right() -> None:
    async def run() -> None:
        engine = Faulty(lambda _: None)
        await engine.start()
        readiness = Readiness(engine, 0.2, pace=0.0)
        assert await readiness.fault() is None  # the first one loads what the next ones need
        asking = asyncio.ensure_future(readiness.fault())
        await asyncio.sleep(0.01)  # by now the probe is asked for
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is to stand still
        assert await asking is None
        await engine.stop()

    asyncio.run(run())


def test_a_probe_that_failed_is_soon_tried_again() -> None:
    async def run(engine: Engine) -> None:
        readiness = Readiness(engine, 5.0, pace=0.0)
        assert await readiness.fault() == "the probe computation failed"
        await engine.start()
        assert await readiness.fault() is None
        await engine.stop()

    asyncio.run(run(Faulty(lambda _: None)))
