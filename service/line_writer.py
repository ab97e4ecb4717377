"""Lines to standard error from a thread of its own: whoever reads them may be slow, or gone, and nobody waits for it.

What has not been taken is held up to a bound; beyond it lines are dropped and counted (docs/adr/0016-metrics.md).
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import select
import sys
import threading
from collections import deque
from typing import Final, TextIO, cast

log = logging.getLogger("gradwire.log")

HELD_BYTES: Final = 8 << 20
"""Bytes that may wait for a reader: a minute of a thousand requests a second."""

LAST_SECONDS: Final = 2.0
"""How long the end of the process waits for a reader."""


class LineWriter:
    """Writes lines in their order. `put` never waits."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._bound = held_bytes
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._untold = 0
        self.dropped = 0
        """Lines that were not written."""

    def put(self, text: bytes, lines: int = 1) -> None:
        """Have these lines written, each with its end, or drop them all."""
        with self._changed:
            if self._bytes + len(text) > self._bound:
                self.dropped += lines
                self._untold += lines
                return
            self._waiting.append((text, lines))
            self._bytes += len(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gradwire-log", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float = LAST_SECONDS) -> None:
        """Wait until all is written, or for so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                self._busy = True
                taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
                # What waited is still held until it has been written.
                untold, self._untold = self._untold, 0
            text = b"".join([text for text, _ in taken])
            try:
                _write(text)
                failed = 0
            except (OSError, ValueError):  # closed
                failed = sum([lines for _, lines in taken])
            with self._changed:
                self.dropped += failed
                self._bytes -= len(text)
            if untold and not failed:
                log.warning("log lines were dropped: standard error is slow", extra={"lines": untold})


def _write(text: bytes) -> None:
    """Write all of it. Raises `OSError` and `ValueError` where standard error is closed."""
    stream = sys.stderr
    if stream is None:
        raise ValueError("there is no standard error")
    try:
        descriptor = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):  # another object has taken its place
        stream.write(text.decode("utf-8", "backslashreplace"))
        return
    left = memoryview(text)
    # Not by the stream: its lock, held by a thread that waits for a reader, would stop the process at its end.
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # whoever gave us the descriptor shares it, and does not want to wait
            waiting = select.poll()
            waiting.register(descriptor, select.POLLOUT)
            waiting.poll()


STDERR: Final = LineWriter()
"""The one of this process."""


class _Text(io.TextIOBase):
    """The same as a text stream, for libraries that want one."""

    def write(self, text: str) -> int:
        """Have whole lines written."""
        STDERR.put(text.encode("utf-8", "backslashreplace"), text.count("\n"))
        return len(text)


LINES: Final = cast(TextIO, _Text())
"""This process's standard error as a text stream that never waits."""

atexit.register(STDERR.flush)
