"""What an engine counts. The event loop alone writes; whoever shows the figures reads them as they are."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

CALLER_GONE: Final = "caller_gone"
DEADLINE: Final = "deadline"

REQUESTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
ELEMENTS: Final = (64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24)
SECONDS: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper bounds of all durations: a tiny loss takes 50 microseconds, large bodies seconds."""


class Histogram:
    """How many values fell between fixed bounds.

    `counts` has one entry a bound, for the values up to it and above the one before, and a last one for larger values.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, so many times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class Tally:
    """The counts of one engine since it was made."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter({CALLER_GONE: 0, DEADLINE: 0})
        """Requests that were not computed, by why: their callers had gone, or their deadlines had passed."""
        self.restarts = 0
        """Workers that died or hung, and were replaced."""
        self.oom_splits = 0
        """Batches that had no room on the device, and were computed in halves."""
        self.retries = 0
        """Requests computed again alone, because one of their batch failed."""
        self.batch_requests = Histogram(REQUESTS)
        """Requests of a batch; a bundle counts as one."""
        self.batch_elements = Histogram(ELEMENTS)
        """Elements of a batch."""
        self.batch_seconds = Histogram(SECONDS)
        """Seconds that a batch was computed."""

    def computed(self, requests: int, elements: int, seconds: float) -> None:
        """Count one batch that was computed."""
        self.batch_requests.observe(requests)
        self.batch_elements.observe(elements)
        self.batch_seconds.observe(seconds)
