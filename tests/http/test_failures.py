"""500 and 503: what goes wrong inside stays inside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.engine import BatchingEngine, DirectEngine, Engine, Outcome
from service.http.front import Front
from service.http.metrics.traffic import Traffic
from service.http.readiness import Readiness
from service.losses import FORMULAS, Formula, Tensors, Terms
from service.settings import Settings
from tests.asgi import InProcess, problem_of

SECRET = "/srv/private/model.py: 12345.678"
QUIET = Settings(device="cpu", access_log=False, log_level="error")


def failing(_request: LossRequest, _tensors: Tensors) -> Terms:
    """A formula with a fault."""
    raise RuntimeError(SECRET)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the L1 loss raise."""
    monkeypatch.setitem(FORMULAS, LOSSES["l1_loss"], Formula(failing))


def test_an_internal_error_tells_nothing_of_itself(client: InProcess, broken: None) -> None:
    response = client.post(b'{"loss": "l1_loss", "input": [12345.678], "target": [1.0]}')
    problem = problem_of(response, 500)
    assert "errors" not in problem
    assert not any(part in response.text for part in ("private", "12345", "RuntimeError", "Traceback", ".py"))


def test_an_internal_error_is_logged_under_the_requests_id(
    client: InProcess, broken: None, caplog: pytest.LogCaptureFixture
) -> None:
    client.post(b'{"loss": "l1_loss", "input": [1.0], "target": [1.0]}', x_request_id="the-failed-one")
    records = [record for record in caplog.records if record.exc_info and vars(record).get("request_id")]
    assert [vars(record)["request_id"] for record in records] == ["the-failed-one"]


def test_the_service_goes_on_after_an_internal_error(client: InProcess, broken: None) -> None:
    client.refusal(500, "l1_loss", input=[1.0], target=[1.0])
    assert client.answer("mse_loss", input=[3.0], target=[1.0])["loss"] == 4.0
    assert client.get("/readyz").status_code == 200


def test_a_formula_that_breaks_its_contract_is_an_internal_error(
    client: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(_request: LossRequest, tensors: Tensors) -> Terms:
        return Terms(tensors["input"][:1])

    monkeypatch.setitem(FORMULAS, LOSSES["l1_loss"], Formula(short))
    client.refusal(500, "l1_loss", input=[1.0], target=[1.0])


@pytest.mark.parametrize("engine", [BatchingEngine("cpu"), DirectEngine("cpu")], ids=["batching", "direct"])
def test_a_stopped_engine_is_unavailable(engine: Engine) -> None:
    with InProcess(QUIET, engine) as stopped:
        assert stopped.answer("mse_loss", input=[3.0], target=[1.0])["loss"] == 4.0
        stopped.run(engine.stop())
        response = stopped.post(b'{"loss": "mse_loss", "input": [3.0], "target": [1.0]}')
        problem_of(response, 503)
        assert response.headers["retry-after"].isdigit()
        problem_of(stopped.get("/readyz"), 503)
        assert stopped.get("/livez").status_code == 200


class Wrong(DirectEngine):
    """Computes, but not what was asked for."""

    def submit(
        self, request: LossRequest, *, on_worker: bool = False, deadline: float | None = None
    ) -> asyncio.Future[Outcome]:
        other = LOSSES["mse_loss"].model_validate({"input": [5.0], "target": [1.0]})
        return super().submit(other)


class Raising(DirectEngine):
    """Does not compute at all."""

    def submit(
        self, request: LossRequest, *, on_worker: bool = False, deadline: float | None = None
    ) -> asyncio.Future[Outcome]:
        failed: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        failed.set_exception(RuntimeError(SECRET))
        return failed


class Hanging(DirectEngine):
    """Computes for ever, as long as it hangs."""

    hangs = True

    def submit(
        self, request: LossRequest, *, on_worker: bool = False, deadline: float | None = None
    ) -> asyncio.Future[Outcome]:
        if self.hangs:
            return asyncio.get_running_loop().create_future()
        return super().submit(request)


def readiness(engine: Engine, **settings: Any) -> dict[str, Any]:
    """What /readyz answers with an engine that does not compute right."""
    with InProcess(QUIET.model_copy(update=settings), engine) as made:
        response = made.get("/readyz")
        assert response.headers["retry-after"].isdigit()
        assert made.get("/livez").json() == {"status": "ok"}
        return problem_of(response, 503)


@pytest.mark.parametrize("engine", [Wrong("cpu"), Raising("cpu")], ids=["wrong", "raising"])
def test_a_service_whose_probe_fails_is_not_ready(engine: Engine) -> None:
    problem = readiness(engine)
    assert "failed" in problem["detail"]
    assert "private" not in str(problem)


def test_a_service_whose_probe_does_not_come_back_is_not_ready() -> None:
    engine = Hanging("cpu")
    engine.hangs = False
    with InProcess(QUIET.model_copy(update={"probe_seconds": 0.05}), engine) as made:
        made.app.state.readiness = Readiness(engine, 0.05, pace=0.0)
        assert made.get("/readyz").status_code == 200
        engine.hangs = True
        assert "did not come back" in problem_of(made.get("/readyz"), 503)["detail"]
        engine.hangs = False
        assert made.get("/readyz").json() == {"status": "ok"}


def test_a_service_whose_first_probe_does_not_come_back_starts_and_is_not_ready() -> None:
    assert "did not come back" in readiness(Hanging("cpu"), probe_seconds=0.05)["detail"]


def test_a_cancelled_answer_that_has_begun_is_not_begun_again() -> None:
    async def run() -> list[str]:
        begun, sent = asyncio.Event(), []

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            begun.set()
            await asyncio.Event().wait()

        async def send(message: Message) -> None:
            sent.append(message["type"])

        async def receive() -> Message:
            raise AssertionError("nothing is read")

        front = Front(app, None, Traffic({}, lambda *_: None))
        front.ended = True
        scope = {"type": "http", "method": "HEAD", "path": "/", "headers": []}
        answering = asyncio.ensure_future(front(scope, receive, send))
        await begun.wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        return sent

    assert asyncio.run(run()) == ["http.response.start"]
