"""The application with an engine that fails on demand: a worker that dies of a 13, a device that is lost by a 14."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fastapi import FastAPI

from service.compute import Work
from service.http.app import create_app
from service.settings import Settings
from tests.engine.faulty import Faulty, holds


def make() -> FastAPI:
    """What uvicorn serves."""

    def hook(batch: Sequence[Work]) -> None:
        if holds(batch, 13.0):
            raise SystemExit
        if holds(batch, 14.0):
            engine.device.lost = True
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    engine = Faulty(hook)
    return create_app(Settings(device="cpu", inline_elements=0), engine)
