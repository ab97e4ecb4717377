"""The access log: a line for every request, with what it took. No tensor values, no keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson

from service.line_writer import STDERR

# One formatting of the whole line takes a third of the time that gathering it piece by piece takes.
_ANSWERED: Final = "%s %s %r %d %.3f ms in=%d out=%d %srequest_id=%s"
_COMPUTED: Final = (
    "%s %s %r %d %.3f ms in=%d out=%d loss=%s decode=%.3f queue=%.3f compute=%.3f encode=%.3f batch=%d %srequest_id=%s"
)


class AccessLog:
    """Gathers lines and hands them over a few times a second: a write a request would be felt.

    Lines that were gathered when the process is killed are lost; `close` hands them over.
    """

    INTERVAL = 0.2

    def __init__(self, form: Literal["text", "json"]) -> None:
        self._json = form == "json"
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._stamp = ""

    def write(self, scope: Mapping[str, Any], method: str, status: int, seconds: float) -> None:
        """Note one answered request: its path as it was asked for, without its query, and what its scope tells."""
        self._lines.append((self._object if self._json else self._text)(scope, method, status, seconds))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.INTERVAL, self.flush)

    def _object(self, scope: Mapping[str, Any], method: str, status: int, seconds: float) -> bytes:
        entry: dict[str, Any] = {
            "time": round(time.time(), 6),
            "level": "info",
            "logger": "gradwire.access",
            "message": "request",
            "request_id": scope["gradwire.id"].decode(),
            "method": method,
            "path": scope["path"],
            "status": status,
            "milliseconds": round(seconds * 1e3, 3),
            "received_bytes": scope.get("gradwire.received", 0),
            "sent_bytes": scope.get("gradwire.sent", 0),
        }
        loss, steps = scope.get("gradwire.loss"), scope.get("gradwire.steps")
        caller, trace = scope.get("gradwire.caller"), scope.get("gradwire.trace")
        if loss is not None:
            entry["loss"] = loss
        if steps is not None:
            entry["decode_ms"] = round(steps[0] * 1e3, 3)
            entry["queue_ms"] = round(steps[1] * 1e3, 3)
            entry["compute_ms"] = round(steps[2] * 1e3, 3)
            entry["encode_ms"] = round(steps[3] * 1e3, 3)
            entry["batch_requests"] = steps[4]
        if caller is not None:
            entry["caller"] = caller
        if trace is not None:
            entry["trace_id"], entry["span_id"] = trace.ids
        return orjson.dumps(entry)

    def _text(self, scope: Mapping[str, Any], method: str, status: int, seconds: float) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        request_id = scope["gradwire.id"].decode()
        received, sent = scope.get("gradwire.received", 0), scope.get("gradwire.sent", 0)
        answered = (self._stamp, method, scope["path"], status, seconds * 1e3, received, sent)
        loss, steps = scope.get("gradwire.loss"), scope.get("gradwire.steps")
        caller, trace = scope.get("gradwire.caller"), scope.get("gradwire.trace")
        known = "" if caller is None else f"caller={caller} "
        if trace is not None:
            known += f"trace_id={trace.ids[0]} "
        if steps is not None:
            decode, queue, compute, encode, batch = steps
            taken = (loss, decode * 1e3, queue * 1e3, compute * 1e3, encode * 1e3, batch)
            line = _COMPUTED % (*answered, *taken, known, request_id)
        else:
            if loss is not None:
                known = f"loss={loss} {known}"
            line = _ANSWERED % (*answered, known, request_id)
        return line.encode("utf-8", "backslashreplace")

    def flush(self) -> None:
        """Hand over what was gathered."""
        self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            STDERR.put(b"\n".join(lines) + b"\n", len(lines))

    def close(self) -> None:
        """Hand over what was gathered, for the last time, and wait a little until it is written."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
        STDERR.flush()
