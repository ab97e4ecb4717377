"""The end of a process that cannot compute any more: whoever started it starts another one."""

from __future__ import annotations

import logging
import os
from asyncio import get_running_loop
from typing import Final

from fastapi import FastAPI

log = logging.getLogger("gradwire.http")

EXIT_CODE: Final = 70
"""EX_SOFTWARE of sysexits.h: an internal fault, after which a new process may do better."""
LAST_ANSWERS: Final = 0.5
"""Seconds in which those who wait are told to ask again."""


def end_when_lost(app: FastAPI) -> None:
    """Have the process end when the application's engine is lost. Called on the event loop that the engine runs on."""
    loop = get_running_loop()

    def lost(reason: str) -> None:
        log.critical("this process ends, to be started anew", extra={"reason": reason, "exit_code": EXIT_CODE})
        loop.call_later(LAST_ANSWERS, end)

    def end() -> None:
        if app.state.access_log is not None:
            app.state.access_log.close()
        # Nothing that would wait for a thread that hangs, or ask a device that is lost.
        os._exit(EXIT_CODE)

    app.state.engine.on_lost = lost
