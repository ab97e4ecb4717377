"""A key's quotas: what is taken from them, what is left."""

from __future__ import annotations

from typing import Final, NamedTuple

from service.access.keys import Key
from service.access.ledger import Ledger

REQUESTS: Final = "requests"
ELEMENTS: Final = "elements"


class Quota(NamedTuple):
    """So much at once, and so much a second in the long run."""

    burst: float
    rate: float

    @property
    def window(self) -> float:
        """The seconds in which an empty bucket is full again."""
        return self.burst / self.rate


class Standing(NamedTuple):
    """What is left of a quota, and in how many seconds all of it will be there again."""

    left: int
    full_in: float


class Exhausted(Exception):
    """A quota does not allow it: which one, and in how many seconds it will."""

    def __init__(self, counted: str, quota: Quota, wait: float) -> None:
        super().__init__(counted)
        self.counted = counted
        self.quota = quota
        self.wait = wait


class Account:
    """The quotas of one key, in a ledger."""

    def __init__(self, key: Key, ledger: Ledger) -> None:
        self.requests = _quota(key.requests_per_second, key.requests_burst)
        self.elements = _quota(key.elements_per_second, key.elements_burst)
        self._id = key.id.encode()
        self._ledger = ledger
        self._slot = -1

    def take_request(self, now: float, *, computes: bool) -> tuple[Standing | None, Standing | None]:
        """Take one request, at that instant; what is left of requests and elements.

        One that computes is refused, and not counted, while no elements are left. Raises `Exhausted`.
        """
        ledger = self._ledger
        ledger.acquire()
        try:
            at = self._at()
            elements = self.elements
            if elements is not None and computes:
                _spend(ELEMENTS, elements, ledger.instants[at + 3], 1, now)
            if self.requests is not None:
                ledger.instants[at + 2] = _spend(REQUESTS, self.requests, ledger.instants[at + 2], 1, now)
            return self._standings(at, now)
        finally:
            ledger.release()

    def take_elements(self, count: int, now: float) -> tuple[Standing | None, Standing | None]:
        """Take so many elements, at that instant; what is left of requests and elements. Raises `Exhausted`."""
        ledger = self._ledger
        ledger.acquire()
        try:
            at = self._at()
            if self.elements is not None:
                ledger.instants[at + 3] = _spend(ELEMENTS, self.elements, ledger.instants[at + 3], count, now)
            return self._standings(at, now)
        finally:
            ledger.release()

    def standings(self, now: float) -> tuple[Standing | None, Standing | None]:
        """What is left of requests and elements."""
        self._ledger.acquire()
        try:
            return self._standings(self._at(), now)
        finally:
            self._ledger.release()

    def _at(self) -> int:
        if self._slot < 0 or not self._ledger.holds(self._slot, self._id):
            self._slot = self._ledger.slot(self._id)
        return self._slot

    def _standings(self, at: int, now: float) -> tuple[Standing | None, Standing | None]:
        instants = self._ledger.instants
        return _standing(self.requests, instants[at + 2], now), _standing(self.elements, instants[at + 3], now)


def _quota(rate: float | None, burst: int | None) -> Quota | None:
    if rate is None:
        return None
    return Quota(burst if burst is not None else max(rate, 1.0), rate)


def _spend(counted: str, quota: Quota, full_at: float, count: int, now: float) -> float:
    """When the bucket will be full, once so much is taken out of it.

    More than it holds is given when it is full; then nothing is until that is made up for. Raises `Exhausted`.
    """
    burst, rate = quota
    begin = max(now, full_at)
    after = begin + count / rate
    allowed = now + (max(count, burst)) / rate
    if after > allowed + NOISE:
        raise Exhausted(counted, quota, after - allowed)
    return after


NOISE: Final = 1e-9
"""Seconds by which sums of instants may be off."""


def _standing(quota: Quota | None, full_at: float, now: float) -> Standing | None:
    if quota is None:
        return None
    full_in = full_at - now
    if full_in <= 0:
        return Standing(int(quota.burst), 0.0)
    return Standing(max(int(quota.burst - full_in * quota.rate + NOISE * quota.rate), 0), full_in)
