"""Group commit: all batches that wait, of all runs, are written in one transaction; meanwhile the next ones gather.

There is no timer. A lone batch is written at once; under load a transaction, and its one wait for the disk, is shared
by all that came while the last one was under way.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from service.evaluations.group import PlacedBatches, Waiting, Written, added, by_run, packed, tell
from service.evaluations.refusals import StoreBusy, StoreUnavailable
from service.evaluations.run import Added, NewBatch
from service.evaluations.store import adding, folding, runs
from service.evaluations.store.adding import Outcome, Packed, Room
from service.evaluations.store.database import Database
from service.evaluations.store.runs import Limits
from service.evaluations.tallies import Snapshot, Tallies

log = logging.getLogger("gradwire.evaluations")

MOST_WAITING = 2048
MOST_WAITING_BYTES = 512 << 20
"""Batches that may wait to be written, and what they may take in memory together."""
GROUP = 512
GROUP_BYTES = 64 << 20
"""Batches written in one transaction; one that is larger is written alone."""
FOLD_BYTES = 1 << 20
"""Batches that take no more than this are folded by the thread that wrote them: to hand them over would take longer."""
VOLUME_SECONDS = 5.0
"""How old the sum of what other processes have stored may be."""

T = TypeVar("T")


@dataclass(slots=True)
class _Change(Generic[T]):
    """Anything else that is written, in a transaction of its own."""

    write: Callable[[Connection], T]
    done: asyncio.Future[T]


class Writer:
    """The one that writes, for a process: on a thread of its own, in the order in which it was asked."""

    def __init__(self, database: Database, tallies: Tallies, limits: Limits) -> None:
        self._database = database
        self._tallies = tallies
        self._limits = limits
        self._queue: deque[Waiting | _Change[Any]] = deque()
        self._waiting = 0
        self._waiting_bytes = 0
        self._woken = asyncio.Event()
        self._closing = False
        self._stored, self._stored_at = 0, -VOLUME_SECONDS
        self._writing = ThreadPoolExecutor(1, "evaluations-writer")
        # What takes longer is folded apart from the writer: meanwhile the next group is written.
        self._folding = ThreadPoolExecutor(1, "evaluations-folder")
        self._later: set[asyncio.Task[Any]] = set()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def add(self, run_id: str, owner: str | None, new: NewBatch) -> Added:
        """Make a batch durable. Raises `StoreBusy` where too much waits, and what `adding.add` refuses with."""
        if self._waiting >= MOST_WAITING or (self._waiting and self._waiting_bytes + new.nbytes > MOST_WAITING_BYTES):
            raise StoreBusy("too many batches wait to be written")
        done: asyncio.Future[Added] = asyncio.get_running_loop().create_future()
        self._waiting += 1
        self._waiting_bytes += new.nbytes
        try:
            self._put(Waiting(run_id, owner, new, done))
            return await done
        finally:
            self._waiting -= 1
            self._waiting_bytes -= new.nbytes

    async def change(self, write: Callable[[Connection], T]) -> T:
        """Run a function in a transaction, behind all batches that were given before."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Change(write, done))
        return await done

    async def apart(self, work: Callable[[], T]) -> T:
        """Run a function on the writing thread, between transactions."""
        return await asyncio.get_running_loop().run_in_executor(self._writing, work)

    def stored_anew(self) -> None:
        """Have what is stored counted again: much of it went."""
        self._stored_at = -VOLUME_SECONDS

    async def close(self) -> None:
        """Write what waits, then end."""
        self._closing = True
        self._woken.set()
        await self._task
        while self._later:
            await asyncio.gather(*self._later, return_exceptions=True)
        self._writing.shutdown()
        self._folding.shutdown()

    def _put(self, one: Waiting | _Change[Any]) -> None:
        if self._closing:
            raise StoreUnavailable("the server ends")
        self._queue.append(one)
        self._woken.set()

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._queue:
                await self._write_next()
            if self._closing:
                return

    async def _write_next(self) -> None:
        """Write what stands at the queue's head; of an error those are told whose turn it is, and no others."""
        first = self._queue.popleft()
        if isinstance(first, _Change):
            await self._write_change(first)
            return
        group = [first]
        try:
            self._gather(group)
            # Those that nobody waits for any more are left out.
            if group := [one for one in group if not one.done.done()]:
                loop = asyncio.get_running_loop()
                written = await loop.run_in_executor(self._writing, self._write, group)
                self._answer(group, written)
        except Exception as error:
            log.exception("batches cannot be stored")
            for one in group:
                if not one.done.done():
                    one.done.set_exception(error)

    def _gather(self, group: list[Waiting]) -> None:
        """Take the batches at the queue's head into a group, as many as one has."""
        nbytes = sum(one.new.nbytes for one in group)
        while self._queue and len(group) < GROUP:
            one = self._queue[0]
            if isinstance(one, _Change) or nbytes + one.new.nbytes > GROUP_BYTES:
                break
            group.append(one)
            self._queue.popleft()
            nbytes += one.new.nbytes

    async def _write_change(self, change: _Change[Any]) -> None:
        def write() -> Any:
            with self._database.write() as connection:
                return change.write(connection)

        try:
            result = await asyncio.get_running_loop().run_in_executor(self._writing, write)
        except Exception as error:  # noqa: BLE001 # whoever asked for it is told
            if not change.done.done():
                change.done.set_exception(error)
        else:
            if not change.done.done():
                change.done.set_result(result)

    def _write(self, group: list[Waiting]) -> Written:
        """Write a group, and fold what takes no time to speak of. On the writing thread."""
        packs: list[Packed | Exception] = []
        for one in group:
            try:
                packs.append(packed(one))
            except Exception as error:  # noqa: BLE001 # one that cannot be packed fails alone
                packs.append(error)
        sound = [pack for pack in packs if isinstance(pack, Packed)]
        outcomes = iter(self._transact(sound))
        found = [pack if isinstance(pack, Exception) else next(outcomes) for pack in packs]
        return Written(found, self._fold_now(group, found))

    def _fold_now(self, group: list[Waiting], outcomes: list[Outcome | Exception]) -> dict[str, dict[str, Any]]:
        """The totals of runs that could be folded at once; those of others are left to the folding thread."""
        totals: dict[str, dict[str, Any]] = {}
        if sum([one.new.nbytes for one in group]) > FOLD_BYTES:
            return totals
        for run_id, placed in by_run(group, outcomes).items():
            try:
                total = self._tallies.fold_now(run_id, *added(placed))
            except Exception:
                log.exception("batches of %s are folded anew", run_id)  # they are stored: `fold` reads them
                continue
            if total is not None:
                totals[run_id] = total
        return totals

    def _transact(self, packs: list[Packed]) -> list[Outcome | Exception]:
        try:
            return list(self._commit(packs))
        except StoreUnavailable as error:
            return [error] * len(packs)
        except Exception as error:
            if len(packs) < 2:
                log.exception("a batch cannot be stored")
                return [error] * len(packs)
            # The database refuses one of them, and the transaction with it: each alone, then.
            return [outcome for pack in packs for outcome in self._transact([pack])]

    def _commit(self, packs: list[Packed]) -> list[Outcome]:
        if not packs:
            return []
        with self._database.write() as connection:
            if time.monotonic() - self._stored_at > VOLUME_SECONDS:
                self._stored = runs.stored_bytes(connection)
                self._stored_at = time.monotonic()
            most = self._limits.nbytes
            room = Room(self._limits.samples, most, max(0, most - self._stored))
            before = room.bytes_of_store
            outcomes = adding.add(connection, packs, room)
        self._stored += before - room.bytes_of_store
        return outcomes

    def _answer(self, group: list[Waiting], written: Written) -> None:
        """Tell those that wait what came of their batches, as soon as these are folded."""
        for one, outcome in zip(group, written.outcomes, strict=True):
            if isinstance(outcome, Exception) and not one.done.done():
                one.done.set_exception(outcome)
        for run_id, placed in by_run(group, written.outcomes).items():
            total = written.totals.get(run_id)
            if total is None:
                self._soon(self._fold(run_id, placed))
            else:
                tell(placed, total)

    async def _fold(self, run_id: str, placed: PlacedBatches) -> None:
        """Fold the stored batches of one run, and tell those that wait for them."""
        fold = functools.partial(self._tallies.fold, run_id, *added(placed))
        try:
            total, snapshot = await asyncio.get_running_loop().run_in_executor(self._folding, fold)
        except Exception as error:  # noqa: BLE001 # they are told, and ask again: the batches are stored
            for one, _ in placed:
                if not one.done.done():
                    one.done.set_exception(error)
            return
        tell(placed, total)
        if snapshot is not None and not self._closing:
            self._soon(self.save(snapshot))

    async def save(self, snapshot: Snapshot) -> None:
        """Keep a tally in place of its partials."""

        def write(connection: Connection) -> bool:
            return folding.save(connection, snapshot.run_id, snapshot.seq, snapshot.data)

        try:
            await self.change(write)
        except StoreUnavailable:
            log.info("a snapshot of %s was not saved", snapshot.run_id)  # the partials are there
        except Exception:
            log.exception("a snapshot of %s cannot be saved", snapshot.run_id)

    def _soon(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
