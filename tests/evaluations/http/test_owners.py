from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asgi import problem_of
from tests.evaluations.http.conftest import PATH, Evaluations
from tests.keys import key

BATCH = {"input": [[2.0, 0.5], [0.1, 0.2]], "target": [0, 1]}
OURS, THEIRS = key("ours", "compute", "read"), key("theirs", "compute", "read")
READER = key("reader", "read")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluations]:
    """One service for several teams."""
    folder: Path = tmp_path_factory.mktemp("owners")
    keys = f"{OURS.record}\n{THEIRS.record}\n{READER.record}\n"
    with Evaluations(f"sqlite:///{folder}/evaluations.db", api_keys=keys) as made:
        yield made


def test_a_run_is_there_for_the_key_that_made_it_alone(shared: Evaluations) -> None:
    made = shared.request("POST", PATH, json={"loss": "cross_entropy"}, headers=OURS.header)
    run = made.json()["id"]
    batches = f"{PATH}/{run}/batches"
    assert shared.request("POST", batches, json=BATCH, headers=OURS.header).status_code == 200
    for method, path, body in [
        ("GET", f"{PATH}/{run}", None),
        ("GET", f"{PATH}/{run}/report", None),
        ("GET", f"{PATH}/{run}/events", None),
        ("GET", batches, None),
        ("POST", batches, BATCH),
        ("PATCH", f"{PATH}/{run}", {"name": "mine now"}),
        ("DELETE", f"{PATH}/{run}", None),
    ]:
        told = problem_of(shared.request(method, path, json=body, headers=THEIRS.header), 404)
        assert told["detail"] == "there is no such evaluation"
    theirs = shared.request("POST", PATH, json={"loss": "cross_entropy"}, headers=THEIRS.header).json()["id"]
    for one, other in ((run, theirs), (theirs, run)):
        path = f"{PATH}/{one}/comparison?with={other}"
        problem_of(shared.request("GET", path, headers=OURS.header), 404)
    assert shared.request("GET", PATH, headers=THEIRS.header).json()["evaluations"][0]["id"] == theirs
    assert len(shared.request("GET", PATH, headers=OURS.header).json()["evaluations"]) == 1
    assert shared.request("GET", f"{PATH}/{run}", headers=OURS.header).json()["samples"] == 2


def test_two_keys_may_use_the_same_idempotency_key(shared: Evaluations) -> None:
    found = [
        shared.request(
            "POST", PATH, json={"loss": "l1_loss"}, headers={"idempotency-key": "same", **key.header}
        ).json()["id"]
        for key in (OURS, THEIRS, OURS)
    ]
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_changing_anything_needs_the_scope_compute(shared: Evaluations, method: str) -> None:
    path = PATH if method == "POST" else f"{PATH}/ev_x"
    told = problem_of(shared.request(method, path, json={}, headers=READER.header), 403)
    assert "compute" in told["detail"]
