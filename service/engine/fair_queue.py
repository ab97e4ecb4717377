"""The queue before the worker: requests of all sizes get their turns, and like ones are taken together.

Every class of sizes is a lane, in the order of coming. Lanes share the worker by elements: self-clocked fair queueing
(S. J. Golestani, "A self-clocked fair queueing scheme for broadband applications", IEEE INFOCOM 1994). An entry's tag
is where its lane's work would end if the lane had its share of the worker to itself; the lane whose first entry has the
least tag is next. So a small request waits for little more than the one giant that is being computed, and giants have
their share of the time however many small ones come (docs/adr/0014-fair-turns.md).
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final

from service.engine.entry import Entry

SMALL_BITS: Final = 17
"""Requests of fewer than 2 to this many elements share a lane: stacking larger ones with smaller ones saves nothing."""

Future = asyncio.Future[Any]


class Lane:
    """Entries of one class of sizes, in the order of coming."""

    def __init__(self) -> None:
        self.waiting: OrderedDict[Future, tuple[int, Entry]] = OrderedDict()
        self.alike: dict[Hashable, OrderedDict[Future, Entry]] = {}
        self.ends = 0
        """The tag of the entry that came last."""

    @property
    def tag(self) -> int:
        """The tag of the entry that waits longest."""
        return next(iter(self.waiting.values()))[0]

    def put(self, entry: Entry, clock: int) -> None:
        """Add one at the end."""
        self.ends = max(clock, self.ends) + entry.elements
        self.waiting[entry.future] = (self.ends, entry)
        key = entry.request.checked.key
        if key is not None:
            self.alike.setdefault(key, OrderedDict())[entry.future] = entry

    def remove(self, future: Future) -> Entry | None:
        """Take one out, wherever it stands."""
        found = self.waiting.pop(future, None)
        if found is None:
            return None
        entry = found[1]
        key = entry.request.checked.key
        if key is not None:
            mates = self.alike[key]
            del mates[future]
            if not mates:
                del self.alike[key]
        return entry

    def cut(self, most: int) -> list[Entry]:
        """Take out the first, and those with an equal key, while all together have at most so many elements."""
        first = next(iter(self.waiting.values()))[1]
        key = first.request.checked.key
        group = [first]
        if key is not None:
            elements = 0
            group = []
            for entry in self.alike[key].values():
                elements += entry.elements
                if elements > most and group:
                    break
                group.append(entry)
        for entry in group:
            self.remove(entry.future)
        return group


class FairQueue:
    """Entries come from the event loop, and are taken by the thread that owns the queue."""

    def __init__(self, batch_elements: int) -> None:
        self._batch_elements = batch_elements
        self._lanes: dict[int, Lane] = {}
        self._clock = 0
        self._changed = threading.Condition()
        self._owner: object = None
        self._closed = False

    def put(self, entry: Entry) -> None:
        """Add one."""
        size = _size(entry)
        with self._changed:
            lane = self._lanes.get(size)
            if lane is None:
                lane = self._lanes[size] = Lane()
            lane.put(entry, self._clock)
            self._changed.notify()

    def discard(self, entry: Entry) -> bool:
        """Take one out that nobody waits for any more; whether it was still there."""
        with self._changed:
            lane = self._lanes.get(_size(entry))
            return lane is not None and lane.remove(entry.future) is not None

    def take(self, owner: object, *, wait: bool) -> list[Entry] | None:
        """What is computed next: entries with equal keys. None of them where nothing is there and `wait` is false.

        `None`: the queue is closed and empty, or another thread owns it.
        """
        with self._changed:
            while True:
                if self._owner is not owner:
                    return None
                lane = self._first()
                if lane is not None:
                    self._clock = max(self._clock, lane.tag)
                    return lane.cut(self._batch_elements)
                if self._closed:
                    return None
                if not wait:
                    return []
                self._changed.wait()

    def hand_to(self, owner: object) -> None:
        """From now on this thread takes."""
        with self._changed:
            self._owner = owner
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will come: who takes is told so once all is taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> list[Entry]:
        """All that waits, taken out."""
        with self._changed:
            found = [entry for lane in self._lanes.values() for _, entry in lane.waiting.values()]
            self._lanes = {}
            return found

    def _first(self) -> Lane | None:
        return min((lane for lane in self._lanes.values() if lane.waiting), key=_tag, default=None)


def _tag(lane: Lane) -> int:
    return lane.tag


def _size(entry: Entry) -> int:
    """The class of an entry's size: small, or by the power of 8."""
    return max(entry.elements.bit_length() - SMALL_BITS + 2, 0) // 3
