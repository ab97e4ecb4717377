"""Logs: one line a record, for people or as JSON, on standard error. They hold no tensor values."""

from __future__ import annotations

import logging
import logging.config
from typing import Any, Literal

import orjson

from service.line_writer import STDERR

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


class Handler(logging.Handler):
    """Hands lines to the thread that writes them: the event loop never waits for a reader."""

    def emit(self, record: logging.LogRecord) -> None:
        """Have it written."""
        try:
            STDERR.put(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - as logging's own handlers: a record that cannot be formatted harms nothing
            self.handleError(record)

    def flush(self) -> None:
        """Wait a little until what was logged is written."""
        STDERR.flush()


def configuration(level: str, form: Literal["text", "json"]) -> dict[str, Any]:
    """A `logging.config` dictionary for the whole process, uvicorn's own records among them."""
    formatter = JSONFormatter if form == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "handlers": {"stderr": {"()": Handler, "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {"uvicorn.access": {"level": "WARNING"}},
    }


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Set the process's logging up."""
    logging.config.dictConfig(configuration(level, form))
