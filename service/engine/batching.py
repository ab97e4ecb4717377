"""The batching engine: one worker thread on one device, which takes what is queued the moment it is free.

There is no timer: a batch is whatever gathered while the last one ran, so an idle engine adds no wait. What is taken at
once is capped by elements. Entries whose caller has gone are dropped before they are computed.

On the CPU, small requests do without the worker: those that came in one turn of the event loop are computed together at
its end. Handing them to a thread and back would take longer than computing them (docs/adr/0003-tiny-batches-inline.md).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Hashable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import torch

from schemas.bundle import Bundle, BundleResult
from schemas.request import LossRequest
from service.compute import Device, Work, compute, open_device
from service.engine.base import EngineStopped, Outcome

log = logging.getLogger("gradwire.engine")

INLINE_TURN_ELEMENTS = 1 << 19
"""Elements that one turn of the loop computes itself at most; what comes beyond them goes to the worker."""

HAND_OVER_AFTER = 0.001
"""Seconds of computing after which finished answers are handed over before the rest of what was taken is computed."""


class Entry(NamedTuple):
    """A request or a bundle in the queue."""

    request: Work
    future: asyncio.Future[Any]
    asked: float


Finished = list[tuple[asyncio.Future[Any], Outcome[Any] | BaseException]]


class BatchingEngine:
    """Groups queued requests by their keys and computes each group as one batch."""

    def __init__(
        self, device: str = "auto", *, threads: int = 1, batch_elements: int = 1 << 20, inline_elements: int = 0
    ) -> None:
        self._name = device
        self._threads = threads
        self._batch_elements = batch_elements
        self._inline_elements = inline_elements
        self._tiny: list[Entry] = []
        self._tiny_elements = 0
        self._tiny_seen = 0
        self._tiny_last = 0
        self._device: Device | None = None
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting = False
        self._counting = threading.Lock()
        self.dropped = 0
        """Requests that were not computed, because their callers had gone."""

    async def start(self) -> None:
        """Open the device and start the worker."""
        device = self._device = open_device(self._name)
        self._loop = asyncio.get_running_loop()
        if device.name == "cpu":
            torch.set_num_threads(self._threads)
        else:
            self._inline_elements = 0
        self._thread = threading.Thread(target=self._work, args=(device,), name="gradwire-worker", daemon=True)
        self._thread.start()
        self._accepting = True
        log.info("engine started", extra={"device": device.name})

    async def stop(self) -> None:
        """Answer what is queued, then end the worker."""
        self._accepting = False
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)
            self._refuse_rest()

    def submit(self, request: LossRequest, *, on_worker: bool = False) -> asyncio.Future[Outcome]:
        """Queue it; the future is its outcome."""
        return self._submit(request, on_worker)

    def submit_bundle(self, bundle: Bundle) -> asyncio.Future[Outcome[BundleResult]]:
        """Queue it: it is a batch of its own."""
        return self._submit(bundle)

    def _submit(self, request: Work, on_worker: bool = False) -> asyncio.Future[Any]:
        if not self._accepting or self._loop is None:
            raise EngineStopped("the engine is not running")
        future: asyncio.Future[Any] = self._loop.create_future()
        entry = Entry(request, future, time.perf_counter())
        elements = request.checked.layout.elements
        large = elements > self._inline_elements or not self._inline_elements
        if large or on_worker or self._tiny_elements > INLINE_TURN_ELEMENTS:
            self._queue.put(entry)
            return future
        if not self._tiny:
            self._loop.call_soon(self._compute_tiny)
        self._tiny.append(entry)
        self._tiny_elements += elements
        return future

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
        try:
            for finished in self._computed(taken, self._device):
                _deliver(finished)
        except Exception as error:  # as on the worker
            log.exception("a turn on the event loop failed")
            _deliver([(entry.future, error) for entry in taken])

    def _refuse_rest(self) -> None:
        """What was queued behind the end."""
        while not self._queue.empty():
            entry = self._queue.get()
            if entry is not None and not entry.future.done():
                entry.future.set_exception(EngineStopped("the engine stopped before this request's turn"))

    # On the worker's thread.

    def _work(self, device: Device) -> None:
        torch.set_num_threads(self._threads)
        while True:
            entry = self._queue.get()
            if entry is None:
                return
            taken, ended = self._take(entry)
            try:
                self._answer(taken, device)
            except Exception as error:  # a fault of this file's own: the worker must not die of it
                log.exception("a turn of the worker failed")
                self._hand_over([(entry.future, error) for entry in taken])
            if ended:
                return
            del entry, taken  # while it waits for more, the worker holds no request and no answer

    def _answer(self, taken: list[Entry], device: Device) -> None:
        finished: Finished = []
        began = time.perf_counter()
        for answers in self._computed(taken, device):
            finished += answers
            if time.perf_counter() - began > HAND_OVER_AFTER:
                self._hand_over(finished)
                finished, began = [], time.perf_counter()
        self._hand_over(finished)

    def _take(self, first: Entry) -> tuple[list[Entry], bool]:
        """What is queued now, up to the cap; and whether the end was among it."""
        taken = [first]
        elements = first.request.checked.layout.elements
        get = self._queue.get_nowait
        while elements < self._batch_elements:
            try:
                entry = get()
            except Empty:
                break
            if entry is None:
                return taken, True
            taken.append(entry)
            elements += entry.request.checked.layout.elements
        return taken, False

    def _computed(self, taken: list[Entry], device: Device) -> Iterator[Finished]:
        """The answers to what was taken, group by group, without those whose callers have gone."""
        for group in _groups(taken):
            alive = [entry for entry in group if not entry.future.cancelled()]
            with self._counting:
                self.dropped += len(group) - len(alive)
            if alive:
                yield _answers(alive, device)

    def _hand_over(self, finished: Finished) -> None:
        if finished and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(_deliver, finished)
            except RuntimeError:  # the loop has closed: nobody waits any more
                log.warning("answers without a loop to take them", extra={"answers": len(finished)})


def _groups(taken: list[Entry]) -> list[list[Entry]]:
    """Entries with equal keys together, in the order in which each group's first one came."""
    if len(taken) == 1:
        return [taken]
    groups: dict[Hashable, list[Entry]] = {}
    for entry in taken:
        key = entry.request.checked.key
        groups.setdefault(id(entry) if key is None else key, []).append(entry)
    return list(groups.values())


def _answers(group: list[Entry], device: Device) -> Finished:
    """Compute a group as one batch; if that raises, each of it alone, so that only the culprit fails."""
    began = time.perf_counter()
    try:
        results = compute([entry.request for entry in group], device)
    except Exception as error:
        if len(group) == 1:
            log.exception("a request failed", extra={"loss": group[0].request.name})
            return [(group[0].future, error)]
        log.warning("a batch failed; computing its requests alone", extra={"requests": len(group)})
        return [answer for entry in group for answer in _answers([entry], device)]
    computed = time.perf_counter() - began
    return [
        (entry.future, Outcome(result, began - entry.asked, computed, len(group), began))
        for entry, result in zip(group, results, strict=True)
    ]


def _deliver(finished: Finished) -> None:
    """On the loop: wake the callers that are still there."""
    for future, outcome in finished:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
