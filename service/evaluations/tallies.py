"""Running tallies: what this process has folded of the runs that it was asked about last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from service.evaluations.partial import Partial
from service.evaluations.refusals import EvaluationRefused
from service.evaluations.store import folding
from service.evaluations.store.database import Database
from service.evaluations.tally import Tally

SNAPSHOT_EVERY = 256
"""Batches after which a tally is saved: so many partials are folded at most when a run is opened again."""
MOST_RUNS = 256
MOST_BYTES = 256 << 20
"""Tallies kept in memory: of so many runs, and of so many bytes together beside the newest."""


class DamagedRun(Exception):
    """A run lacks partials that no snapshot stands for; this never happens by what this code does."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tally of a run's first `seq` batches, to be saved."""

    run_id: str
    seq: int
    data: bytes


@dataclass(slots=True)
class _Running:
    """One run's tally of its first `seq` batches; whoever reads or folds holds it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    tally: Tally | None = None
    seq: int = 0
    saved: int = 0
    nbytes: int = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else reads or folds it in the block; what an error leaves of it is thrown away."""
        with self.lock, self._whole():
            yield

    @contextmanager
    def held_now(self) -> Iterator[bool]:
        """The same without waiting: False where somebody else holds it."""
        if not self.lock.acquire(blocking=False):
            yield False
            return
        try:
            with self._whole():
                yield True
        finally:
            self.lock.release()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except EvaluationRefused:
            raise  # by the database, between two batches
        except BaseException:
            # Part of a batch may be in it, and would be counted twice: it is folded anew when it is asked for.
            self.tally, self.seq, self.saved, self.nbytes = None, 0, 0, 0
            raise

    def follows(self, seqs: list[int], least: int) -> bool:
        """Whether these batches are the next ones, reach as far as `least`, and no tally is to be saved after them."""
        last = self.seq + len(seqs)
        return seqs == list(range(self.seq + 1, last + 1)) and least <= last < self.saved + SNAPSHOT_EVERY


class Tallies:
    """A bounded number of running tallies. Any thread may call; none may be an event loop's: a fold takes its time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[str, _Running] = OrderedDict()
        self._guard = threading.Lock()

    def current(self, run_id: str) -> tuple[int, Tally]:
        """A copy of the tally of all batches that any process has committed up to now, and their number.

        Raises `NoSuchRun`, `StoreUnavailable`.
        """
        running = self._of(run_id)
        with running.held():
            tally = self._catch_up(run_id, running).copy()
            return running.seq, tally

    def total(self, run_id: str) -> dict[str, Any]:
        """The running total of the same. Raises as `current` does."""
        running = self._of(run_id)
        with running.held():
            return total_of(self._catch_up(run_id, running))

    def fold(self, run_id: str, added: list[tuple[int, Partial]], least: int) -> tuple[dict[str, Any], Snapshot | None]:
        """Fold batches that this process has committed: number and partial. Answers a running total.

        In it are these and the first `least` batches, whoever committed them. With it comes a tally to be saved, where
        it is time for one. Raises as `current` does.
        """
        running = self._of(run_id)
        with running.held():
            tally = self._folded(run_id, running, added)
            if running.seq < least:
                tally = self._catch_up(run_id, running)
            running.nbytes = tally.nbytes
            due = running.seq - running.saved >= SNAPSHOT_EVERY
            return total_of(tally), self._snapshot(run_id, running, tally) if due else None

    def fold_now(self, run_id: str, added: list[tuple[int, Partial]], least: int) -> dict[str, Any] | None:
        """What `fold` answers. `None` where it would read, save or wait for others: then nothing is folded."""
        running = self._of(run_id)
        with running.held_now() as held:
            if not held or running.tally is None or not running.follows([seq for seq, _ in added], least):
                return None
            tally = self._folded(run_id, running, added)
            running.nbytes = tally.nbytes
            return total_of(tally)

    def _folded(self, run_id: str, running: _Running, added: list[tuple[int, Partial]]) -> Tally:
        """The tally with these batches, and with others' that lie between."""
        tally = running.tally
        for seq, partial in added:
            if tally is None or seq > running.seq + 1:
                tally = self._catch_up(run_id, running)
            if seq == running.seq + 1:
                tally.add(partial)
                running.seq = seq
        return self._catch_up(run_id, running) if tally is None else tally

    def snapshot(self, run_id: str) -> Snapshot:
        """The tally of all committed batches, to be saved. Raises as `current` does."""
        running = self._of(run_id)
        with running.held():
            return self._snapshot(run_id, running, self._catch_up(run_id, running))

    def forget(self, run_id: str) -> None:
        """Keep no tally of a run any more."""
        with self._guard:
            self._kept.pop(run_id, None)

    def _of(self, run_id: str) -> _Running:
        with self._guard:
            running = self._kept.setdefault(run_id, _Running())
            self._kept.move_to_end(run_id)
            total = sum(one.nbytes for one in self._kept.values())
            while len(self._kept) > 1 and (len(self._kept) > MOST_RUNS or total > MOST_BYTES):
                _, gone = self._kept.popitem(last=False)
                total -= gone.nbytes
            return running

    def _snapshot(self, run_id: str, running: _Running, tally: Tally) -> Snapshot:
        data = tally.encode()
        running.saved = running.seq
        return Snapshot(run_id, running.seq, data)

    def _catch_up(self, run_id: str, running: _Running) -> Tally:
        """Fold what the database has beyond a running tally."""
        with self._database.read() as connection:
            target, spec = folding.newest(connection, run_id)
            if running.tally is None:
                running.tally = Tally(spec)
            while running.seq < target:
                rows = folding.next_partials(connection, run_id, running.seq)
                for seq, data in rows:
                    running.tally.add(Partial.decode(data))
                    running.seq = seq
                if rows:
                    continue
                found = folding.snapshot(connection, run_id)
                if found is None or found[0] <= running.seq:
                    raise DamagedRun(f"{run_id}: nothing holds batch {running.seq + 1}")
                running.seq, data = found
                running.tally = Tally.decode(spec, data)
                running.saved = running.seq
            running.nbytes = running.tally.nbytes
            return running.tally


def total_of(tally: Tally) -> dict[str, Any]:
    """What every added batch is answered with beside its own figures."""
    moments, reduction = tally.moments(), tally.spec.reduction
    return {
        "samples": tally.samples,
        "batches": tally.batches,
        "count": tally.count,
        "ignored": tally.ignored,
        "loss": moments.loss(reduction),
        "standard_error": moments.standard_error(reduction),
        "divisor": moments.divisor,
    }
