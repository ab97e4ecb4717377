"""What every key has used of its quotas: right over all worker processes.

A quota is a bucket that fills at a rate and holds a burst. One number tells its state (the generic cell rate
algorithm): the instant at which it will be full again. Those instants lie in a table in memory; workers of one service
share it as a file, and hold its lock for the few operations of one change.

Instants are those of `time.monotonic()`, which on Linux is one clock for all processes.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

QUOTAS: Final = "GRADWIRE_SHARED_QUOTAS"
"""The variable by which worker processes are told the file of their quotas; set by `gradwire serve` alone."""
ID_BYTES: Final = 16
WIDTH: Final = 4
"""Eight bytes each: two of the id, then when the requests' and when the elements' bucket is full."""
SLOTS: Final = 1 << 14
"""Four times as many as there may be keys: those of former keys are taken over."""
WINDOW: Final = 64
"""Slots in which a key's may be."""


class Ledger:
    """The table: of this process alone, or of all that opened the same file."""

    def __init__(self, memory: mmap.mmap, lock: int | None = None) -> None:
        self._memory = memory
        self._instants: memoryview[float] = memoryview(memory).cast("d")
        self._lock = lock

    @classmethod
    def private(cls) -> Self:
        """A table for one process."""
        return cls(mmap.mmap(-1, SLOTS * WIDTH * 8))

    @classmethod
    def shared(cls, file: Path) -> Self:
        """The table in a file that `shared_file` made. Raises `OSError`."""
        lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        return cls(mmap.mmap(lock, SLOTS * WIDTH * 8), lock)

    def close(self) -> None:
        """Let go of the memory."""
        self._instants.release()
        self._memory.close()
        if self._lock is not None:
            os.close(self._lock)

    def slot(self, key_id: bytes) -> int:
        """Where a key's instants are: its own slot, else a free one, else that of the key which is nearest to full.

        Called with the lock held.
        """
        sought, free = key_id.ljust(ID_BYTES, b"\0"), bytes(ID_BYTES)
        first = zlib.crc32(key_id)
        window = [(first + step) % SLOTS * WIDTH for step in range(WINDOW)]
        for at in window:
            held = self._memory[at * 8 : at * 8 + ID_BYTES]
            if held == sought:
                return at
            if held == free:
                break
        else:
            at = min(window, key=lambda one: max(self._instants[one + 2], self._instants[one + 3]))
        self._memory[at * 8 : at * 8 + ID_BYTES] = sought
        self._instants[at + 2] = self._instants[at + 3] = 0.0
        return at

    def holds(self, at: int, key_id: bytes) -> bool:
        """Whether that slot is still this key's."""
        return self._memory[at * 8 : at * 8 + len(key_id)] == key_id

    @property
    def instants(self) -> memoryview[float]:
        """Of a key whose slot is `at`: when its requests (`at + 2`) and its elements (`at + 3`) are full again."""
        return self._instants

    def acquire(self) -> None:
        """Keep other processes out. The system lets them in again if this one dies."""
        if self._lock is not None:
            fcntl.lockf(self._lock, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let other processes in."""
        if self._lock is not None:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


@contextmanager
def shared_file() -> Iterator[Path]:
    """An empty table as a file, in memory where the system offers that; removed in the end. Raises `OSError`."""
    memory = "/dev/shm"  # noqa: S108 # mkstemp makes the name, and the file for this user alone
    folder = memory if os.access(memory, os.W_OK) else None
    descriptor, name = tempfile.mkstemp(prefix="gradwire-quotas-", dir=folder)
    file = Path(name)
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123 # of a descriptor
            stream.truncate(SLOTS * WIDTH * 8)
        yield file
    finally:
        file.unlink(missing_ok=True)
