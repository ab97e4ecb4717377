"""Whether the engine computes: by a probe on its worker, at a pace, however often it is asked."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from service.engine import Engine
from service.engine.base import probe

INTERVAL: Final = 10.0
"""Seconds between two probes that nobody asked for."""
PACE: Final = 1.0
"""Seconds for which a probe that came out right is believed."""
FAILED: Final = 0.1
"""The part of that time for which one is believed that did not: whoever asks is to learn soon that it does again."""


class Readiness:
    """Probes at most once at a time, and at most once in `PACE` seconds while all is well."""

    def __init__(self, engine: Engine, probe_seconds: float, pace: float = PACE) -> None:
        self._engine = engine
        self._seconds = probe_seconds
        self._pace = pace
        self._probe: asyncio.Task[str | None] | None = None
        self._believed_until = 0.0
        self._fault: str | None = None

    @property
    def right(self) -> bool:
        """Whether the last probe came out right, and the engine takes work still."""
        return self._believed_until > 0 and self._fault is None and self._engine.running

    async def keep_asking(self) -> None:
        """Ask now and then, so that `right` stays true to what is."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.fault()

    async def fault(self) -> str | None:
        """Why the engine does not compute; `None` if it does."""
        if time.perf_counter() < self._believed_until and (self._fault or self._engine.running):
            return self._fault
        if self._probe is None:
            self._probe = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(self._probe)  # who asked may go away; others wait for the same probe

    async def _ask(self) -> str | None:
        # Not a timeout around it: where this loop stood still meanwhile, the timeout is over and the answer is there.
        asked = asyncio.ensure_future(probe(self._engine))
        await asyncio.wait([asked], timeout=self._seconds)
        if asked.done():
            fault = None if asked.result() else "the probe computation failed"
        else:
            asked.cancel()
            fault = "the probe computation did not come back in time"
        self._probe, self._fault = None, fault
        self._believed_until = time.perf_counter() + self._pace * (1.0 if fault is None else FAILED)
        return fault
