"""Deadlines: what waits for a busy worker fails in time, and what nobody waits for is not computed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schemas.bundle import bundle
from schemas.losses import LOSSES
from schemas.request import LossRequest
from schemas.tensor import Reading, Tensor
from service.engine import BatchingEngine, DeadlinePassed, DirectEngine, Engine
from service.engine.deadlines import Deadlines
from tests.engine.driving import Gate, gate
from tests.engine.faulty import Faulty, square

GATE = {"input": [0.0]}


def batching() -> BatchingEngine:
    return BatchingEngine("cpu")


def direct() -> DirectEngine:
    return DirectEngine("cpu")


@pytest.mark.parametrize("make", [batching, direct])
def test_a_deadline_passes_while_the_worker_is_busy_with_another(make: Callable[[], Engine]) -> None:
    async def main() -> None:
        engine = make()
        await engine.start()
        with gate() as keeper:
            held = engine.submit(Gate.model_validate(GATE), on_worker=True)
            await keeper.reached()
            deadline = time.perf_counter() + 0.02
            late = [engine.submit(square(1.0), deadline=deadline) for _ in range(3)]
            patient = engine.submit(square(2.0), deadline=deadline + 600)
            with pytest.raises(DeadlinePassed):
                await late[0]
            assert time.perf_counter() >= deadline - 0.002
            assert not held.done(), "the worker is busy all the time"
            keeper.open()
            await held
            assert float((await patient).result.loss) == 4.0
        await engine.stop()
        assert all(isinstance(one.exception(), DeadlinePassed) for one in late)
        assert engine.tally.dropped == {"deadline": 3, "caller_gone": 0}
        assert engine.load[:2] == (0, 0)

    asyncio.run(main())


@pytest.mark.parametrize("inline", [0, 4096])
def test_what_is_asked_for_after_its_deadline_is_not_computed(inline: int) -> None:
    async def main() -> None:
        engine = Faulty(lambda _: None, inline_elements=inline)
        await engine.start()
        with pytest.raises(DeadlinePassed):
            await engine.submit(square(1.0), deadline=time.perf_counter() - 1)
        await engine.stop()
        assert engine.sizes == []
        assert engine.tally.dropped["deadline"] == 1

    asyncio.run(main())


def test_an_answer_that_comes_after_its_deadline_harms_nothing() -> None:
    async def main() -> None:
        engine = BatchingEngine("cpu")
        await engine.start()
        with gate() as keeper:
            held = engine.submit(Gate.model_validate(GATE), deadline=time.perf_counter() + 0.02)
            await keeper.reached()
            with pytest.raises(DeadlinePassed):
                await held
            keeper.open()
        assert float((await engine.submit(square(3.0))).result.loss) == 9.0
        await engine.stop()
        assert engine.tally.dropped["deadline"] == 0, "it was computed"

    asyncio.run(main())


def test_a_tiny_request_within_its_deadline_is_answered_without_a_timer() -> None:
    async def main() -> None:
        engine = BatchingEngine("cpu", inline_elements=4096)
        await engine.start()
        outcome = await engine.submit(square(3.0), deadline=time.perf_counter() + 60)
        assert float(outcome.result.loss) == 9.0
        await engine.stop()

    asyncio.run(main())


def test_a_bundle_has_a_deadline_too() -> None:
    cls: type[LossRequest] = LOSSES["mse_loss"]

    def members(at: int) -> dict[str, Any]:
        return {name: Tensor(np.full(3, float(at)), typed=True) for name in ("input", "target")}

    async def main() -> None:
        engine = BatchingEngine("cpu")
        await engine.start()
        made = bundle(cls, [members(at) for at in range(8)], Reading(max_elements=1000))
        assert made is not None
        with pytest.raises(DeadlinePassed):
            await engine.submit_bundle(made, deadline=time.perf_counter())
        assert (await engine.submit_bundle(made, deadline=time.perf_counter() + 60)).result.loss.tolist() == [0.0] * 8
        await engine.stop()
        assert engine.tally.dropped["deadline"] == 1

    asyncio.run(main())


def test_deadlines_pass_in_their_order_whatever_the_order_of_coming() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        passed: list[int] = []
        over = loop.create_future()
        futures = [loop.create_future() for _ in range(4)]

        def note(future: asyncio.Future[Any]) -> None:
            passed.append(futures.index(future))
            if len(passed) == 3:
                over.set_result(None)

        kept = Deadlines(note)
        now = time.perf_counter()
        for at, seconds in enumerate((0.06, 0.03, 0.01, 0.09)):
            kept.keep(futures[at], now + seconds)
        kept.forget(futures[2])
        await over
        return passed

    assert asyncio.run(main()) == [1, 0, 3]
