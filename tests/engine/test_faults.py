"""What computing raises: a culprit fails alone, a batch without room is halved, a lost device ends all."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from schemas.request import LossRequest
from schemas.result import LossResult
from service.compute import Work
from service.compute.transfer import HostDevice
from service.engine import TooLargeForDevice, WorkerFailed
from service.engine.base import probe
from service.engine.faults import Fault, fault_of
from tests.engine.driving import Answer, queued_behind_gate
from tests.engine.faulty import FakeDevice, Faulty, Hook, holds, square

ROOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
ASSERT = torch.AcceleratorError("CUDA error: device-side assert triggered")


def serve(hook: Hook, requests: Sequence[LossRequest], **device: Any) -> tuple[Faulty, list[Answer]]:
    """An engine that is over, and its answers to requests that it took at once."""
    engine = Faulty(lambda _: None)

    async def main() -> list[Answer]:
        vars(engine.device).update(device)
        await engine.start()
        engine.hook = hook
        answers = await queued_behind_gate(engine, requests)
        await engine.stop()
        return answers

    return engine, asyncio.run(main())


def losses(answers: Sequence[Answer]) -> list[float]:
    return [float(answer.loss) if isinstance(answer, LossResult) else -1 for answer in answers]


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ROOM, Fault.NO_ROOM),
        (MemoryError(), Fault.NO_ROOM),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), Fault.NO_ROOM),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), Fault.NO_ROOM),
        (torch.AcceleratorError("CUDA error: out of memory"), Fault.NO_ROOM),
        (ASSERT, Fault.DEVICE),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), Fault.DEVICE),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (2)"), Fault.REQUEST),
        (ArithmeticError("CUDA error"), Fault.REQUEST),
    ],
)
def test_what_an_exception_says(error: Exception, fault: Fault) -> None:
    device = FakeDevice()
    device.lost = True
    assert fault_of(error, device) is fault


def test_a_device_that_works_is_not_lost_whatever_was_raised() -> None:
    assert fault_of(ASSERT, HostDevice()) is Fault.REQUEST


def test_torch_raises_what_is_taken_for_no_room_when_the_cpu_has_none() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert fault_of(caught.value, HostDevice()) is Fault.NO_ROOM


def test_numpy_raises_what_is_taken_for_no_room_when_there_is_none() -> None:
    with pytest.raises(MemoryError) as caught:
        np.zeros(1 << 57)
    assert fault_of(caught.value, HostDevice()) is Fault.NO_ROOM


def test_innocents_are_computed_again_once_and_the_culprit_fails_alone() -> None:
    def hook(batch: Sequence[Work]) -> None:
        if holds(batch, 3.0):
            raise ArithmeticError("three")

    engine, answers = serve(hook, [square(float(at)) for at in range(5)])
    assert engine.sizes[1:] == [5, 1, 1, 1, 1, 1]
    assert isinstance(answers[3], ArithmeticError)
    assert losses(answers) == [0, 1, 4, -1, 16]
    assert (engine.tally.retries, engine.tally.oom_splits) == (5, 0)


def test_a_batch_without_room_is_halved_until_it_has_room() -> None:
    def hook(batch: Sequence[Work]) -> None:
        if len(batch) > 2:
            raise ROOM

    engine, answers = serve(hook, [square(float(at)) for at in range(8)])
    assert engine.sizes[1:] == [8, 4, 2, 2, 4, 2, 2]
    assert losses(answers) == [at**2 for at in range(8)]
    assert (engine.tally.oom_splits, engine.tally.retries) == (3, 0)
    assert engine.device.released == 3


def test_what_a_failed_batch_held_is_let_go_before_its_half_is_computed() -> None:
    held: list[int] = []
    allocated: weakref.WeakSet[FakeDevice] = weakref.WeakSet()  # anything that can be watched

    def hook(batch: Sequence[Work]) -> None:
        held.append(len(allocated))
        if len(batch) > 1:
            large = FakeDevice()
            allocated.add(large)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    engine, answers = serve(hook, [square(1.0), square(2.0)])
    assert losses(answers) == [1, 4]
    assert held == [0, 0, 0, 0], "the gate's, the batch's, and its halves'"
    assert engine.tally.oom_splits == 1


@pytest.mark.parametrize(("memory", "never"), [(1 << 40, False), (1, True)])
def test_a_request_without_room_even_alone_is_told_so_and_harms_no_other(memory: int, never: bool) -> None:
    def hook(batch: Sequence[Work]) -> None:
        if holds(batch, 3.0):
            raise MemoryError

    _, answers = serve(hook, [square(float(at)) for at in range(4)], memory=memory)
    assert losses(answers) == [0, 1, 4, -1]
    assert isinstance(answers[3], TooLargeForDevice)
    assert answers[3].never is never


def test_a_lost_device_fails_all_and_is_told_of_once() -> None:
    reasons: list[str] = []
    engine = Faulty(lambda _: None)

    def hook(batch: Sequence[Work]) -> None:
        engine.device.lost = True
        raise ASSERT

    async def main() -> list[Any]:
        engine.on_lost = reasons.append
        await engine.start()
        assert await probe(engine)
        engine.hook = hook
        asked = [engine.submit(square(float(at), size=at + 1)) for at in range(5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert not await probe(engine)
        assert not engine.running
        with pytest.raises(WorkerFailed):
            engine.submit(square(1.0))
        await engine.stop()
        return answers

    answers = asyncio.run(main())
    assert [type(answer) for answer in answers] == [WorkerFailed] * 5
    assert reasons == ["the device is lost"]
    assert engine.tally.restarts == 0
