"""`GET /v1/losses/{name}/vectors`: the files' own bytes, in the form that is asked for."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from schemas.losses import LOSSES
from service.http import vectors
from service.settings import Settings
from service.vectors.files import Made
from tests.asgi import InProcess, problem_of
from tests.vectors.made import made

BINARY = "application/vnd.safetensors"


@pytest.mark.parametrize("name", ["huber_loss", "HuberLoss", "adaptive_log_softmax_with_loss"])
def test_the_answer_is_the_files_bytes(client: InProcess, name: str) -> None:
    canonical = "huber_loss" if name == "HuberLoss" else name
    for accept in ("*/*", "application/json", f"{BINARY};q=0.5, application/json"):
        answer = client.get(f"/v1/losses/{name}/vectors", headers={"accept": accept})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.content == made(canonical).as_json()
    answer = client.get(f"/v1/losses/{name}/vectors", headers={"accept": BINARY})
    assert answer.headers["content-type"] == BINARY
    assert "accept" in answer.headers["vary"]
    assert answer.content == made(canonical).as_safetensors()


def test_an_unknown_loss_has_none(client: InProcess) -> None:
    assert "huber_loss" in problem_of(client.get("/v1/losses/nope/vectors"), 404)["detail"]


def test_a_form_that_there_is_not_is_refused(client: InProcess) -> None:
    problem_of(client.get("/v1/losses/huber_loss/vectors", headers={"accept": "text/csv"}), 406)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_they_are_read_only(client: InProcess, method: str) -> None:
    answer = client.request(method, "/v1/losses/huber_loss/vectors")
    problem_of(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_they_are_made_once_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    reached, go_on = threading.Event(), threading.Event()
    makings: list[str] = []

    def held(cls: Any) -> Made:
        makings.append(cls.name)
        reached.set()
        assert go_on.wait(timeout=30), "they are made on the event loop"
        return Made(cls)

    monkeypatch.setattr(vectors, "Made", held)

    async def several(client: InProcess) -> list[int]:
        path = "/v1/losses/mse_loss/vectors"
        asked = [asyncio.create_task(client.http.get(path)) for _ in range(4)]
        assert await asyncio.to_thread(reached.wait, 30)
        alive = await client.http.get("/livez")
        assert not any(task.done() for task in asked)
        go_on.set()
        answers = [await task for task in asked]
        answers.append(await client.http.get(path, headers={"accept": BINARY}))
        return [alive.status_code, *(answer.status_code for answer in answers)]

    with InProcess(Settings(device="cpu", access_log=False, log_level="error")) as client:
        assert client.run(several(client)) == [200] * 6
    assert makings == ["mse_loss"]


def test_making_them_leaves_other_answers_as_they_are(client: InProcess) -> None:
    request: dict[str, Any] = {"input": [[2.0, 0.5]], "target": [0]}
    before = client.answer("cross_entropy", **request)
    assert client.get("/v1/losses/cross_entropy/vectors").status_code == 200
    assert client.answer("cross_entropy", **request) == before


def test_the_catalogue_still_finds_every_loss(client: InProcess) -> None:
    assert all(client.get(f"/v1/losses/{name}").status_code == 200 for name in LOSSES)
