"""glibc's heap: set for large requests, and given back to the system after a burst.

Left alone, glibc keeps an arena for each of many threads, gives large blocks back after every request only to fault
them in again for the next, and holds on to much of what a burst needed. torch and NumPy allocate from it too.
Elsewhere (musl, macOS) nothing is done here.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger("gradwire.serving")

MIB: Final = 1 << 20


class Option(NamedTuple):
    """An option of glibc's `mallopt`: its number and value, and what of the environment may have set it already."""

    number: int
    value: int
    variable: str
    tunable: str


OPTIONS: Final = (
    Option(-8, 2, "MALLOC_ARENA_MAX", "glibc.malloc.arena_max"),
    # The largest that glibc allows. Setting it also ends glibc's own, growing threshold.
    Option(-3, 32 * MIB, "MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold"),
    Option(-1, 256 * MIB, "MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold"),
)

QUIET_SECONDS: Final = 5
QUIET_REQUESTS: Final = 20
"""Requests in a second up to which it is quiet: probes and scrapes never cease."""
WORTH_BYTES: Final = 32 * MIB
"""Resident bytes beyond what the last trim left that are worth another."""


def set_options() -> None:
    """Set glibc's options that the environment leaves open; before other threads run."""
    libc = _glibc()
    if libc is None:
        return
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    for option in OPTIONS:
        if option.variable not in os.environ and option.tunable not in tunables:
            libc.mallopt(option.number, option.value)


class Trim:
    """Gives free memory back to the system when load has fallen to next to nothing."""

    def __init__(self) -> None:
        self._libc = _glibc()
        self._requests = 0
        self._quiet = 0
        self._least = resident()

    def look(self, requests: int, busy: bool) -> None:
        """Called every second with the number of requests so far, and whether any is being answered."""
        quiet = not busy and requests - self._requests <= QUIET_REQUESTS
        self._requests = requests
        self._quiet = self._quiet + 1 if quiet else 0
        if self._quiet >= QUIET_SECONDS and self._libc is not None:
            self._quiet = 0
            if resident() > self._least + WORTH_BYTES:
                # Beside the loop: it takes up to a tenth of a second a gigabyte.
                asyncio.get_running_loop().run_in_executor(None, self._trim, self._libc)

    def _trim(self, libc: ctypes.CDLL) -> None:
        before = resident()
        libc.malloc_trim(0)
        self._least = resident()
        log.debug("free memory given back", extra={"before_mib": before // MIB, "after_mib": self._least // MIB})


def resident() -> int:
    """Bytes of memory that this process holds; 0 where that is not told."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
