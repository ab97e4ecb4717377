"""What keeps a worker at work: one that dies or hangs is replaced, and the queue goes on.

A Python thread cannot be stopped from outside. One that hangs is left behind: it computes no more once it comes back.
When several hang, or the device is lost, this process cannot go on: whoever started it has to start another one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from service.compute import Device
from service.engine.entry import Entry
from service.engine.fair_queue import FairQueue
from service.engine.isolation import Compute, DeviceLost, Progress
from service.engine.tally import Tally
from service.engine.worker import Worker

log = logging.getLogger("gradwire.engine")

LOOK: Final = 1.0
"""Seconds between two looks at the worker, at most. A death is told at once; a look is for what cannot tell."""
STALL_ELEMENTS: Final = 1 << 24
"""Elements of a batch that the time until a worker counts as hung is meant for; larger ones have more of it."""
MOST_STUCK: Final = 3
"""Threads that hang at the same time, at which the process gives up."""
STOP_SECONDS: Final = 5.0
"""How long the end waits for a worker whose answers nobody waits for."""


class Watchdog:
    """Owns the worker; used on the event loop alone.

    `deliver` takes what came of computing. `failed` takes the requests of a worker that died or hung. `lost` is called
    once, with the reason, when nothing can be computed any more.
    """

    def __init__(
        self,
        queue: FairQueue,
        compute: Compute,
        device: Device,
        threads: int,
        stall_seconds: float,
        tally: Tally,
        deliver: Callable[[Progress], None],
        failed: Callable[[list[Entry]], None],
        lost: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._compute = compute
        self._device = device
        self._threads = threads
        self._stall_seconds = stall_seconds
        self._tally = tally
        self._deliver = deliver
        self._failed = failed
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._stuck: set[Worker] = set()
        self._closed = False
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._worker = self._start()
        self._look()

    async def stop(self, wanted: Callable[[], bool]) -> None:
        """Let the worker empty the queue and end; `wanted` tells whether anybody waits for it."""
        self._closed = True
        self._queue.close()
        while not self._over.is_set():
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._over.wait()
            except TimeoutError:
                if not wanted():
                    log.warning("the worker did not come to its end")
                    break
        self._end()

    def _start(self) -> Worker:
        worker = Worker(self._queue, self._compute, self._device, self._threads, self._hand_over, self._tell_ended)
        worker.start()
        return worker

    def _end(self) -> None:
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # On the worker's thread.

    def _hand_over(self, progress: Progress) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, progress)
        except RuntimeError:  # the loop has closed: nobody waits any more
            log.warning("answers without a loop to take them", extra={"answers": len(progress.finished)})

    def _tell_ended(self, worker: Worker, error: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ended, worker, error)
        except RuntimeError:
            log.warning("a worker ended after its loop")

    # On the loop.

    def _look(self) -> None:
        self._timer = self._loop.call_later(min(LOOK, self._stall_seconds / 4), self._look)
        worker = self._worker
        if not worker.alive():
            self._ended(worker, None)
            return
        turn = worker.turn
        if turn is None:
            return
        allowed = self._stall_seconds * max(1.0, turn.elements / STALL_ELEMENTS)
        if time.perf_counter() - turn.began > allowed:
            log.error("the worker hangs", extra={"requests": len(turn.group), "elements": turn.elements})
            self._stuck.add(worker)
            self._deliver(worker.finished())
            if len(self._stuck) >= MOST_STUCK:
                self._give_up("the worker hung again and again", turn.group)
            else:
                self._replace(turn.group)

    def _ended(self, worker: Worker, error: BaseException | None) -> None:
        """A worker's thread is over: it was left behind, the queue is closed, or it died."""
        self._stuck.discard(worker)
        if worker is not self._worker or self._over.is_set():
            return
        turn = worker.turn
        if error is None and turn is None and self._closed:
            self._end()
            return
        log.error("the worker died", exc_info=error)
        group = [] if turn is None else turn.group
        if isinstance(error, DeviceLost):
            self._give_up("the device is lost", group)
        else:
            self._replace(group)

    def _replace(self, group: list[Entry]) -> None:
        self._tally.restarts += 1
        try:
            self._worker = self._start()
        except RuntimeError:  # there is no thread to be had
            log.exception("a worker could not be replaced")
            self._give_up("no worker could be started", group)
        else:
            self._failed(group)

    def _give_up(self, reason: str, group: list[Entry]) -> None:
        self._queue.hand_to(None)
        self._failed(group)
        self._failed(self._queue.clear())
        self._end()
        self._lost(reason)
