"""Whether the service computes: asked by `/readyz`, and by the service itself now and then, for its metrics."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.datastructures import State

from service.engine.base import probe

INTERVAL: Final = 10.0
"""Seconds between two probes that nobody asked for."""


async def computes(state: State) -> bool:
    """Whether a probe computation comes out right just now; `state.probed` keeps the answer. Raises `TimeoutError`."""
    try:
        async with asyncio.timeout(state.settings.probe_seconds):
            state.probed = await probe(state.engine)
    except TimeoutError:
        state.probed = False
        raise
    return bool(state.probed)


async def keep_probing(state: State) -> None:
    """Keep `state.probed` true to what is."""
    while True:
        await asyncio.sleep(INTERVAL)
        with contextlib.suppress(TimeoutError):
            await computes(state)
