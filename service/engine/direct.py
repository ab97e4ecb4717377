"""No batching: each request alone, with the same compute. The oracle that batching is held against."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from schemas.bundle import Bundle, BundleResult
from schemas.request import LossRequest
from service.compute import Device, Work, compute, open_device
from service.engine.base import EngineStopped, Outcome


class DirectEngine:
    """Computes each request alone, one at a time, on a thread of its own."""

    def __init__(self, device: str = "auto", *, threads: int = 1) -> None:
        self._name = device
        self._threads = threads
        self._device: Device | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Open the device."""
        self._device = open_device(self._name)
        self._thread = ThreadPoolExecutor(1, "gradwire-direct", torch.set_num_threads, (self._threads,))

    async def stop(self) -> None:
        """Finish what runs."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)

    def submit(self, request: LossRequest, *, on_worker: bool = True) -> asyncio.Future[Outcome]:
        """Compute it alone, in its turn."""
        return self._submit(request)

    def submit_bundle(self, bundle: Bundle) -> asyncio.Future[Outcome[BundleResult]]:
        """Compute it in its turn."""
        return self._submit(bundle)

    def _submit(self, request: Work) -> asyncio.Future[Any]:
        if self._thread is None or self._device is None:
            raise EngineStopped("the engine is not running")
        asked = time.perf_counter()
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, _answer, request, self._device, asked)


def _answer(request: Work, device: Device, asked: float) -> Outcome[Any]:
    began = time.perf_counter()
    result = compute([request], device)[0]
    return Outcome(result, began - asked, time.perf_counter() - began, began=began)
