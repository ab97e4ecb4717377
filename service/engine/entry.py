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
