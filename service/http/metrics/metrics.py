"""The metrics of a service: this process's own, and the sum over all processes that share a directory."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Final, NamedTuple, TypeVar

from service.http.metrics.process import told_by_kernel
from service.http.metrics.shared import SharedSnapshots
from service.http.metrics.snapshot import Snapshot, summed

log = logging.getLogger("gradwire.metrics")

INTERVAL: Final = 1.0
"""Seconds between two snapshots that are written for other processes, and between two points of the rates."""

WINDOW: Final = 60
"""Seconds that rates are taken over."""

T = TypeVar("T")

Telling = Callable[[Snapshot], None]
"""A part of the service that adds what it has counted."""

RATES: Final = {
    "requests": "gradwire_requests_total",
    "losses": "gradwire_losses_total",
    "received_bytes": "gradwire_received_bytes_total",
    "sent_bytes": "gradwire_sent_bytes_total",
}
"""Rates over the last minute: a gauge `rate.<name>` in a snapshot, from its counter."""


class Whole(NamedTuple):
    """What all processes told: of the one that was asked, of each living one (it among them), and of all."""

    own: Snapshot
    alive: list[Snapshot]
    over_all: Snapshot


class Metrics:
    """Collects what its parts have counted. Without a directory this process is the only one."""

    def __init__(self, parts: list[Telling], directory: str) -> None:
        self._parts = parts
        self._directory = directory
        self._shared: SharedSnapshots | None = None
        # A thread of its own: a scrape must not wait behind large bodies.
        self._thread = ThreadPoolExecutor(1, "gradwire-metrics")
        self._number = 0
        self._points: deque[tuple[float, dict[str, float]]] = deque(maxlen=WINDOW + 1)
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[Snapshot] | None = None
        self._build = (version("gradwire"), platform.python_version(), version("torch"))

    async def start(self) -> None:
        """Take a place among the processes, and begin to tell. Raises `OSError` where the directory cannot be used."""
        if self._directory:
            self._shared = await self._aside(partial(SharedSnapshots, self._directory))
        self._tick()

    async def stop(self) -> None:
        """Tell a last time: what was counted outlives the process."""
        if self._timer is not None:
            self._timer.cancel()
        if self._shared is not None:
            await self._aside(partial(self._finished, self._own(), self._number))
            self._shared.close()
        self._thread.shutdown(wait=False)

    async def whole(self) -> Whole:
        """Of now, as far as this process goes; of at most a second ago for the others."""
        own = self._own()
        return await self._aside(partial(self._summed, own, self._number))

    def _aside(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _own(self) -> Snapshot:
        snapshot = Snapshot()
        for told in self._parts:
            told(snapshot)
        snapshot.gauge("gradwire_processes", 1)
        snapshot.gauge("gradwire_build_info", 1, *self._build)
        self._number += 1
        if self._points:
            then, before = self._points[0]
            seconds = max(time.monotonic() - then, 1e-3)
            for name, family in RATES.items():
                snapshot.gauge(f"rate.{name}", (snapshot.counted(family) - before[name]) / seconds)
        return snapshot

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)
        own = self._own()
        self._points.append((time.monotonic(), {name: own.counted(family) for name, family in RATES.items()}))
        if self._shared is not None and (self._writing is None or self._writing.done()):
            self._writing = self._aside(partial(self._finished, own, self._number))

    # Beside the event loop.

    def _finished(self, own: Snapshot, number: int) -> Snapshot:
        told_by_kernel(own)
        if self._shared is not None:
            try:
                self._shared.write(own, number)
            except OSError:
                log.exception("the metrics of this process cannot be told to the others")
        return own

    def _summed(self, own: Snapshot, number: int) -> Whole:
        # Written before it is told, so that no other process's sum is ever below this one's.
        self._finished(own, number)
        living, ended = [own], Snapshot()
        if self._shared is not None:
            try:
                alive, ended = self._shared.others()
                living += alive
            except OSError:
                log.exception("the metrics of the other processes cannot be read")
        return Whole(own, living, summed(living, [ended]))
