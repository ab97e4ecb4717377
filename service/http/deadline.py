"""Until when a request's answer is wanted: by `X-Request-Timeout-Ms`, or else by the server's own measure."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from service.http.body import Headers
from service.http.problems import HTTPProblem
from service.settings import Settings

HEADER: Final = b"x-request-timeout-ms"
MOST_DIGITS: Final = 18


class Timeouts:
    """Deadlines as `time.perf_counter` has it, counted from the arrival of the request's head."""

    def __init__(self, settings: Settings) -> None:
        self._default = settings.default_timeout_ms / 1e3
        self._most = settings.max_timeout_ms / 1e3

    def deadline(self, scope: Scope, headers: Headers) -> float | None:
        """The deadline of a request; `None` where there is none. Raises `HTTPProblem` 400 for a malformed header."""
        asked = headers.get(HEADER)
        if asked is None:
            return scope["gradwire.began"] + self._default if self._default else None
        if not asked.isdigit() or len(asked) > MOST_DIGITS or not int(asked):
            raise HTTPProblem(400, "X-Request-Timeout-Ms must be a whole number of milliseconds, 1 or more")
        began: float = scope["gradwire.began"]
        return began + min(int(asked) / 1e3, self._most)

    def sooner(self, scope: Scope, headers: Headers, microseconds: int | None) -> float | None:
        """The deadline of a request that has a timeout of its own, which counts instead of the server's own measure.

        0 is none, as Triton has it. Where the header tells another, the sooner one counts.
        """
        deadline = self.deadline(scope, headers)
        if not microseconds:
            return deadline
        began: float = scope["gradwire.began"]
        own = began + min(microseconds / 1e6, self._most)
        return own if deadline is None or HEADER not in headers else min(own, deadline)
