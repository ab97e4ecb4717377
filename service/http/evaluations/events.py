"""A run's progress as server-sent events (the HTML standard, "Server-sent events")."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.datastructures import State

from service.evaluations.refusals import EvaluationRefused, NoSuchRun
from service.http.evaluations.runs import with_interval
from service.wire import plain

if TYPE_CHECKING:
    from service.evaluations.evaluations import Evaluations

SEALED: Final = "sealed"
"""The state, the name of the event that tells it, and that event's id: who comes back with it has seen the end."""
SECONDS: Final = 1.0
"""How often a run is looked at."""
KEEPALIVE: Final = 15
"""Looks without news after which a comment tells that the stream lives."""
WINDOW: Final = 10.0
"""Seconds over which the rate is taken."""


async def events(state: State, evaluations: Evaluations, run_id: str, owner: str | None) -> AsyncIterator[bytes]:
    """`progress` whenever there is more of the run, `sealed` and `deleted` at its end; ends when the server stops.

    Each has the state of the whole, so that a caller that comes back misses nothing.
    """
    seen: tuple[int, str] | None = None
    looks: deque[tuple[float, int]] = deque()
    quiet = 0
    while not state.draining:
        try:
            run = await evaluations.get(run_id, owner)
            now = time.monotonic()
            looks.append((now, run.samples))
            while len(looks) > 2 and now - looks[1][0] >= WINDOW:
                looks.popleft()
            if (run.batches, run.state) != seen:
                seen, quiet = (run.batches, run.state), 0
                _, added = await evaluations.total(run_id, owner)
                total = with_interval(added, run.spec.confidence)
                (since, before) = looks[0]
                elapsed = now - since
                told: dict[str, Any] = {
                    **total,
                    "samples_per_second": (run.samples - before) / elapsed if elapsed > 0 else 0.0,
                    "expected_samples": run.spec.expected_samples,
                    "state": run.state,
                }
                name = "sealed" if run.state == SEALED else "progress"
                yield format_sse_event(
                    event=name, id=SEALED if name == SEALED else str(run.batches), data_str=plain.dumps(told).decode()
                )
                if name == SEALED:
                    return
        except NoSuchRun:
            yield format_sse_event(event="deleted", data_str="{}")
            return
        except EvaluationRefused:
            pass  # the database is away for a while: the stream outlives it
        quiet += 1
        if quiet % KEEPALIVE == 0:
            yield KEEPALIVE_COMMENT
        await asyncio.sleep(SECONDS)
