"""No batching: each request alone, with the same compute. The oracle that batching is held against."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from schemas.bundle import Bundle, BundleResult
from schemas.operation import Operation, OperationResult
from schemas.request import LossRequest
from service.compute import Device, Result, Work, compute, open_device
from service.engine.base import DeadlinePassed, EngineStopped, Load, Outcome, WorkerFailed
from service.engine.deadlines import Deadlines
from service.engine.drain_rate import DrainRate
from service.engine.entry import Entry, wake
from service.engine.isolation import DeviceLost, Progress, answer
from service.engine.tally import Tally

log = logging.getLogger("gradwire.engine")


class DirectEngine:
    """Computes each request alone, one at a time, on a thread of its own. Nothing watches that thread."""

    def __init__(self, device: str = "auto", *, threads: int = 1) -> None:
        self._name = device
        self._threads = threads
        self._device: Device | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: dict[asyncio.Future[Any], Entry] = {}
        self._rate = DrainRate()
        self._deadlines = Deadlines(self._expire)
        self._reason = ""
        self.tally = Tally()
        self.on_lost: Callable[[str], None] | None = None

    @property
    def running(self) -> bool:
        """Whether it takes work."""
        return self._thread is not None and not self._reason

    @property
    def load(self) -> Load:
        """What waits or is being computed."""
        elements = sum([entry.elements for entry in self._waiting.values()])
        return Load(len(self._waiting), elements, self._rate.elements_per_second)

    @property
    def backlog(self) -> float:
        """The seconds that this takes."""
        load = self.load
        return load.elements / load.elements_per_second

    def open(self) -> Device:
        """The device to compute on. Raises `ValueError` where it is not there."""
        return open_device(self._name)

    def compute(self, batch: Sequence[Work], device: Device) -> Sequence[Result]:
        """The answer to one request, or to one bundle; on the thread."""
        return compute(batch, device)

    async def start(self) -> None:
        """Open the device."""
        self._device = self.open()
        self._thread = ThreadPoolExecutor(1, "gradwire-direct", torch.set_num_threads, (self._threads,))

    async def stop(self) -> None:
        """Finish what runs."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)
            await asyncio.sleep(0)  # the turn of the loop in which the last answers are handed out
            self._deadlines.close()

    def submit(
        self, request: LossRequest, *, on_worker: bool = True, deadline: float | None = None
    ) -> asyncio.Future[Outcome]:
        """Compute it alone, in its turn."""
        return self._submit(request, deadline)

    def submit_operation(
        self, operation: Operation, *, deadline: float | None = None
    ) -> asyncio.Future[Outcome[OperationResult]]:
        """Queue it: it is a batch of its own."""
        return self._submit(operation, deadline)

    def submit_bundle(self, bundle: Bundle, *, deadline: float | None = None) -> asyncio.Future[Outcome[BundleResult]]:
        """Compute it in its turn."""
        return self._submit(bundle, deadline)

    def _submit(self, request: Work, deadline: float | None) -> asyncio.Future[Any]:
        if self._reason:
            raise WorkerFailed(self._reason)
        if self._thread is None or self._device is None:
            raise EngineStopped("the engine is not running")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        entry = Entry(request, future, time.perf_counter(), deadline)
        self._waiting[future] = entry
        future.add_done_callback(self._ended)
        if deadline is not None:
            self._deadlines.keep(future, deadline)
        self._thread.submit(self._answer, entry, self._device, loop)
        return future

    def _ended(self, future: asyncio.Future[Any]) -> None:
        del self._waiting[future]
        self._deadlines.forget(future)

    def _expire(self, future: asyncio.Future[Any]) -> None:
        if not future.done():
            future.set_exception(DeadlinePassed())

    def _deliver(self, progress: Progress) -> None:
        for _, elements, seconds in progress.batches:
            self._rate.measured(elements, seconds)
        progress.count(self.tally)
        wake(progress.finished)

    def _lose(self, reason: str) -> None:
        if not self._reason:
            self._reason = reason
            log.critical("the engine is lost", extra={"reason": reason})
            if self.on_lost is not None:
                self.on_lost(reason)

    # On the thread.

    def _answer(self, entry: Entry, device: Device, loop: asyncio.AbstractEventLoop) -> None:
        progress = Progress()
        try:
            answer([entry], self.compute, device, progress)
        except BaseException as error:  # whatever it is, somebody waits
            progress.finished.append((entry.future, WorkerFailed("the computation was broken off")))
            if isinstance(error, DeviceLost):
                loop.call_soon_threadsafe(self._lose, "the device is lost")
            else:
                log.exception("a computation was broken off")
        loop.call_soon_threadsafe(self._deliver, progress)
