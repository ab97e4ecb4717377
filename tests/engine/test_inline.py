"""Tiny requests on the event loop: computed together, without the worker, while the worker is what a probe asks."""

from __future__ import annotations

import asyncio

from schemas.losses import ANY_LOSS
from schemas.request import LossRequest
from service.engine import BatchingEngine
from service.engine.base import probe
from tests.engine.driving import Gate, gate


def tiny(value: float) -> LossRequest:
    made: LossRequest = ANY_LOSS.validate_python({"loss": "mse_loss", "input": [value], "target": [0.0]})
    return made


def test_tiny_requests_are_answered_while_the_worker_is_busy() -> None:
    async def run() -> list[float]:
        engine = BatchingEngine("cpu", inline_elements=4096)
        await engine.start()
        with gate() as keeper:
            held = engine.submit(Gate.model_validate({"input": [0.0]}), on_worker=True)
            await keeper.reached()
            outcomes = await asyncio.gather(*[engine.submit(tiny(value)) for value in (1.0, 2.0, 3.0)])
            again = await asyncio.gather(*[engine.submit(tiny(value)) for value in (4.0, 5.0)])
            assert not held.done()
            keeper.open()
            await held
        await engine.stop()
        return [float(outcome.result.loss) for outcome in (*outcomes, *again)]

    assert asyncio.run(run()) == [1.0, 4.0, 9.0, 16.0, 25.0]


def test_a_probe_waits_for_the_worker() -> None:
    async def run() -> bool:
        engine = BatchingEngine("cpu", inline_elements=4096)
        await engine.start()
        with gate() as keeper:
            held = engine.submit(Gate.model_validate({"input": [0.0]}), on_worker=True)
            await keeper.reached()
            probing = asyncio.ensure_future(probe(engine))
            await engine.submit(tiny(1.0))  # turns of the loop in which an inline probe would be done
            await engine.submit(tiny(2.0))
            assert not probing.done()
            keeper.open()
            await held
            right = await probing
        await engine.stop()
        return right

    assert asyncio.run(run())
