"""The batching engine: one worker thread on one device, which takes what is queued the moment it is free.

There is no timer: a batch is whatever gathered while the last one ran, so an idle engine adds no wait. What is taken at
once is capped by elements; which is taken first, `FairQueue` says. Entries whose caller has gone, or whose deadline has
passed, are dropped before they are computed. A `Watchdog` replaces a worker that dies or hangs.

On the CPU, small requests do without the worker: those that came in one turn of the event loop are computed together at
its end. Handing them to a thread and back would take longer than computing them (docs/adr/0003-tiny-batches-inline.md).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Sequence
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
from service.engine.fair_queue import FairQueue
from service.engine.isolation import Progress, answer
from service.engine.tally import CALLER_GONE, DEADLINE, Tally
from service.engine.watchdog import Watchdog

log = logging.getLogger("gradwire.engine")

INLINE_TENSORS = 16
"""Tensors above which an operation is the worker's: however small, an optimizer's step takes some 0.1 ms for each."""
INLINE_TURN_ELEMENTS = 1 << 19
"""Elements that one turn of the loop computes itself at most; what comes beyond them goes to the worker."""


class BatchingEngine:
    """Groups queued requests by their keys and computes each group as one batch."""

    def __init__(
        self,
        device: str = "auto",
        *,
        threads: int = 1,
        batch_elements: int = 1 << 20,
        inline_elements: int = 0,
        stall_seconds: float = 60.0,
    ) -> None:
        self._name = device
        self._threads = threads
        self._batch_elements = batch_elements
        self._inline_elements = inline_elements
        self._stall_seconds = stall_seconds
        self._tiny: list[Entry] = []
        self._tiny_elements = 0
        self._tiny_seen = 0
        self._tiny_last = 0
        self._waiting: dict[asyncio.Future[Any], Entry] = {}
        self._waiting_elements = 0
        self._rate = DrainRate()
        self._deadlines = Deadlines(self._expire)
        self._device: Device | None = None
        self._queue: FairQueue | None = None
        self._watchdog: Watchdog | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting = False
        self._reason = ""
        self.tally = Tally()
        self.on_lost: Callable[[str], None] | None = None

    @property
    def running(self) -> bool:
        """Whether it takes work."""
        return self._accepting

    @property
    def load(self) -> Load:
        """What waits for the worker or the end of the turn, or is being computed."""
        return Load(
            len(self._waiting) + len(self._tiny),
            self._waiting_elements + self._tiny_elements,
            self._rate.elements_per_second,
        )

    @property
    def backlog(self) -> float:
        """The seconds that this takes."""
        return (self._waiting_elements + self._tiny_elements) / self._rate.elements_per_second

    def open(self) -> Device:
        """The device to compute on. Raises `ValueError` where it is not there."""
        return open_device(self._name)

    def compute(self, batch: Sequence[Work], device: Device) -> Sequence[Result]:
        """The answers to requests with equal keys, or to one bundle; on the worker's thread, or on the loop's."""
        return compute(batch, device)

    async def start(self) -> None:
        """Open the device and start the worker."""
        device = self._device = self.open()
        self._loop = asyncio.get_running_loop()
        if device.name == "cpu":
            torch.set_num_threads(self._threads)
        else:
            self._inline_elements = 0
        queue = self._queue = FairQueue(self._batch_elements)
        self._watchdog = Watchdog(
            queue,
            self.compute,
            device,
            self._threads,
            self._stall_seconds,
            self.tally,
            self._deliver,
            self._fail,
            self._lose,
        )
        self._accepting = True
        log.info("engine started", extra={"device": device.name})

    async def stop(self) -> None:
        """Answer what is queued, then end the worker."""
        self._accepting = False
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is None or self._queue is None:
            return
        await watchdog.stop(lambda: bool(self._waiting))
        for entry in self._queue.clear():  # behind the end
            if not entry.future.done():
                entry.future.set_exception(EngineStopped("the engine stopped before this request's turn"))
        self._deadlines.close()

    def submit(
        self, request: LossRequest, *, on_worker: bool = False, deadline: float | None = None
    ) -> asyncio.Future[Outcome]:
        """Queue it; the future is its outcome."""
        return self._submit(request, deadline, on_worker)

    def submit_operation(
        self, operation: Operation, *, deadline: float | None = None
    ) -> asyncio.Future[Outcome[OperationResult]]:
        """Queue it: it is a batch of its own."""
        return self._submit(operation, deadline, on_worker=len(operation.checked.tensors) > INLINE_TENSORS)

    def submit_bundle(self, bundle: Bundle, *, deadline: float | None = None) -> asyncio.Future[Outcome[BundleResult]]:
        """Queue it: it is a batch of its own."""
        return self._submit(bundle, deadline)

    def _submit(self, request: Work, deadline: float | None, on_worker: bool = False) -> asyncio.Future[Any]:
        if not self._accepting or self._loop is None:
            raise WorkerFailed(self._reason) if self._reason else EngineStopped("the engine is not running")
        future: asyncio.Future[Any] = self._loop.create_future()
        entry = Entry(request, future, time.perf_counter(), deadline)
        elements = request.checked.layout.elements
        large = elements > self._inline_elements or not self._inline_elements
        if large or on_worker or self._tiny_elements > INLINE_TURN_ELEMENTS:
            self._enqueue(entry)
            return future
        if not self._tiny:
            self._loop.call_soon(self._compute_tiny)
        self._tiny.append(entry)
        self._tiny_elements += elements
        return future

    def _enqueue(self, entry: Entry) -> None:
        """For the worker; whatever ends the wait, `_ended` is told."""
        future, deadline = entry.future, entry.deadline
        if self._queue is None:
            return
        if deadline is not None:
            if deadline <= entry.asked:
                self.tally.dropped[DEADLINE] += 1
                future.set_exception(DeadlinePassed())
                return
            self._deadlines.keep(future, deadline)
        self._waiting[future] = entry
        self._waiting_elements += entry.elements
        future.add_done_callback(self._ended)
        self._queue.put(entry)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        """It is answered, or nobody waits for it any more: then it need not be computed, nor kept."""
        entry = self._waiting.pop(future)
        self._waiting_elements -= entry.elements
        if entry.deadline is not None:
            self._deadlines.forget(future)
        if future.cancelled() and self._queue is not None and self._queue.discard(entry):
            self.tally.dropped[CALLER_GONE] += 1

    def _expire(self, future: asyncio.Future[Any]) -> None:
        """Its deadline has passed."""
        if future.done():
            return
        if self._queue is not None and self._queue.discard(self._waiting[future]):
            self.tally.dropped[DEADLINE] += 1
        future.set_exception(DeadlinePassed())

    def _fail(self, entries: list[Entry]) -> None:
        """The worker that computed them died or hangs, or nothing can be computed any more."""
        for entry in entries:
            if not entry.future.done():
                entry.future.set_exception(WorkerFailed("the worker did not come back"))

    def _lose(self, reason: str) -> None:
        """Nothing can be computed any more."""
        self._accepting, self._reason = False, reason
        log.critical("the engine is lost", extra={"reason": reason})
        if self.on_lost is not None:
            self.on_lost(reason)

    def _compute_tiny(self) -> None:
        """At the end of a turn of the loop: what came in it, in groups as the worker makes them.

        Where the last batch held several requests, another turn is waited for as long as the last one brought more: a
        look at the sockets costs a tenth of a batch. A caller who is alone is answered at once.
        """
        if self._tiny_last > 1 and len(self._tiny) > self._tiny_seen and self._loop is not None:
            self._tiny_seen = len(self._tiny)
            self._loop.call_soon(self._compute_tiny)
            return
        self._tiny_seen, self._tiny_last = 0, len(self._tiny)
        taken, self._tiny, self._tiny_elements = self._tiny, [], 0
        if self._device is None:
            return
        progress = Progress()
        try:
            for group in _groups(taken):
                answer(group, self.compute, self._device, progress)
        except Exception as error:  # a fault of this file's own: nobody is to wait for ever
            log.exception("a turn on the event loop failed")
            progress.finished += [(entry.future, error) for entry in taken]
        progress.count(self.tally)
        wake(progress.finished)

    def _deliver(self, progress: Progress) -> None:
        """What the worker hands over."""
        for _, elements, seconds in progress.batches:
            self._rate.measured(elements, seconds)
        progress.count(self.tally)
        wake(progress.finished)


def _groups(taken: list[Entry]) -> list[list[Entry]]:
    """Entries with equal keys together, in the order in which each group's first one came."""
    if len(taken) == 1:
        return [taken]
    groups: dict[Hashable, list[Entry]] = {}
    for entry in taken:
        key = entry.request.checked.key
        groups.setdefault(id(entry) if key is None else key, []).append(entry)
    return list(groups.values())
