from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.evaluations.http.conftest import PATH, Evaluations

BATCH = {"input": [[2.0, 0.5], [0.1, 0.2]], "target": [0, 1]}


def told(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """The events of a stream that has ended: names and data."""
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http.evaluations.events.SECONDS", 0.01)
    monkeypatch.setattr("service.http.evaluations.events.KEEPALIVE", 1)


def test_a_stream_tells_each_state_and_ends_with_the_run(evaluations: Evaluations) -> None:
    run = evaluations.made(expected_samples=4)
    path = f"{PATH}/{run}"

    async def score() -> None:
        for at in range(2):
            before = (await evaluations.http.get(path)).json()["samples"]
            assert before == 2 * at
            await asyncio.sleep(0.05)  # the stream looks meanwhile
            await evaluations.http.post(f"{path}/batches", json=BATCH)
        await asyncio.sleep(0.05)
        await evaluations.http.patch(path, json={"state": "sealed"})

    async def both() -> httpx.Response:
        answer, _ = await asyncio.gather(evaluations.http.get(f"{path}/events"), score())
        return answer

    answer = evaluations.run(both())
    found = told(answer)
    assert [(name, data["samples"]) for name, data in found] == [
        ("progress", 0),
        ("progress", 2),
        ("progress", 4),
        ("sealed", 4),
    ]
    last = found[-1][1]
    assert last["expected_samples"] == 4
    assert last["interval"]["low"] < last["loss"] < last["interval"]["high"]
    assert found[1][1]["samples_per_second"] > 0
    assert ": " in answer.text  # comments that tell that it lives
    assert answer.headers["cache-control"] == "no-store"


def test_the_stream_of_a_sealed_run_is_its_end(evaluations: Evaluations) -> None:
    run = evaluations.made()
    evaluations.request("PATCH", f"{PATH}/{run}", json={"state": "sealed"})
    [(name, data)] = told(evaluations.request("GET", f"{PATH}/{run}/events"))
    assert (name, data["loss"], data["samples"]) == ("sealed", "NaN", 0)
    again = evaluations.request("GET", f"{PATH}/{run}/events", headers={"last-event-id": "sealed"})
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("end", ["delete", "drain"])
def test_a_stream_ends_with_the_deletion_of_its_run_and_with_the_server(evaluations: Evaluations, end: str) -> None:
    run = evaluations.made()
    path = f"{PATH}/{run}"

    async def ending() -> None:
        await asyncio.sleep(0.05)
        if end == "delete":
            await evaluations.http.delete(path)
        else:
            evaluations.app.state.draining = True

    async def both() -> httpx.Response:
        answer, _ = await asyncio.gather(evaluations.http.get(f"{path}/events"), ending())
        return answer

    try:
        names = [name for name, _ in told(evaluations.run(both()))]
    finally:
        evaluations.app.state.draining = False
    assert names == (["progress", "deleted"] if end == "delete" else ["progress"])
