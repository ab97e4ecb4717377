"""The queue in front of compute, behind one protocol: batching, or direct (no batching: the oracle)."""

from service.engine.base import (
    DeadlinePassed,
    Engine,
    EngineStopped,
    Load,
    Outcome,
    TooLargeForDevice,
    WorkerFailed,
)
from service.engine.batching import BatchingEngine
from service.engine.direct import DirectEngine
from service.engine.tally import Histogram, Tally

__all__ = [
    "BatchingEngine",
    "DeadlinePassed",
    "DirectEngine",
    "Engine",
    "EngineStopped",
    "Histogram",
    "Load",
    "Outcome",
    "Tally",
    "TooLargeForDevice",
    "WorkerFailed",
]
