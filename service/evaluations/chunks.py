"""Stored batches taken many at a time, to be worked on beside the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol, TypeVar

from service.evaluations.samples import Samples

SAMPLES: Final = 1 << 16
"""Samples from which on a chunk is full."""
BATCHES: Final = 256
"""Batches that are taken from a stream at once, at most: the event loop waits for as long."""

Batches = list[tuple[str, Samples]]
T = TypeVar("T")


class Aside(Protocol):
    """Runs work on some thread beside the event loop, as `asyncio.to_thread` does on one that everything shares."""

    def __call__(self, work: Callable[..., T], /, *arguments: object) -> Awaitable[T]: ...


async def chunks(samples: AsyncIterator[tuple[str, Samples]]) -> AsyncIterator[Batches]:
    """The batches of a stream in their order, some at a time."""
    held: Batches = []
    waiting = 0
    async for each in samples:
        held.append(each)
        waiting += len(each[1])
        if waiting >= SAMPLES or len(held) >= BATCHES:
            yield held
            held, waiting = [], 0
    if held:
        yield held
