"""Engines driven so that batches are sure to form: a gate keeps the worker busy until everything is queued."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

import pytest

from schemas.field import Floats
from schemas.request import About, LossRequest
from schemas.result import LossResult
from schemas.tensor import Tensor
from service.compute import Device, compute
from service.engine import BatchingEngine, Engine
from service.engine import batching as batching_module
from service.losses.formula import FORMULAS, Formula, Tensors, Terms

Answer = LossResult | Exception


class Gate(LossRequest):
    """No loss of the catalogue: its formula waits until the test opens it."""

    about = About(family="test", formula="", mean="1", example={"input": [0.0]})
    unreduced: ClassVar[str] = "N"
    loss: Literal["gate"] = "gate"
    input: Annotated[Tensor, Floats("N")]


class Gatekeeper:
    """Says when the worker stands at the gate, and lets it through."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()

    def formula(self, _request: Any, tensors: Tensors) -> Terms:
        self._entered.set()
        assert self._opened.wait(60), "nobody opened the gate"
        return Terms(tensors["input"] * 1)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 60), "the worker never came to the gate"

    def open(self) -> None:
        self._opened.set()


@contextmanager
def gate() -> Iterator[Gatekeeper]:
    """A gate for one engine; it is open at the end, whatever happened."""
    keeper = Gatekeeper()
    with pytest.MonkeyPatch.context() as patch:
        formulas: dict[Any, Any] = FORMULAS
        patch.setitem(formulas, Gate, Formula(keeper.formula))
        try:
            yield keeper
        finally:
            keeper.open()


@contextmanager
def batch_sizes() -> Iterator[list[int]]:
    """The number of requests of every batch that the batching engine computes; a failing batch counts too."""
    sizes: list[int] = []

    def counted(batch: Sequence[LossRequest], device: Device) -> list[LossResult]:
        sizes.append(len(batch))
        return compute(batch, device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching_module, "compute", counted)
        yield sizes


async def ask(engine: Engine, request: LossRequest) -> Answer:
    """The result of a request, or what it raised."""
    try:
        return (await engine.submit(request)).result
    except Exception as error:  # noqa: BLE001 - whatever came is what the test looks at
        return error


async def ask_all(engine: Engine, requests: Sequence[LossRequest]) -> list[Answer]:
    """All at once."""
    return list(await asyncio.gather(*(ask(engine, request) for request in requests)))


async def queued_behind_gate(engine: BatchingEngine, requests: Sequence[LossRequest]) -> list[Answer]:
    """All queued while the worker stands at the gate, so that it takes them at once."""
    with gate() as keeper:
        first = asyncio.ensure_future(engine.submit(Gate.model_validate({"input": [0.0]})))
        await keeper.reached()
        asked = asyncio.gather(*(ask(engine, request) for request in requests))
        await asyncio.sleep(0)  # one turn of the loop, in which each caller queues its request
        keeper.open()
        await first
        return list(await asked)
