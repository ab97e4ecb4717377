"""Batch calls and the engine: callers that leave, computations that fail, an engine that stops."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.engine import BatchingEngine, EngineStopped
from service.http import batch
from service.http.batch import together
from service.losses import FORMULAS, Formula, Tensors, Terms
from service.settings import Settings
from tests.asgi import InProcess, problem_of
from tests.contract.answers import MARK, raising
from tests.http.batch_calls import PATH, Request, alone, call, results
from tests.http.test_departed_callers import REQUEST, Held, read

QUIET = Settings(device="cpu", access_log=False, log_level="error")
HUBER: Request = {"loss": "huber_loss", "input": [3.0], "target": [1.0]}
SMOOTH: Request = {"loss": "smooth_l1_loss", "input": [3.0], "target": [1.0]}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """A server whose worker stands still; what else is computed there is noted."""
    made = Held(monkeypatch)
    real = FORMULAS[LOSSES["smooth_l1_loss"]]

    def noted(request: LossRequest, tensors: Tensors) -> Terms:
        made.computed.append(request.name)
        return real.function(request, tensors)

    monkeypatch.setitem(FORMULAS, LOSSES["smooth_l1_loss"], Formula(noted))
    try:
        yield made
    finally:
        made.stop()


def test_a_caller_that_leaves_takes_all_its_losses_out_of_the_queue(held: Held) -> None:
    first = held.send(REQUEST)
    assert held.computing.wait(60)
    body = json.dumps({"requests": [HUBER] * 20 + [SMOOTH] + [{**HUBER, "delta": 2.0}]}).encode()
    held.send(body, PATH).close()
    assert held.statuses.seen.get(timeout=60) == 499
    last = held.send(REQUEST)
    held.release.set()
    for caller in (first, last):
        assert b'"loss":2.0' in read(caller)
    assert held.engine.tally.dropped["caller_gone"] == 3  # a bundle of 20, and two others
    assert held.computed == []


@pytest.fixture
def culprits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every formula raises where a tensor holds the mark."""
    for cls, formula in list(FORMULAS.items()):
        monkeypatch.setitem(FORMULAS, cls, raising(formula))


@pytest.mark.parametrize("inline", [0, 4096])
def test_what_fails_to_compute_is_a_problem_in_its_place_alone(culprits: None, inline: int) -> None:
    requests = [{**HUBER, "input": [float(at)]} for at in range(10)] + [SMOOTH]
    requests[4] = {**HUBER, "input": [MARK]}
    with InProcess(QUIET.model_copy(update={"inline_elements": inline})) as made:
        logging.disable(logging.CRITICAL)
        try:
            found = results(made, requests)
        finally:
            logging.disable(logging.NOTSET)
        assert found[4]["status"] == 500
        assert found[4]["instance"] == f"{PATH}#/requests/4"
        assert "Culprit" not in str(found[4])
        for at in (*range(4), *range(5, 11)):
            assert found[at] == alone(made, requests[at])


def test_what_fails_to_compute_is_logged_under_the_calls_id(
    client: InProcess, culprits: None, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [{**HUBER, "input": [float(at)]} for at in range(3)] + [{**SMOOTH, "input": [MARK]}]
    requests[1] = {**HUBER, "input": [MARK]}
    call(client, requests, x_request_id="the-failed-call")
    told = {vars(record)["path"]: vars(record)["request_id"] for record in caplog.records if record.exc_info}
    assert told == {f"{PATH}#/requests/{at}": "the-failed-call" for at in (1, 3)}


@pytest.mark.parametrize("requests", [[HUBER], [HUBER] * 20, [HUBER] * 5 + [SMOOTH]])
def test_an_engine_that_stopped_refuses_the_whole_call(requests: list[Request]) -> None:
    engine = BatchingEngine("cpu")
    with InProcess(QUIET, engine) as made:
        made.run(engine.stop())
        response = call(made, requests)
        assert response.headers["retry-after"] == "1"
        problem_of(response, 503)
        assert call(made, []).status_code == 200


def test_together_is_all_outcomes_in_order() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(3)]
        whole = together(futures)
        error = ValueError()
        futures[2].set_result(2)
        futures[1].set_exception(error)
        futures[0].set_result(0)
        assert await whole == [0, error, 2]

    asyncio.run(run())


def test_together_raises_that_the_engine_stopped() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(2)]
        whole = together(futures)
        futures[0].set_exception(EngineStopped())
        futures[1].set_result(1)
        with pytest.raises(EngineStopped):
            await whole

    asyncio.run(run())


def test_together_cancels_what_is_not_done() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(3)]
        whole = together(futures)
        futures[1].set_result(1)
        whole.cancel()
        with pytest.raises(asyncio.CancelledError):
            await futures[0]
        assert whole.cancelled()
        assert [future.cancelled() for future in futures] == [True, False, True]

    asyncio.run(run())


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The threads that each step of a call ran on."""
    found: dict[str, set[str]] = {}

    def noted(step: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            found.setdefault(step, set()).add(threading.current_thread().name)
            return real(*args)

        return run

    for step in ("decode_json", "encode_json"):
        monkeypatch.setattr(batch, step, noted(step, getattr(batch, step)))
    cls = LOSSES["huber_loss"]
    monkeypatch.setitem(FORMULAS, cls, Formula(noted("compute", FORMULAS[cls].function)))
    return found


def test_many_requests_that_are_all_unlike_are_computed_on_the_worker(threads: dict[str, set[str]]) -> None:
    with InProcess(QUIET) as made:
        results(made, [{**HUBER, "delta": 1.0 + at} for at in range(batch.AT_ONCE + 1)])
    assert threads["compute"] == {"gradwire-worker"}


def test_a_call_is_read_beside_the_loop_long_before_one_request_is(threads: dict[str, set[str]]) -> None:
    with InProcess(QUIET.model_copy(update={"offload_bytes": 10_000})) as made:
        results(made, [HUBER] * 20)
    assert threading.current_thread().name not in threads["decode_json"]


def test_an_answer_of_many_empty_rows_is_written_beside_the_loop(threads: dict[str, set[str]]) -> None:
    rows = {"dtype": "float32", "shape": [5000, 0], "data": ""}
    with InProcess(QUIET.model_copy(update={"offload_bytes": 10_000})) as made:
        results(made, [{"loss": "huber_loss", "input": rows, "target": rows, "reduction": "none"}])
    assert threading.current_thread().name not in threads["encode_json"]
