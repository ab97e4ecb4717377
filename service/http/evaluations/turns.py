"""Whose turn it is to have a report made: few at a time, and on threads that nothing else needs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from starlette.responses import Response
from starlette.types import Receive

from service.http.body import Disconnected
from service.http.problems import HTTPProblem
from service.http.watch import Watch

T = TypeVar("T")

AT_ONCE: Final = 2
"""Reports and comparisons that are made at a time."""
WAITING: Final = 8
"""Those that may wait for their turn."""
KEPT: Final = 64
KEPT_BYTES: Final = 16 << 20
"""Reports of sealed runs that are kept as they were written, and their bytes."""


class Turns:
    """Makes reports, one for each turn. A caller who leaves gives up its turn; what a thread has begun, it ends."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "evaluation-reports")
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asked = 0
        self._watch = Watch()
        self._kept: OrderedDict[tuple[Any, ...], Response] = OrderedDict()
        self._kept_bytes = 0

    async def take(self, work: Callable[[], Awaitable[T]], receive: Receive) -> T:
        """What the work makes, when its turn comes. Raises `HTTPProblem` 429 where too many wait, `Disconnected`."""
        if self._asked >= AT_ONCE + WAITING:
            detail = f"{self._asked - AT_ONCE} reports wait to be made; no more may wait"
            raise HTTPProblem(429, detail, {"retry-after": "5"})
        self._asked += 1
        task = asyncio.ensure_future(self._turn(work))
        self._watch.follow(task, _after_body(receive))
        try:
            return await task
        except asyncio.CancelledError:
            if self._watch.left(task):
                raise Disconnected from None
            task.cancel()
            raise
        finally:
            self._watch.forget(task)
            self._asked -= 1

    async def _turn(self, work: Callable[[], Awaitable[T]]) -> T:
        async with self._turns:
            return await work()

    async def aside(self, work: Callable[..., T], *arguments: object) -> T:
        """Run on a thread for reports alone."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def kept(self, key: tuple[Any, ...]) -> Response | None:
        """The answer that was kept under this key."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: tuple[Any, ...], answer: Response) -> None:
        """Keep an answer that will never be another."""
        if len(answer.body) > KEPT_BYTES // 4 or key in self._kept:
            return
        self._kept[key] = answer
        self._kept_bytes += len(answer.body)
        while len(self._kept) > KEPT or self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1].body)

    def close(self) -> None:
        """Let go of the threads; what they have begun, they end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _after_body(receive: Receive) -> Receive:
    """The message behind a body that nobody read: a GET has none, but is told of it."""

    async def following() -> Any:
        message = await receive()
        while message["type"] == "http.request":
            message = await receive()
        return message

    return following
