"""The first seconds of `gradwire serve`, in which torch is imported: nothing is served, so a signal ends it at once.

Imports nothing that takes time.
"""

from __future__ import annotations

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


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)  # an exception would go through whatever is being imported
