"""The snapshots of several server processes, in a directory that they share: each writes its own, any can sum them.

A process is alive while it holds the lock of its `.alive` file, which the kernel lets go when it ends, however it does.
The counters of those that have ended are kept in one file, so that sums never go down and files do not pile up
(docs/adr/0016-metrics.md).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.http.metrics.snapshot import Snapshot, from_json, summed

ENDED: Final = "ended.json"
LOCK: Final = "lock"


class SharedSnapshots:
    """The place of this process in the directory. All methods read and write files: call them beside the event loop."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._writing = threading.Lock()
        self._written = 0
        with self._locked():  # nobody may take a file that is not held yet for that of a process that has ended
            self._alive = (self._directory / f"{self._name}.alive").open("wb")
            fcntl.flock(self._alive, fcntl.LOCK_EX)

    def write(self, own: Snapshot, number: int) -> None:
        """Tell the others. `number` grows from one snapshot to the next: an older one that comes late is left."""
        with self._writing:
            if number > self._written:
                self._replace(f"{self._name}.json", own)
                self._written = number

    def others(self) -> tuple[list[Snapshot], Snapshot]:
        """What the other living processes told last, and the sum of those that have ended."""
        with self._locked():
            alive, ended = [], []
            for path in self._directory.glob("*.alive"):
                if path.stem == self._name:
                    continue
                if _is_held(path):
                    alive.extend(_read(path.with_suffix(".json")))
                else:
                    ended.append(path)
            whole = summed([], _read(self._directory / ENDED))
            if ended:
                whole = summed([], [whole, *(one for path in ended for one in _read(path.with_suffix(".json")))])
                with self._writing:
                    self._replace(ENDED, whole)
                for path in ended:
                    path.with_suffix(".json").unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
        return alive, whole

    def close(self) -> None:
        """The process ends: its last snapshot stays."""
        self._alive.close()

    def _replace(self, name: str, snapshot: Snapshot) -> None:
        """At once or not at all: nobody reads half of it."""
        new = self._directory / f"{self._name}.new"
        new.write_bytes(snapshot.to_json())
        new.replace(self._directory / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time: the first that sees one ended counts it among the ended."""
        with (self._directory / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _read(path: Path) -> list[Snapshot]:
    """The snapshot there; none where a process has not told anything yet, or the file was cut by a full disk."""
    try:
        return [from_json(path.read_bytes())]
    except (FileNotFoundError, ValueError):
        return []
