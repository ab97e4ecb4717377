"""One timer for all connections of a process, which ends those that keep the server waiting; and how many there may be.

A timer for each request would cost every request what only a stalled one needs.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from typing import TYPE_CHECKING, Final

from service.http.edge.pace import Patience
from service.settings import Settings

if TYPE_CHECKING:
    from service.http.edge.protocol import Protocol

log = logging.getLogger("gradwire.http")

INTERVAL: Final = 0.5
"""Seconds between two looks, at most: a timeout is that much late. 4096 quiet connections take about 2 ms a look."""
OTHER_DESCRIPTORS: Final = 256
"""File descriptors that are kept for all but connections: files, pipes, the GPU's, surplus connections."""
SURPLUS: Final = 64
"""Connections above the bound that are told so in time to hear it; more are closed at once."""


class Sweep:
    """The connections of one application in one process."""

    def __init__(self, settings: Settings) -> None:
        self.patience = Patience(
            settings.head_timeout_seconds,
            settings.body_timeout_seconds,
            settings.write_timeout_seconds,
            settings.keep_alive_seconds,
            settings.least_bytes_per_second,
        )
        self.max_connections = settings.max_connections
        self.max_head = settings.max_head_bytes
        self.max_lingering = settings.max_body_bytes
        self._connections: set[Protocol] = set()
        self._surplus: set[Protocol] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0
        patience = self.patience
        least = min(patience.head, patience.body, patience.write, patience.keep_alive)
        self._interval = min(INTERVAL, max(least / 4, 0.02))

    def fit(self) -> None:
        """Make room for the file descriptors of all connections, or be content with fewer."""
        needed = self.max_connections + OTHER_DESCRIPTORS
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= needed:
            return
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
        if allowed < needed:
            self.max_connections = max(1, allowed - OTHER_DESCRIPTORS)
            log.warning(
                "at most %d connections instead of %d: the process may open only %d files",
                self.max_connections,
                needed - OTHER_DESCRIPTORS,
                allowed,
            )

    def add(self, connection: Protocol) -> bool:
        """A new connection; `False` where there are too many already."""
        self._connections.add(connection)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._last = loop.time()
            self._timer = loop.call_later(self._interval, self._look)
        return len(self._connections) - len(self._surplus) <= self.max_connections

    def may_linger(self, connection: Protocol) -> bool:
        """Whether a connection above the bound is waited for until it has read so."""
        self._surplus.add(connection)
        return len(self._surplus) <= SURPLUS

    def discard(self, connection: Protocol) -> None:
        """The connection is no more."""
        self._connections.discard(connection)
        self._surplus.discard(connection)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval, self._look) if self._connections else None
        now = loop.time()
        # Callers are not blamed for a server that was busy: what they sent may lie unread in the kernel.
        elapsed = min(now - self._last, 2 * self._interval)
        self._last = now
        for connection in tuple(self._connections):
            late = connection.pace.late(connection, elapsed, self.patience)
            if late is not None:
                connection.expire(late)
