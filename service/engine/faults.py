"""What an exception from computing says: it is the request's own, there is no room, or the device is lost."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import torch

from service.compute import Device


class Fault(Enum):
    """Whose fault it is that computing raised."""

    REQUEST = auto()
    """That of one request of the batch, or of the code."""
    NO_ROOM = auto()
    """The device's memory is used up: fewer requests at once may fit."""
    DEVICE = auto()
    """The device's context is lost: nothing can be computed on it by this process any more."""


# torch has an exception for CUDA's memory; the CPU's allocator and CUDA's libraries raise a plain RuntimeError, and an
# allocation that torch asks CUDA for directly (pinned memory, a context) an AcceleratorError.
_NO_ROOM: Final = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
_DEVICE: Final = ("CUDA error", "device-side assert", "CUBLAS_STATUS_", "CUDNN_STATUS_", "an illegal memory access")


def fault_of(error: BaseException, device: Device) -> Fault:
    """Whose fault an exception is. A device is only held to be lost when it fails at something trivial, too."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return Fault.NO_ROOM
    if not isinstance(error, RuntimeError):
        return Fault.REQUEST
    text = str(error)
    if any(mark in text for mark in _NO_ROOM):
        return Fault.NO_ROOM
    if isinstance(error, torch.AcceleratorError) or any(mark in text for mark in _DEVICE):
        return Fault.REQUEST if device.works() else Fault.DEVICE
    return Fault.REQUEST
