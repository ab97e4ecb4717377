"""Times in the tables: whole microseconds since 1970, in UTC, the same on both databases."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def now() -> int:
    """The moment of the call."""
    return time.time_ns() // 1000


def stored(moment: datetime) -> int:
    """An aware time as the tables hold it."""
    return (moment - EPOCH) // MICROSECOND


def shown(microseconds: int) -> datetime:
    """The same as an aware time in UTC."""
    return EPOCH + microseconds * MICROSECOND
