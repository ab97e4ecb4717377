"""One server process: uvicorn's server, which drains before it ends.

What the drain is (docs/adr/0011-lifecycle.md): at the signal `/readyz` turns to 503 and answers close their
connections; after the grace, new work is refused; when all that had begun is answered, or the drain's time is over,
the process ends. The listener stays open until then, so that a probe on a new connection is answered too.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn

from service.http.app import Gradwire
from service.http.edge.protocol import Protocol
from service.serving.early import ENDING
from service.serving.ends import STOP_SECONDS
from service.serving.heap import Trim
from service.serving.tls import Renewal
from service.settings import Settings
from service.telemetry import configuration

log = logging.getLogger("gradwire.serving")

LAST_SECONDS: Final = 1.0
"""How long what was refused at the drain's end, and TLS's farewells, may take to be sent."""


class Server(uvicorn.Server):
    """Serves until it is told to end, then drains.

    `alone`: it has no parent that would end it: a second signal does so at once. `beat` is called every second.
    """

    def __init__(
        self, app: Gradwire, settings: Settings, context: ssl.SSLContext | None, *, alone: bool = True
    ) -> None:
        always = []
        if context is not None and settings.hsts_seconds:
            always.append(("Strict-Transport-Security", f"max-age={settings.hsts_seconds}"))
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=Protocol,
                ws="none",
                lifespan="on",
                access_log=False,
                log_config=configuration(settings.log_level, settings.log_format),
                server_header=False,
                proxy_headers=False,
                headers=always,
                ssl_context_factory=None if context is None else lambda *_: context,
            )
        )
        self.beat: Callable[[], None] = lambda: None
        self._app = app
        self._settings = settings
        self._alone = alone
        self._trim = Trim()
        self._renewal = None if context is None else Renewal(context, settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that end it, to the end: uvicorn would raise them again, and end with 143."""
        for number in ENDING:
            if self._alone or number != signal.SIGINT:  # Ctrl+C is the parent's matter
                signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; end at once before anything is served, and at a second signal."""
        if self._loop is None:
            os._exit(0)
        if self.should_exit:
            # A worker may well get it twice: from its parent, and from what signals all processes of a service.
            if self._alone:
                os._exit(128 + sig)
            return
        self.should_exit = True
        Protocol.draining = True
        self._app.state.draining = True
        self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. A TLS handshake has the time of a head: `Sweep` sees only connections that are through with it."""
        loop: Any = asyncio.get_running_loop()
        if self.config.ssl is not None:  # uvicorn has no word for it, and the event loop's own bound is a minute
            seconds = self._settings.head_timeout_seconds
            loop.create_server = partial(loop.create_server, ssl_handshake_timeout=seconds)
        await super().startup(sockets)
        gc.enable()  # `early` has put it off

    async def main_loop(self) -> None:
        """Serve until it is told to end."""
        self._loop = asyncio.get_running_loop()
        self._ticking = self._loop.create_task(self._tick())
        await self._told.wait()

    async def _tick(self) -> None:
        """Every second, to the end."""
        while True:
            await self.on_tick(0)  # uvicorn's own: the Date header
            self.beat()
            self._trim.look(self.server_state.total_requests, bool(self.server_state.tasks))
            if self._renewal is not None:
                self._renewal.look()
            await asyncio.sleep(1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, and stop the application."""
        state, grace, bound = self.server_state, self._settings.drain_grace_seconds, self._settings.drain_seconds
        log.info("draining", extra={"requests": len(state.tasks), "connections": len(state.connections)})
        threading.Thread(target=_end_after, args=(grace + bound + STOP_SECONDS,), daemon=True).start()
        await asyncio.sleep(grace)
        self._app.refuse_work()
        for connection in list(state.connections):
            connection.shutdown()
        if not await self._answered(bound):
            log.warning("the drain's time is over", extra={"unanswered": len(state.tasks)})
            self._app.refuse_rest()
            for task in list(state.tasks):
                task.cancel()
            await self._answered(LAST_SECONDS)
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        await self._answered(LAST_SECONDS)  # what was accepted in the last moment
        await self._until(lambda: not any(one.transport.is_closing() for one in state.connections), LAST_SECONDS)
        for connection in list(state.connections):
            connection.transport.abort()
        await self.lifespan.shutdown()
        gc.freeze()  # the process ends: Python need not walk all that torch holds to give it back
        self._ticking.cancel()
        log.info("drained")

    async def _answered(self, seconds: float) -> bool:
        """Wait until everything is answered and every answer sent; whether that came about in time."""
        state = self.server_state
        return await self._until(
            lambda: not state.tasks and not any(one.transport.get_write_buffer_size() for one in state.connections),
            seconds,
        )

    async def _until(self, true: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.01)
        return True


def _end_after(seconds: float) -> None:
    """A computation that cannot be broken off does not hold the process up for longer."""
    time.sleep(seconds)
    log.warning("it ends amid a computation: that had not stopped in time")
    logging.shutdown()
    os._exit(0)
