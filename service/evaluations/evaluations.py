"""The evaluations of one process: runs, batches and what is read of them, for callers on an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from pydantic import SecretStr
from sqlalchemy import Connection

from schemas.evaluation.spec import RunSpec
from service.evaluations import cursor as cursors
from service.evaluations.refusals import BatchReused, NoSuchRun, StoreUnavailable
from service.evaluations.retention import Retention
from service.evaluations.run import Added, BatchPage, NewBatch, Page, Run
from service.evaluations.samples import Samples
from service.evaluations.series import series
from service.evaluations.store import adding, batches, migrate, runs
from service.evaluations.store.database import Database
from service.evaluations.store.runs import Asked, Limits
from service.evaluations.tallies import Tallies
from service.evaluations.tally import Tally
from service.evaluations.writer import Writer

log = logging.getLogger("gradwire.evaluations")

READERS = 4
"""Threads that read, in each process."""
MOST_OF_A_PAGE = 1000

T = TypeVar("T")


class StoreSettings(Protocol):
    """The settings that a store has, of `service.settings`."""

    @property
    def database_url(self) -> SecretStr: ...
    @property
    def evaluation_max_samples(self) -> int: ...
    @property
    def evaluation_max_bytes(self) -> int: ...
    @property
    def evaluation_max_runs(self) -> int: ...
    @property
    def evaluation_retention_days(self) -> int: ...


class Evaluations:
    """Made by `open`, in the event loop that uses it.

    Every method raises `StoreUnavailable` where the database cannot be reached, and `NoSuchRun` for a run that there is
    not or that another owner has: an owner is a key's name, or None where callers need no keys.
    """

    def __init__(self, database: Database, limits: Limits, retention_days: int) -> None:
        self._database = database
        self._limits = limits
        self._tallies = Tallies(database)
        self._writer = Writer(database, self._tallies, limits)
        self._reading = ThreadPoolExecutor(READERS, "evaluations-reader")
        self._retention = Retention(database, self._writer, self._tallies, retention_days)

    @classmethod
    async def open(cls, settings: StoreSettings) -> Evaluations:
        """Reach the database, and bring its tables up to date. Raises `StoreUnavailable`, `StoreUnusable`."""

        def reach() -> Database:
            database = Database(settings.database_url.get_secret_value())
            try:
                migrate.upgrade(database)
            except BaseException:
                database.close()
                raise
            return database

        database = await asyncio.to_thread(reach)
        limits = Limits(settings.evaluation_max_samples, settings.evaluation_max_bytes, settings.evaluation_max_runs)
        return cls(database, limits, settings.evaluation_retention_days)

    async def close(self) -> None:
        """Write what waits, and let go of the database."""
        await self._retention.close()
        await self._writer.close()
        await asyncio.to_thread(self._reading.shutdown)
        self._database.close()

    async def create(self, spec: RunSpec, owner: str | None, key: str | None) -> tuple[Run, bool]:
        """A new run; or the one that this idempotency key made before, and False. Raises `KeyReused`, `StoreFull`."""
        return await self._writer.change(lambda connection: runs.make(connection, spec, owner, key, self._limits))

    async def get(self, run_id: str, owner: str | None) -> Run:
        """The run of this id."""
        return await self._read(lambda connection: runs.run_of(runs.find(connection, run_id, owner)))

    async def page(
        self,
        owner: str | None,
        *,
        state: Literal["open", "sealed"] | None = None,
        loss: str | None = None,
        name: str | None = None,
        tags: dict[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
        order: Literal["newest", "oldest"] = "newest",
    ) -> Page:
        """Up to `limit` runs that fit all that is given; `name` is a part of the name. Raises `FaultyCursor`."""
        asked = Asked(owner, state, loss, name, tags, created_after, created_before, order)
        listing = f"runs {order}"
        after = None
        if cursor is not None:
            moment, run_id = cursors.read(listing, cursor, (int, str))
            after = (int(moment), str(run_id))
        limit = min(limit, MOST_OF_A_PAGE)
        found = await self._read(lambda connection: runs.page(connection, asked, after, limit + 1))
        if len(found) <= limit:
            return Page(found, None)
        return Page(found[:limit], cursors.written(listing, runs.sort_key(found[limit - 1])))

    async def change(
        self,
        run_id: str,
        owner: str | None,
        *,
        name: str | None = None,
        tags: dict[str, str] | None = None,
        sealed: bool = False,
    ) -> Run:
        """Give a run another name, other tags, or seal it: behind all batches that `add` was given before.

        A sealed run stays sealed. Raises `StoreFull`.
        """
        changed = {member: value for member, value in (("name", name), ("tags", tags)) if value is not None}
        most = self._limits.nbytes
        run = await self._writer.change(lambda on: runs.change(on, run_id, owner, changed, seal=sealed, most=most))
        if sealed and run.batches:
            snapshot = await self._in_thread(lambda: self._tallies.snapshot(run_id))
            await self._writer.save(snapshot)
        return run

    async def delete(self, run_id: str, owner: str | None) -> None:
        """Delete a run: nobody sees it from now on, and its space is given back soon."""
        await self._writer.change(lambda connection: runs.hide(connection, run_id, owner))
        self._tallies.forget(run_id)
        self._retention.wake()

    async def known(self, run_id: str, owner: str | None, batch_id: str, digest: bytes | None = None) -> Added | None:
        """The batch of this id, as it is answered again; None if it is new. Raises `BatchReused` for another digest."""

        def look(connection: Connection) -> tuple[bytes, adding.Placed] | None:
            runs.find(connection, run_id, owner)
            return adding.known(connection, run_id, batch_id)

        found = await self._read(look)
        if found is None:
            return None
        stored, placed = found
        if digest is not None and digest != stored:
            raise BatchReused(batch_id)
        total = await self._in_thread(lambda: self._tallies.total(run_id))
        return Added(placed.seq, True, placed.answer, total)

    async def add(self, run_id: str, owner: str | None, new: NewBatch) -> Added:
        """Make a batch part of its run; durable when it returns.

        One that is there already is answered as it was the first time. Raises `BatchReused`, `RunSealed`, `RunFull`,
        `StoreFull`, and `StoreBusy` where too much waits to be written.
        """
        return await self._writer.add(run_id, owner, new)

    async def tally(self, run_id: str, owner: str | None) -> tuple[Run, Tally]:
        """A run and the tally of just its batches: all that any process has committed up to now."""
        # The run is read first: where it is sealed, the tally then has every batch.
        run = await self.get(run_id, owner)
        seq, tally = await self._in_thread(lambda: self._tallies.current(run_id))
        return replace(run, seq=seq, batches=tally.batches, samples=tally.samples), tally

    async def total(self, run_id: str, owner: str | None) -> tuple[Run, dict[str, Any]]:
        """A run and what just its batches add up to, as `Added` has it: without a copy of the tally."""
        run = await self.get(run_id, owner)
        total = await self._in_thread(lambda: self._tallies.total(run_id))
        return replace(run, seq=total["batches"], batches=total["batches"], samples=total["samples"]), total

    async def batches(self, run_id: str, owner: str | None, cursor: str | None = None, limit: int = 100) -> BatchPage:
        """Up to `limit` of a run's batches, in commit order. Raises `FaultyCursor`."""
        listing = f"batches {run_id}"
        after = 0 if cursor is None else int(cursors.read(listing, cursor, (int,))[0])
        limit = min(limit, MOST_OF_A_PAGE)

        def read(connection: Connection) -> BatchPage:
            runs.find(connection, run_id, owner)
            found = batches.page(connection, run_id, after, limit + 1)
            more = len(found) > limit
            return BatchPage(found[:limit], cursors.written(listing, [found[limit - 1].seq]) if more else None)

        return await self._read(read)

    async def samples(self, run_id: str, through: int | None = None) -> AsyncIterator[tuple[str, Samples]]:
        """A run's samples, batch by batch in commit order; of its first `through` batches, else of all it has now.

        A few megabytes at a time, however many there are. For callers who have seen the run: no owner is asked. Raises
        `NoSuchRun` at any batch, where the run is deleted meanwhile: numbers have no gaps, so none is left out unseen.
        """
        seq = (await self._read(lambda connection: runs.seen(connection, run_id))).seq
        after, last = 0, seq if through is None else min(seq, through)

        def read(connection: Connection) -> list[tuple[int, str, Samples]]:
            found = batches.columns(connection, run_id, after, last)
            return [(seq, batch_id, Samples.decode(data)) for seq, batch_id, data in found]

        while found := await self._read(read):
            for seq, batch_id, samples in found:
                if seq != after + 1:
                    raise NoSuchRun(run_id)
                after = seq  # `read` goes on behind it
                yield batch_id, samples
        if after < last:
            raise NoSuchRun(run_id)

    async def series(self, run_id: str, points: int = 200, through: int | None = None) -> list[dict[str, Any]]:
        """The loss over a run's batches by length of id and id, as up to `points` runs of neighbours, from exact sums.

        Each has "batches", "samples", "loss" and "divisor". `through` as in `samples`; no owner is asked.
        """
        last = (1 << 63) - 1 if through is None else through

        def read(connection: Connection) -> list[dict[str, Any]]:
            run = runs.seen(connection, run_id)
            count = min(run.seq, last)
            return series(batches.sums(connection, run_id, count), count, points, run.spec)

        return await self._read(read)

    async def sweep(self) -> None:
        """Forget runs that have not changed for too long, and give back the space of all that are deleted."""
        await self._retention.sweep()

    async def _read(self, query: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._database.read() as connection:
                return query(connection)

        return await self._in_thread(read)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reading, work)
        except RuntimeError as error:
            if "shutdown" in str(error):
                raise StoreUnavailable("the server ends") from None
            raise
