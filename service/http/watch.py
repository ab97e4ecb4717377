"""Callers that go away while they wait: their requests are cancelled, and dropped before they are computed."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive

INTERVAL = 0.01
"""Seconds between two looks at who waits. Most answers are out before the first look, and cost nothing here."""


class Watch:
    """Listens for the going of every caller that waits longer than one interval."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[Any], Receive] = {}
        self._listeners: dict[asyncio.Future[Any], asyncio.Task[None]] = {}
        self._left: set[asyncio.Future[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, future: asyncio.Future[Any], receive: Receive) -> None:
        """Cancel this future if its caller disconnects before it is done."""
        self._waiting[future] = receive
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._look, dict(self._waiting))

    def forget(self, future: asyncio.Future[Any]) -> None:
        """It is done: stop listening."""
        self._waiting.pop(future, None)
        self._left.discard(future)
        listener = self._listeners.pop(future, None)
        if listener is not None:
            listener.cancel()

    def left(self, future: asyncio.Future[Any]) -> bool:
        """Whether it was cancelled because its caller left."""
        return future in self._left

    def _look(self, before: dict[asyncio.Future[Any], Receive]) -> None:
        """Listen to those who waited at the last look already; look again while anyone waits."""
        self._timer = None
        loop = asyncio.get_running_loop()
        for future, receive in before.items():
            if future in self._waiting and future not in self._listeners and not future.done():
                self._listeners[future] = loop.create_task(self._listen(future, receive))
        if self._waiting:
            self._timer = loop.call_later(INTERVAL, self._look, dict(self._waiting))

    async def _listen(self, future: asyncio.Future[Any], receive: Receive) -> None:
        message = await receive()
        if message["type"] == "http.disconnect" and not future.done():
            self._left.add(future)
            future.cancel()
