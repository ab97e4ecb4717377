"""Both engines keep one protocol: answer alike, refuse after the end, and tell whether they compute."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.engine import BatchingEngine, DirectEngine, Engine, EngineStopped
from service.engine.base import probe
from service.losses.formula import FORMULAS, Formula, Terms

MSE = LOSSES["mse_loss"]


def request(value: float = 3.0) -> LossRequest:
    return MSE.model_validate({"input": [value], "target": [1.0]})


@pytest.fixture(params=[BatchingEngine, DirectEngine], ids=["batching", "direct"])
def engine(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.param("cpu")
    return made


def broken(_request: Any, _tensors: Any) -> Terms:
    raise ArithmeticError("no")


def test_it_answers_with_the_times_that_it_took(engine: Engine) -> None:
    async def main() -> None:
        await engine.start()
        outcome = await engine.submit(request())
        assert float(outcome.result.loss) == 4.0
        assert outcome.queued >= 0
        assert outcome.computed > 0
        await engine.stop()

    asyncio.run(main())


def test_it_refuses_work_before_its_start_and_after_its_end(engine: Engine) -> None:
    async def main() -> None:
        with pytest.raises(EngineStopped):
            await engine.submit(request())
        await engine.start()
        await engine.stop()
        with pytest.raises(EngineStopped):
            await engine.submit(request())

    asyncio.run(main())


def test_stopping_twice_is_stopping_once(engine: Engine) -> None:
    async def main() -> None:
        await engine.start()
        assert float((await engine.submit(request())).result.loss) == 4.0
        await engine.stop()
        await engine.stop()
        with pytest.raises(EngineStopped):
            await engine.submit(request())

    asyncio.run(main())


def test_stop_answers_what_was_asked_before(engine: Engine) -> None:
    async def main() -> None:
        await engine.start()
        asked = [asyncio.ensure_future(engine.submit(request(float(at)))) for at in range(20)]
        await asyncio.sleep(0)
        await engine.stop()
        found = [float((await one).result.loss) for one in asked]
        assert found == [(at - 1.0) ** 2 for at in range(20)]

    asyncio.run(main())


def test_the_caller_of_a_failing_request_gets_what_it_raised(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMULAS, MSE, Formula(broken))

    async def main() -> None:
        await engine.start()
        with pytest.raises(ArithmeticError):
            await engine.submit(request())
        await engine.stop()

    asyncio.run(main())


def test_the_probe_tells_whether_it_computes(engine: Engine) -> None:
    async def main() -> None:
        assert await probe(engine) is False
        await engine.start()
        assert await probe(engine) is True
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(FORMULAS, MSE, Formula(broken))
            assert await probe(engine) is False
            patch.setitem(FORMULAS, MSE, Formula(lambda _r, t: Terms(t["input"] * 0)))
            assert await probe(engine) is False, "a wrong answer is no answer"
        assert await probe(engine) is True
        await engine.stop()

    asyncio.run(main())


@pytest.mark.parametrize("name", ["tpu", "cuda:x"])
def test_an_unknown_device_fails_the_start(name: str) -> None:
    for engine in (BatchingEngine(name), DirectEngine(name)):
        with pytest.raises(ValueError, match="is none of auto, cpu"):
            asyncio.run(engine.start())
