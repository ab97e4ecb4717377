"""The parent of several server processes: starts them, replaces those that die, and ends them."""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from service.serving.early import ENDING
from service.serving.ends import NOT_STARTED, STOP_SECONDS
from service.settings import Settings

log = logging.getLogger("gradwire.serving")

STARTS_WITHIN: Final = 120
"""Seconds until a worker that has not begun to serve is replaced."""
ANSWERS_WITHIN: Final = 60
"""Seconds until a worker whose event loop stands still is replaced."""
MOST_FAILED_STARTS: Final = 3
"""Workers that may die before they serve, with none beginning to serve between them; then all ends."""

SIGNALS: Final = (*ENDING, signal.SIGHUP)


class Worker:
    """A process that serves, and the line to it."""

    def __init__(self, listening: socket.socket) -> None:
        self.line, theirs = socket.socketpair()
        self.line.setblocking(False)
        self.started = False
        self.silent = 0
        """Seconds since it told that it is well."""
        descriptors = (listening.fileno(), theirs.fileno())
        # What signals it before it can handle them waits. -P: what lies in the current directory is not imported.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-m", "service.serving.worker", *map(str, descriptors)], pass_fds=descriptors
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()

    def hear(self) -> bool:
        """Take what it has sent; whether it lives."""
        try:
            while beats := self.line.recv(4096):
                self.started = bool(beats)
                self.silent = 0
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def end(self) -> int:
        """Wait for its end, and by what it came: its exit code, or minus the signal."""
        self.line.close()
        return self.process.wait()


class Workers:
    """As many workers as are asked for, kept alive until a signal ends them all."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings = settings
        self._listening = listening
        self._selector = selectors.DefaultSelector()
        self._alive: set[Worker] = set()
        self._missing = 0
        self._failed_starts = 0
        self._start_at = 0.0
        self._end_by: float | None = None
        self._code = 0

    def run(self) -> int:
        """Keep them until the end; the exit code."""
        with _signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            self._missing = self._settings.workers
            ticked = time.monotonic()
            while self._alive or self._end_by is None:
                if self._end_by is None:
                    self._start_missing()
                for key, _ in self._selector.select(timeout=0.25):
                    if key.fileobj is signals:
                        for number in signals.recv(64):
                            self._signalled(number)
                    else:
                        self._heard(key.data)
                if time.monotonic() - ticked >= 1:
                    ticked = time.monotonic()
                    self._tick()
        self._selector.close()
        return self._code

    def _start_missing(self) -> None:
        if self._missing and time.monotonic() >= self._start_at:
            for _ in range(self._missing):
                worker = Worker(self._listening)
                self._alive.add(worker)
                self._selector.register(worker.line, selectors.EVENT_READ, worker)
            self._missing = 0

    def _heard(self, worker: Worker) -> None:
        started = worker.started
        if not worker.hear():
            self._ended(worker)
        elif worker.started and not started:
            self._failed_starts = 0
            log.info("a worker serves", extra={"worker": worker.process.pid})

    def _ended(self, worker: Worker) -> None:
        """One is no more: another takes its place, unless all end."""
        self._selector.unregister(worker.line)
        self._alive.remove(worker)
        code = worker.end()
        if self._end_by is not None:
            return
        self._missing += 1
        log.warning("a worker ended; another takes its place", extra={"worker": worker.process.pid, "code": code})
        if worker.started:
            return
        self._failed_starts += 1
        self._start_at = time.monotonic() + self._failed_starts
        if self._failed_starts >= MOST_FAILED_STARTS:
            log.error("workers end before they serve, one after another: giving up")
            self._code = NOT_STARTED
            self._end_all()

    def _tick(self) -> None:
        """Every second: look for workers that hang. Counted, since both sides may have been suspended for a while."""
        for worker in self._alive:
            worker.silent += 1
            if worker.silent > (ANSWERS_WITHIN if worker.started else STARTS_WITHIN) and self._end_by is None:
                log.error("a worker hangs", extra={"worker": worker.process.pid, "seconds": worker.silent})
                worker.process.kill()
        if self._end_by is not None and time.monotonic() >= self._end_by:
            log.warning("workers did not end in time", extra={"workers": len(self._alive)})
            self._kill_all()

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP:
            for worker in self._alive:
                worker.process.send_signal(number)
        elif number in ENDING:
            if self._end_by is None:
                self._end_all()
            else:
                self._code = 128 + number
                self._kill_all()

    def _end_all(self) -> None:
        log.info("draining", extra={"workers": len(self._alive)})
        self._end_by = time.monotonic() + (
            self._settings.drain_grace_seconds + self._settings.drain_seconds + 2 * STOP_SECONDS
        )
        for worker in self._alive:
            worker.process.send_signal(signal.SIGTERM)

    def _kill_all(self) -> None:
        for worker in self._alive:
            worker.process.kill()


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """The numbers of the signals that come, as bytes on a socket."""
    ours, pythons = socket.socketpair()
    with ours, pythons:
        pythons.setblocking(False)
        signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        yield ours
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # the end is near
        signal.set_wakeup_fd(-1)
