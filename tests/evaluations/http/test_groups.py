from __future__ import annotations

import json
from typing import Any

import pytest

from service.http.evaluations import adding
from tests.evaluations.http.conftest import PATH, Evaluations

BATCH = {"input": [[2.0, 0.5], [0.1, 0.2]], "target": [0, 1]}


def test_what_a_call_adds_is_stored_a_group_at_a_time(
    evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = adding.Adding._made

    def noted(self: adding.Adding, call: adding.Call, outcomes: dict[int, adding.Computed]) -> object:
        seen.append(len(outcomes))
        return real(self, call, outcomes)

    monkeypatch.setattr(adding.Adding, "_made", noted)
    whole, grouped = evaluations.made(classes=2), evaluations.made(classes=2)
    batches = [{"batch_id": str(at), **BATCH} for at in range(5)]
    batches[3] = {"batch_id": "3", "input": [[1.0, 2.0]], "target": [9]}
    first = evaluations.send(whole, batches=batches).json()["results"]
    monkeypatch.setattr(adding, "AT_ONCE", 10_000)
    second = evaluations.send(grouped, batches=batches).json()["results"]
    assert seen[0] == 4
    assert len(seen) > 2
    assert sum(seen) == 8
    assert [one.get("status", 200) for one in second] == [200, 200, 200, 422, 200]
    assert [one.get("batch") for one in second] == [one.get("batch") for one in first]
    assert json.dumps(evaluations.results(whole)) == json.dumps(evaluations.results(grouped))


def test_a_batch_that_fails_harms_no_other(evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.evaluations import adding as worked  # noqa: PLC0415 - loads the store's library

    real = worked.samples_of

    def broken(found: Any) -> object:
        if found.batch_id == "bad":
            raise RuntimeError("no such luck")
        return real(found)

    monkeypatch.setattr(worked, "samples_of", broken)
    run = evaluations.made()
    answer = evaluations.request(
        "POST", f"{PATH}/{run}/batches", json={"batches": [{"batch_id": "bad", **BATCH}, {"batch_id": "good", **BATCH}]}
    )
    assert [one.get("status", 200) for one in answer.json()["results"]] == [500, 200]
