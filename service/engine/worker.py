"""The thread that computes what a queue gives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import torch

from service.compute import Device, Result, Work
from service.engine.entry import Entry
from service.engine.fair_queue import SMALL_BITS, FairQueue
from service.engine.isolation import Compute, Progress, answer

HAND_OVER_AFTER: Final = 0.001
"""Seconds of computing after which finished answers are handed over before more is computed."""
HAND_OVER_BEFORE: Final = 1 << SMALL_BITS
"""Elements of a batch before which finished answers are handed over: nobody is to wait for a giant that is not his."""


class Turn(NamedTuple):
    """What a worker computes now: the group, its elements, and when it began."""

    group: list[Entry]
    elements: int
    began: float


class Worker:
    """One thread, from its start until the queue is closed or given to another.

    `hand_over` and `ended` are called on the thread: with what came of computing; and with this worker and what ended
    it, if anything did. They must not raise.
    """

    def __init__(
        self,
        queue: FairQueue,
        compute: Compute,
        device: Device,
        threads: int,
        hand_over: Callable[[Progress], None],
        ended: Callable[[Worker, BaseException | None], None],
    ) -> None:
        self._queue = queue
        self._compute = compute
        self._device = device
        self._threads = threads
        self._hand_over_to = hand_over
        self._tell_ended = ended
        self._thread = threading.Thread(target=self._run, name="gradwire-worker", daemon=True)
        self._progress = Progress()
        self._since = 0.0
        self.turn: Turn | None = None

    def start(self) -> None:
        """Take the queue and begin."""
        self._queue.hand_to(self)
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def finished(self) -> Progress:
        """What it has finished and not handed over, for a worker that hangs."""
        found, self._progress = self._progress, Progress()
        return found

    # On the thread.

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            torch.set_num_threads(self._threads)
            self._work()
        except BaseException as raised:  # noqa: BLE001 - a thread must not end in silence, whatever ends it
            error = raised
        finally:
            self._hand_over()
            self._tell_ended(self, error)

    def _work(self) -> None:
        take = self._queue.take
        while True:
            group = take(self, wait=False)
            if group is not None and not group:
                self._hand_over()
                group = take(self, wait=True)
            if group is None:
                return
            now = time.perf_counter()
            elements = sum([entry.elements for entry in group])
            if elements > HAND_OVER_BEFORE or now - self._since > HAND_OVER_AFTER:
                self._hand_over()
            self.turn = Turn(group, elements, now)
            answer(group, self._timed, self._device, self._progress)
            self.turn = None
            del group  # while it waits for more, the worker holds no request and no answer

    def _timed(self, batch: Sequence[Work], device: Device) -> Sequence[Result]:
        """Compute; a group that is computed again, in parts, has all the time again for each."""
        turn = self.turn
        if turn is not None:
            self.turn = turn._replace(began=time.perf_counter())
        return self._compute(batch, device)

    def _hand_over(self) -> None:
        self._since = time.perf_counter()
        progress = self.finished()
        if progress.finished or progress.gone or progress.late:
            self._hand_over_to(progress)
