"""Engines whose device or computing fails as a test wants it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schemas.bundle import Bundle
from schemas.losses import LOSSES
from schemas.request import LossRequest
from service.compute import Device, Result, Work, compute
from service.compute.transfer import HostDevice
from service.engine import BatchingEngine

MSE = LOSSES["mse_loss"]

Hook = Callable[[Sequence[Work]], None]


def square(value: float, size: int = 1) -> LossRequest:
    """A request whose loss is the value squared."""
    return MSE.model_validate({"input": [value] * size, "target": [0.0] * size})


def unlike(value: float) -> LossRequest:
    """A request that is never in one batch with a square."""
    return LOSSES["l1_loss"].model_validate({"input": [value], "target": [0.0]})


def holds(batch: Sequence[Work], value: float) -> bool:
    """Whether a request of a batch has that value."""
    return any(value in (one.tensors if isinstance(one, Bundle) else one.checked.tensors)["input"] for one in batch)


class FakeDevice(HostDevice):
    """The CPU, as a device that can be lost, and whose memory is told."""

    def __init__(self) -> None:
        self.lost = False
        self.released = 0
        self.memory = 1 << 40

    def works(self) -> bool:
        """As the test says."""
        return not self.lost

    def release(self) -> None:
        """Noted."""
        self.released += 1

    def capacity(self) -> int:
        """As the test says."""
        return self.memory


class Faulty(BatchingEngine):
    """Runs a hook before it computes a batch; the hook may raise, or wait."""

    def __init__(self, hook: Hook, **settings: Any) -> None:
        super().__init__("cpu", **settings)
        self.hook = hook
        self.device = FakeDevice()
        self.sizes: list[int] = []

    def open(self) -> Device:
        """The device that the test holds."""
        return self.device

    def compute(self, batch: Sequence[Work], device: Device) -> Sequence[Result]:
        """What the hook lets through."""
        self.sizes.append(len(batch))
        self.hook(batch)
        return compute(batch, device)
