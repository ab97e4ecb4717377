"""Logs: one line a record, for people or as JSON, on standard error. They hold no tensor values."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import sys
import time
from typing import Any, Literal

import orjson

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "color_message"}


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a log call added by `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class JSONFormatter(logging.Formatter):
    """One JSON object a record: time (Unix seconds), level, logger, message, and what the call added."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **extra_of(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class TextFormatter(logging.Formatter):
    """Time, level, message, and what the call added as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return " ".join([super().format(record), *(f"{name}={value}" for name, value in extra_of(record).items())])


def configuration(level: str, form: Literal["text", "json"]) -> dict[str, Any]:
    """A `logging.config` dictionary for the whole process, uvicorn's own records among them."""
    formatter = JSONFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {"uvicorn.access": {"level": "WARNING"}},
    }


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Set the process's logging up."""
    logging.config.dictConfig(configuration(level, form))


class AccessLog:
    """A line for every request, gathered and written a few times a second: a write a request would be felt.

    Lines that were gathered when the process is killed are lost; `close` writes them.
    """

    INTERVAL = 0.2

    def __init__(self, form: Literal["text", "json"]) -> None:
        self._json = form == "json"
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._stamp = ""

    def write(
        self,
        request_id: str,
        method: str,
        path: str,
        status: int,
        seconds: float,
        loss: str | None,
        caller: str | None = None,
    ) -> None:
        """Note one answered request; `path` as it was asked for, without its query; `caller`: its key's name."""
        if self._json:
            entry = {
                "time": round(time.time(), 6),
                "level": "info",
                "logger": "gradwire.access",
                "message": "request",
                "request_id": request_id,
                "method": method,
                "path": path,
                "status": status,
                "milliseconds": round(seconds * 1e3, 3),
            }
            if loss is not None:
                entry["loss"] = loss
            if caller is not None:
                entry["caller"] = caller
            self._lines.append(orjson.dumps(entry))
        else:
            second = int(time.time())
            if second != self._second:
                self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            name = f" loss={loss}" if loss is not None else ""
            if caller is not None:
                name += f" caller={caller}"
            line = f"{self._stamp} {method} {path!r} {status} {seconds * 1e3:.3f} ms{name} request_id={request_id}"
            self._lines.append(line.encode("utf-8", "backslashreplace"))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.INTERVAL, self.flush)

    def flush(self) -> None:
        """Write what was gathered."""
        self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            sys.stderr.buffer.write(b"\n".join(lines) + b"\n")
            sys.stderr.buffer.flush()

    def close(self) -> None:
        """Write what was gathered, for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
