"""Forgetting runs: those that have not changed for long, and the rows of those that were deleted."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from sqlalchemy import Connection

from service.evaluations.refusals import StoreUnavailable
from service.evaluations.store import clock, reaping, runs
from service.evaluations.store.database import Database
from service.evaluations.tallies import Tallies
from service.evaluations.writer import Writer

log = logging.getLogger("gradwire.evaluations")

EVERY_SECONDS = 3600.0
DAY = 24 * 3600 * 1_000_000
"""In microseconds."""
AT_ONCE = 100
"""Runs hidden in one transaction."""


class Retention:
    """Sweeps every hour, and when it is woken; any process may sweep, and several at once do no harm."""

    def __init__(self, database: Database, writer: Writer, tallies: Tallies, days: int) -> None:
        self._database = database
        self._writer = writer
        self._tallies = tallies
        self._days = days
        self._woken = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Sweep now."""
        self._woken.set()

    async def close(self) -> None:
        """Sweep no more; what is left is swept another time."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> None:
        """Hide what is too old, and take away the rows of all that is hidden, in small transactions."""
        if self._days:
            since = clock.now() - self._days * DAY

            def hide(connection: Connection) -> list[str]:
                return runs.hide_unchanged(connection, since, AT_ONCE)

            while old := await self._writer.change(hide):
                for run_id in old:
                    self._tallies.forget(run_id)
                log.info("%d evaluations were deleted: not changed for %d days", len(old), self._days)
        swept = False
        seen: set[str] = set()
        while left := [
            one for one in await self._writer.change(lambda on: runs.hidden(on, AT_ONCE)) if one not in seen
        ]:
            seen.update(left)
            for run_id in left:
                await self._reap(run_id)
            swept = True
        if swept:
            self._writer.stored_anew()
            while await self._writer.apart(self._database.give_back_space):
                pass

    async def _reap(self, run_id: str) -> None:
        try:
            while not await self._writer.change(lambda connection: reaping.reap(connection, run_id)):
                pass
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("the rows of evaluation %s cannot be taken away", run_id)  # those of others can

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreUnavailable:
                log.info("the sweep of evaluations waits for its database")
            except Exception:
                log.exception("a sweep of evaluations failed; the next one tries again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):  # Python 3.11's wait_for may lose a cancellation
                    await self._woken.wait()
            self._woken.clear()
