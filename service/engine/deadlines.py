"""Deadlines of what waits for a worker: kept by the event loop, with one timer, for the worker may be busy."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, Final

Future = asyncio.Future[Any]

EARLY: Final = 0.001
"""Seconds by which a timer of the event loop may be early: uvloop's count whole milliseconds."""


class Deadlines:
    """Calls `passed` with everything that is still kept at its deadline (`time.perf_counter`).

    Most is answered long before, so that nothing is sorted: the timer is set to the earliest deadline that was ever
    kept, and when it goes off, what is kept by then is looked through.
    """

    def __init__(self, passed: Callable[[Future], None]) -> None:
        self._passed = passed
        self._of: dict[Future, float] = {}
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, future: Future, deadline: float) -> None:
        """Keep it until it is forgotten, or its deadline passes."""
        self._of[future] = deadline
        if deadline < self._next:
            self._set(deadline)

    def forget(self, future: Future) -> None:
        """It is done."""
        self._of.pop(future, None)

    def close(self) -> None:
        """Forget all."""
        self._of.clear()
        self._set(math.inf)

    def _set(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next = deadline
        if deadline < math.inf:
            wait = max(deadline - time.perf_counter(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)

    def _look(self) -> None:
        now = time.perf_counter() + EARLY
        for future in [future for future, deadline in self._of.items() if deadline <= now]:
            del self._of[future]
            self._passed(future)
        self._set(min(self._of.values(), default=math.inf))
