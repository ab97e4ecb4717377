from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from service.http.body import Disconnected
from service.http.evaluations import reports
from service.http.evaluations.turns import AT_ONCE, KEPT, WAITING, Turns
from service.http.problems import HTTPProblem
from tests.evaluations.http.conftest import PATH, Evaluations

BATCH = {"input": [[2.0, 0.5], [0.1, 0.2]], "target": [0, 1]}


async def staying() -> Any:
    await asyncio.Event().wait()


async def leaving() -> Any:
    return {"type": "http.disconnect"}


def test_a_caller_who_leaves_gives_up_its_turn_before_anything_is_made() -> None:
    made: list[str] = []

    async def scene() -> None:
        turns, go = Turns(), asyncio.Event()

        async def work(name: str) -> None:
            made.append(name)
            await go.wait()

        busy = [asyncio.ensure_future(turns.take(lambda: work("busy"), staying)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(Disconnected):
            await turns.take(lambda: work("left"), leaving)
        go.set()
        await asyncio.gather(*busy)
        await turns.take(lambda: work("next"), staying)
        turns.close()

    asyncio.run(scene())
    assert made == ["busy"] * AT_ONCE + ["next"]


def test_no_more_wait_than_may_wait() -> None:
    async def scene() -> None:
        turns, go = Turns(), asyncio.Event()
        waiting = [asyncio.ensure_future(turns.take(go.wait, staying)) for _ in range(AT_ONCE + WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPProblem) as refused:
            await turns.take(go.wait, staying)
        assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "5"})
        go.set()
        await asyncio.gather(*waiting)
        turns.close()

    asyncio.run(scene())


def test_reports_that_are_being_made_leave_the_threads_of_losses_free(
    evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evaluations.made()
    evaluations.send(run, **BATCH)
    go, begun = threading.Event(), threading.Event()
    names = set()
    real = reports._written

    def slow(*arguments: Any) -> Response:
        names.add(threading.current_thread().name.rpartition("_")[0])
        begun.set()
        assert go.wait(20)
        return real(*arguments)

    monkeypatch.setattr(reports, "_written", slow)

    async def scene() -> None:
        asked = [asyncio.ensure_future(evaluations.http.get(f"{PATH}/{run}/report")) for _ in range(AT_ONCE + WAITING)]
        assert await asyncio.to_thread(begun.wait, 20)
        async with asyncio.timeout(10):
            for _ in range(8):
                await asyncio.to_thread(int)
        go.set()
        assert [one.status_code for one in await asyncio.gather(*asked)] == [200] * len(asked)

    evaluations.run(scene())
    assert names == {"evaluation-reports"}


@pytest.mark.parametrize("path", ["report", "comparison?with={}"])
def test_reports_need_none_of_the_threads_that_all_share(evaluations: Evaluations, path: str) -> None:
    """A caller who leaves gives up its turn, and what its thread has begun goes on: many could take all threads."""
    runs = [evaluations.made() for _ in range(2)]
    for run in runs:
        evaluations.send(run, batch_id="a", **BATCH)
    go = threading.Event()
    asked = f"{PATH}/{runs[0]}/{path.format(runs[1])}"

    async def scene() -> httpx.Response:
        loop = asyncio.get_running_loop()
        taken = [loop.run_in_executor(None, go.wait, 60) for _ in range(40)]  # as many as it may have, and more
        try:
            async with asyncio.timeout(30):
                return await evaluations.http.get(asked, headers={"accept-encoding": "identity"})
        finally:
            go.set()
            await asyncio.gather(*taken)

    assert evaluations.run(scene()).status_code == 200


def test_a_sealed_runs_report_is_made_once_for_each_form_and_name(
    evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evaluations.made()
    evaluations.send(run, **BATCH)
    made: list[str] = []
    real = reports._written

    def noted(document: dict[str, Any], wanted: reports.Format, name: str) -> Response:
        made.append(wanted)
        return real(document, wanted, name)

    monkeypatch.setattr(reports, "_written", noted)

    def report(form: str) -> str:
        return evaluations.request("GET", f"{PATH}/{run}/report?format={form}").text

    assert report("json") == report("json")
    assert made == ["json"] * 2  # an open run's may become another
    evaluations.request("PATCH", f"{PATH}/{run}", json={"state": "sealed"})
    assert len({report("json") for _ in range(3)}) == len({report("csv") for _ in range(3)}) == 1
    assert made == ["json"] * 3 + ["csv"]
    evaluations.request("PATCH", f"{PATH}/{run}", json={"name": "another"})
    assert '"another"' in report("json")
    evaluations.request("DELETE", f"{PATH}/{run}")
    assert evaluations.request("GET", f"{PATH}/{run}/report?format=json").status_code == 404


def test_few_reports_are_kept() -> None:
    async def scene() -> None:
        turns = Turns()
        for at in range(KEPT + 1):
            turns.keep((at,), Response(b"x"))
        turns.keep(("long",), Response(bytes(8 << 20)))
        assert [turns.kept((at,)) is None for at in (0, 1, KEPT)] == [True, False, False]
        assert turns.kept(("long",)) is None
        turns.close()

    asyncio.run(scene())
