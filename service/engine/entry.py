"""One request or bundle on its way through an engine."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from service.compute import Work
from service.engine.base import Outcome


class Entry(NamedTuple):
    """A request or a bundle, who waits for it, when it was asked for, and until when (`time.perf_counter`)."""

    request: Work
    future: asyncio.Future[Any]
    asked: float
    deadline: float | None = None

    @property
    def elements(self) -> int:
        """Elements that computing it needs."""
        return self.request.checked.layout.elements


Finished = list[tuple[asyncio.Future[Any], Outcome[Any] | BaseException]]


def wake(finished: Finished) -> None:
    """Hand the outcomes to the callers that are still there; on the event loop."""
    for future, outcome in finished:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
