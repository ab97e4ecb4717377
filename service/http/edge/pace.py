"""How long one connection may keep the server waiting: for a head, for a body, for its answer to be read.

A `Pace` is looked at by `service.http.edge.sweep` about twice a second, and costs its connection nothing between two
looks: it compares what it finds with what it found before. It counts only time in which the server was listening:
neither that in which it was busy, nor that in which it had stopped reading itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.http.edge.lingering import IDLE_SECONDS, TOTAL_SECONDS

if TYPE_CHECKING:
    from service.http.edge.protocol import Protocol


@dataclass(frozen=True)
class Patience:
    """The bounds, in seconds; and the bytes a second that a body must come with, or an answer be read with."""

    head: float
    body: float
    write: float
    keep_alive: float
    rate: int


# What a connection is waited for.
NOTHING, BYTES, HEAD, BODY, END = range(5)


class Pace:
    """One connection's clocks."""

    __slots__ = (
        "_bytes",
        "_for",
        "_message",
        "_still",
        "_taken",
        "_unsent",
        "_unsent_still",
        "_unsent_time",
        "_waited",
    )

    def __init__(self) -> None:
        self._for = NOTHING
        self._message = 0
        self._waited = 0.0
        self._still = 0.0
        self._bytes = 0
        self._unsent = 0
        self._unsent_time = 0.0
        self._unsent_still = 0.0
        self._taken = 0

    def late(self, connection: Protocol, elapsed: float, patience: Patience) -> str | None:
        """What was waited for too long, if anything; so many seconds after the last look."""
        unsent = connection.transport.get_write_buffer_size()
        if self._stalled(unsent, elapsed, patience):
            return "write"
        if connection.lingering is None and connection.transport.is_closing():
            return None
        waiting = connection.waiting_for()
        if waiting != self._for or connection.messages != self._message:
            self._for, self._message = waiting, connection.messages
            self._waited = self._still = 0.0
            self._bytes = connection.received()
            return None
        if waiting == NOTHING or (unsent and waiting == BYTES):
            return None
        if waiting == BODY and not connection.listening():
            self._still = 0.0
            return None
        self._waited += elapsed
        return self._too_late(connection, elapsed, patience)

    def _too_late(self, connection: Protocol, elapsed: float, patience: Patience) -> str | None:
        waited = self._waited
        if self._for == BYTES:
            if connection.messages == 0:
                return "head" if waited >= patience.head else None
            return "next" if waited >= patience.keep_alive else None
        if self._for == HEAD:
            return "head" if waited >= patience.head else None
        received = connection.received()
        self._still = self._still + elapsed if received == self._bytes else 0.0
        self._bytes = received
        if self._for == END:
            return "end" if self._still >= IDLE_SECONDS or waited >= TOTAL_SECONDS else None
        dripping = received < (waited - patience.body) * patience.rate
        return "body" if self._still >= patience.body or dripping else None

    def _stalled(self, unsent: int, elapsed: float, patience: Patience) -> bool:
        """Whether the caller does not read, or only drop by drop."""
        before, self._unsent = self._unsent, unsent
        if not unsent:
            return False
        if not before:
            self._unsent_time = self._unsent_still = 0.0
            self._taken = 0
            return False
        self._unsent_time += elapsed
        if unsent < before:
            self._taken += before - unsent
            self._unsent_still = 0.0
        else:
            self._unsent_still += elapsed
        dripping = self._taken < (self._unsent_time - patience.write) * patience.rate
        return self._unsent_still >= patience.write or dripping
