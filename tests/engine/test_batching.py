"""Pull batching: what gathers while the worker is busy is one batch a key: capped, isolated, dropped in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.losses import LOSSES
from schemas.request import LossRequest
from schemas.result import LossResult
from service.engine import BatchingEngine, EngineStopped
from service.losses.formula import FORMULAS, Formula, Tensors, Terms
from tests.engine.driving import Answer, Gate, batch_sizes, gate, queued_behind_gate

MSE, L1 = LOSSES["mse_loss"], LOSSES["l1_loss"]


def squares(count: int, size: int = 1) -> list[LossRequest]:
    return [MSE.model_validate({"input": [float(at)] * size, "target": [0.0] * size}) for at in range(count)]


def serve(requests: Sequence[LossRequest], **settings: Any) -> tuple[list[Answer], list[int]]:
    """The answers to what was queued while the worker was busy, and the sizes of its batches after that."""

    async def main() -> tuple[list[Answer], list[int]]:
        engine = BatchingEngine("cpu", **settings)
        await engine.start()
        with batch_sizes() as sizes:
            answers = await queued_behind_gate(engine, requests)
        await engine.stop()
        return answers, sizes[1:]

    return asyncio.run(main())


def losses(answers: Sequence[Answer]) -> list[float]:
    return [float(answer.loss) for answer in answers if isinstance(answer, LossResult)]


def test_what_is_queued_while_the_worker_is_busy_is_one_batch() -> None:
    answers, sizes = serve(squares(7))
    assert sizes == [7]
    assert losses(answers) == [at**2 for at in range(7)]


def test_each_key_is_a_batch_of_its_own_in_the_order_of_coming() -> None:
    absolute = [L1.model_validate({"input": [float(at)], "target": [0.0]}) for at in range(3)]
    first, second, third, fourth = squares(4)
    answers, sizes = serve([absolute[0], first, absolute[1], second, third, absolute[2], fourth])
    assert sizes == [3, 4]
    assert losses(answers) == [0, 0, 1, 1, 4, 2, 9]


def test_a_batch_is_capped_by_elements() -> None:
    # A request of 4 input elements has 12: input, target and loss.
    answers, sizes = serve(squares(7, size=4), batch_elements=36)
    assert sizes == [3, 3, 1]
    assert losses(answers) == [at**2 for at in range(7)]


def test_an_idle_engine_answers_one_request_at_once() -> None:
    async def main() -> None:
        engine = BatchingEngine("cpu")
        await engine.start()
        with batch_sizes() as sizes:
            for request in squares(3):
                await engine.submit(request)  # nothing else will come: it would hang if it waited for company
        assert sizes == [1, 1, 1]
        await engine.stop()

    asyncio.run(main())


def test_when_a_batch_fails_only_the_culprit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    formula = FORMULAS[MSE].function

    def raises_at_three(request: Any, tensors: Tensors) -> Terms:
        if bool((tensors["input"] == 3).any()):
            raise ArithmeticError("three")
        return formula(request, tensors)

    monkeypatch.setitem(FORMULAS, MSE, Formula(raises_at_three))
    answers, sizes = serve(squares(5))
    assert sizes == [5, 1, 1, 1, 1, 1]
    assert [isinstance(answer, ArithmeticError) for answer in answers] == [False, False, False, True, False]
    assert losses(answers) == [0, 1, 4, 16]


def test_a_caller_that_has_gone_is_dropped_before_compute() -> None:
    async def main() -> None:
        engine = BatchingEngine("cpu")
        await engine.start()
        with gate() as keeper, batch_sizes() as sizes:
            first = asyncio.ensure_future(engine.submit(Gate.model_validate({"input": [0.0]})))
            await keeper.reached()
            asked = [asyncio.ensure_future(engine.submit(request)) for request in squares(4)]
            await asyncio.sleep(0)
            for gone in asked[:3]:
                gone.cancel()
            await asyncio.sleep(0)
            keeper.open()
            await first
            assert float((await asked[3]).result.loss) == 9
        assert engine.tally.dropped["caller_gone"] == 3
        assert sizes == [1, 1], "the gate's own, and that of the caller who stayed"
        assert all(gone.cancelled() for gone in asked[:3])
        await engine.stop()

    asyncio.run(main())


def test_a_caller_that_goes_during_compute_harms_no_other() -> None:
    entered, opened = threading.Event(), threading.Event()
    formula = FORMULAS[MSE]

    def waits(request: Any, tensors: Tensors) -> Terms:
        entered.set()
        assert opened.wait(60)
        return formula.function(request, tensors)

    async def main() -> None:
        engine = BatchingEngine("cpu")
        await engine.start()
        leaving = asyncio.ensure_future(engine.submit(squares(1)[0]))
        assert await asyncio.to_thread(entered.wait, 60)
        staying = asyncio.ensure_future(engine.submit(squares(3)[2]))
        await asyncio.sleep(0)
        leaving.cancel()
        opened.set()
        assert float((await staying).result.loss) == 4
        assert engine.tally.dropped["caller_gone"] == 0, "its turn had come"
        await engine.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMULAS, MSE, Formula(waits))
        asyncio.run(main())


def test_stop_answers_what_is_queued_and_refuses_what_comes_later() -> None:
    async def main() -> None:
        engine = BatchingEngine("cpu")
        await engine.start()
        with gate() as keeper:
            first = asyncio.ensure_future(engine.submit(Gate.model_validate({"input": [0.0]})))
            await keeper.reached()
            asked = [asyncio.ensure_future(engine.submit(request)) for request in squares(4)]
            await asyncio.sleep(0)
            stopping = asyncio.ensure_future(engine.stop())
            await asyncio.sleep(0)
            with pytest.raises(EngineStopped):
                await engine.submit(squares(1)[0])
            keeper.open()
            await stopping
        assert [float((await one).result.loss) for one in asked] == [0, 1, 4, 9]
        assert (await first).result.dtype == "float32"

    asyncio.run(main())


def test_an_engine_can_be_started_again() -> None:
    async def main() -> None:
        engine = BatchingEngine("cpu")
        for _ in range(2):
            await engine.start()
            assert float((await engine.submit(squares(3)[2])).result.loss) == 4
            await engine.stop()

    asyncio.run(main())
