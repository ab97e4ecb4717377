"""The queue in front of compute, behind one protocol: batching, or direct (no batching: the oracle)."""

from service.engine.base import Engine, EngineStopped, Outcome
from service.engine.batching import BatchingEngine
from service.engine.direct import DirectEngine

__all__ = ["BatchingEngine", "DirectEngine", "Engine", "EngineStopped", "Outcome"]
