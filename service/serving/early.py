"""The first seconds of `gradwire serve`, in which torch is imported and nothing is served.

A signal ends it at once, and no garbage is looked for: what is imported stays, and to walk it again and again takes a
fifth of the time.

Imports nothing that takes time.
"""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM)


def end_at_once_on_signals() -> None:
    """Until the server has its own handlers, SIGINT and SIGTERM end the process with 0, and SIGHUP does nothing."""
    for number in ENDING:
        signal.signal(number, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def collect_no_garbage() -> None:
    """Until the server has started: it collects what there is by then, and turns collections on."""
    gc.disable()


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # an exception would go through whatever is being imported
