"""What batches do not cost: options read anew for each, and a loop that stands still."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import numpy as np
import pytest

from schemas.tensor import read
from service.evaluations import adding
from tests import binary
from tests.evaluations.http.conftest import MEMBERS, PATH, Evaluations


def test_the_options_of_a_run_are_read_once(evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def noted(value: Any) -> Any:
        seen.append(value)
        return read(value)

    monkeypatch.setattr("schemas.evaluation.shared.read", noted)
    run = evaluations.made(options={"weight": [1.0, 2.0, 0.5]})
    for _ in range(2):
        assert evaluations.send(run, batches=[MEMBERS, {"input": [[1.0]], "target": [3]}, MEMBERS]).status_code == 200
    assert seen == [[1.0, 2.0, 0.5]]


def test_many_faulty_batches_and_large_sums_leave_the_event_loop_free(evaluations: Evaluations) -> None:
    heavy = evaluations.made(loss="binary_cross_entropy_with_logits", classes=4000, metrics=["auroc"])
    faulty = evaluations.made(loss="cross_entropy", options={"weight": [0.5] * 100_000})
    rows = np.zeros((1, 4000), np.float32)
    tensors = {f"{at}.{name}": rows for at in range(8) for name in ("input", "target")}
    calls = [
        (heavy, binary.pack(tensors, batches=[{}] * 8), binary.MEDIA_TYPE),
        (faulty, json.dumps({"batches": [{"input": [[1.0]], "target": [7]}] * 60}).encode(), "application/json"),
    ]
    for run, body, media in calls:
        slowest, threads = evaluations.run(watched(evaluations, run, body, media))
        assert threads, "nothing was done beside the event loop"
        assert slowest < 0.25


@pytest.mark.parametrize(
    ("members", "on_loop"),
    [
        (MEMBERS, True),
        ({"batches": [MEMBERS] * 8}, False),
        ({"input": [[0.5, 1.0, 2.0]] * 1500, "target": [1] * 1500}, True),
        ({"input": [[0.5, 1.0, 2.0]] * 1500, "target": [1] * 1500, "sample_ids": list(range(1500))}, False),
        ({"input": [[0.5, 1.0, 2.0]] * 4000, "target": [1] * 4000}, False),
    ],
    ids=("small", "many small ones", "some samples", "with ids", "many samples"),
)
def test_what_takes_long_to_add_is_worked_out_beside_the_event_loop(
    evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any], on_loop: bool
) -> None:
    threads = set()
    real = adding.new_batch

    def noted(*args: Any) -> Any:
        threads.add(threading.get_ident())
        return real(*args)

    monkeypatch.setattr(adding, "new_batch", noted)
    run = evaluations.made()

    async def sent() -> bool:
        answer = await evaluations.http.post(f"{PATH}/{run}/batches", json=members)
        assert answer.status_code == 200, answer.text[:300]
        return threads == {threading.get_ident()}

    assert evaluations.run(sent()) == on_loop


async def watched(evaluations: Evaluations, run: str, body: bytes, media: str) -> tuple[float, bool]:
    """The longest that the loop did not turn while a call was served, and whether threads took part."""
    loop = asyncio.get_running_loop()
    path, headers = f"{PATH}/{run}/batches", {"content-type": media}
    await evaluations.http.get(f"{PATH}/{run}")
    call = asyncio.ensure_future(evaluations.http.post(path, content=body, headers=headers))
    slowest, looks = 0.0, 0
    while not call.done():
        before = loop.time()
        await asyncio.sleep(0.002)
        slowest, looks = max(slowest, loop.time() - before), looks + 1
    assert call.result().status_code == 200, call.result().text[:300]
    return slowest, looks > 2
