"""What runs refuse, and what they say while their database is away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.evaluations.refusals import StoreBusy, StoreUnavailable, StoreUnusable
from service.evaluations.store import migrate
from service.evaluations.store.database import Database
from tests.asgi import InProcess, problem_of
from tests.evaluations.http.conftest import PATH, Evaluations

BATCH = {"input": [[2.0, 0.5], [0.1, 0.2]], "target": [0, 1]}


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluations]:
    """With room for three runs, of three samples each."""
    folder: Path = tmp_path_factory.mktemp("bounded")
    url = f"sqlite:///{folder}/evaluations.db"
    with Evaluations(url, evaluation_max_samples=3, evaluation_max_runs=3) as made:
        yield made


def test_a_run_takes_no_more_samples_than_one_may_have(bounded: Evaluations) -> None:
    run = bounded.made()
    assert bounded.send(run, batch_id="a", **BATCH).status_code == 200
    told = problem_of(bounded.send(run, batch_id="b", **BATCH), 409)["detail"]
    assert "has 2 samples and would have more than the 3 that one may have" in told
    assert "GRADWIRE_EVALUATION_MAX_SAMPLES" in told
    assert bounded.send(run, batch_id="a", **BATCH).json()["duplicate"]


def test_a_full_store_takes_no_more_runs(bounded: Evaluations) -> None:
    while len(bounded.request("GET", PATH).json()["evaluations"]) < 3:
        bounded.made()
    told = problem_of(bounded.request("POST", PATH, json={"loss": "mse_loss"}), 507)
    assert "full, it may hold 3 runs: delete evaluations" in told["detail"]
    assert "GRADWIRE_EVALUATION_MAX_RUNS" in told["detail"]


def test_a_store_full_of_bytes_tells_how_many_and_what_to_do(tmp_path: Path) -> None:
    with Evaluations(f"sqlite:///{tmp_path}/full.db", evaluation_max_bytes=1 << 20) as small:
        long: dict[str, Any] = {"loss": "mse_loss", "options": {"weight": [0.5] * 130_000}}
        run = small.made(**long)
        small.made(loss="mse_loss", tags={f"note {at}": "x" * 200 for at in range(10)})
        sent = [{"input": [0.5] * 20_000, "target": [0.0] * 20_000, "batch_id": name} for name in ("a", "b")]
        other = small.made(loss="mse_loss")
        answers = [small.send(other, **one) for one in sent]
        for refused in (small.request("POST", PATH, json=long), answers[-1]):
            told = problem_of(refused, 507)["detail"]
            assert "full, it may hold 1048576 bytes: delete evaluations" in told
            assert "GRADWIRE_EVALUATION_MAX_BYTES" in told
        assert small.request("GET", f"{PATH}/{run}").status_code == 200


def test_evaluations_may_be_off() -> None:
    with Evaluations("") as off:
        for method, path, body in [
            ("GET", PATH, None),
            ("POST", PATH, {"loss": "mse_loss"}),
            ("GET", f"{PATH}/x", None),
            ("POST", f"{PATH}/x/batches", BATCH),
        ]:
            told = problem_of(off.request(method, path, json=body), 404)
            assert "GRADWIRE_DATABASE_URL" in told["detail"]
        assert (
            off.request("POST", "/v1/loss", json={"loss": "mse_loss", "input": 1.0, "target": 0.0}).status_code == 200
        )


def test_a_database_that_is_away_is_503_and_losses_go_on(
    evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evaluations.made()
    evaluations.added(run, **BATCH)

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the socket at /run/secret")

    opened = evaluations.run(evaluations.app.state.runs.evaluations())
    for name in ("add", "tally", "page", "get", "change", "create"):
        monkeypatch.setattr(opened, name, away)
    for method, path, body in [
        ("POST", f"{PATH}/{run}/batches", BATCH),
        ("GET", f"{PATH}/{run}", None),
        ("GET", PATH, None),
        ("GET", f"{PATH}/{run}/events", None),
        ("PATCH", f"{PATH}/{run}", {"state": "sealed"}),
        ("POST", PATH, {"loss": "mse_loss"}),
    ]:
        answer = evaluations.request(method, path, json=body)
        assert "secret" not in problem_of(answer, 503)["detail"]
        assert int(answer.headers["retry-after"]) > 0
    assert evaluations.request("POST", "/v1/loss", json={"loss": "mse_loss", "input": 1.0, "target": 0.0}).is_success


def test_too_many_batches_that_wait_are_told_from_a_database_that_is_away(
    evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evaluations.made()

    async def busy(*_: Any, **__: Any) -> Any:
        raise StoreBusy

    monkeypatch.setattr(evaluations.run(evaluations.app.state.runs.evaluations()), "add", busy)
    answer = evaluations.send(run, **BATCH)
    assert "wait to be written" in problem_of(answer, 503)["detail"]
    assert answer.headers["retry-after"] == "1"


def test_a_database_that_is_named_and_cannot_be_opened_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StoreUnusable, match=r"file|directory"),
        Evaluations(f"sqlite:///{tmp_path}/file/evaluations.db"),
    ):
        pass


def test_one_that_cannot_be_reached_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = [True]
    reach = migrate.upgrade

    def reached(database: Database) -> Any:
        if away:
            raise StoreUnavailable("connection refused")
        return reach(database)

    monkeypatch.setattr(migrate, "upgrade", reached)
    told = logging.getLogger("gradwire.evaluations")
    told.addHandler(caplog.handler)  # the application takes the root's away
    with caplog.at_level(logging.WARNING, told.name), Evaluations(f"sqlite:///{tmp_path}/evaluations.db") as served:
        assert "wait for their database" in caplog.text
        assert served.request("POST", "/v1/loss", json={"loss": "mse_loss", "input": 1.0, "target": 0.0}).is_success
        answer = served.request("GET", PATH)
        assert "cannot be reached" in problem_of(answer, 503)["detail"]
        assert answer.headers["retry-after"]
        away.clear()
        assert served.added(served.made(), **BATCH)["total"]["samples"] == 2
    told.removeHandler(caplog.handler)


def test_one_that_nobody_named_is_missed_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with InProcess() as served:
        answer = served.request("GET", PATH)
        assert str(tmp_path) not in problem_of(answer, 503)["detail"]
        assert answer.headers["retry-after"]
        assert served.request("GET", "/v1/losses/mse_loss").is_success
