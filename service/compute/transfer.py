"""Host and device: NumPy arrays to torch tensors and back, one copy each way a batch.

On the CPU nothing is copied. On a GPU all arrays of a batch travel in one pinned buffer, and all answers in another.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.dtype import BFLOAT16, DTYPES

Array = NDArray[Any]

ALIGNMENT: Final = 256
"""Bytes that every tensor in a packed buffer starts at a multiple of; cudaMalloc's own alignment."""
TORCH_ALIGNMENT: Final = 64
"""Bytes that torch's own memory on the CPU starts at a multiple of (c10/core/alignment.h)."""

TORCH_TYPES: Final[dict[np.dtype, torch.dtype]] = {dtype: getattr(torch, name) for name, dtype in DTYPES.items()}
NUMPY_TYPES: Final[dict[torch.dtype, np.dtype]] = {kind: dtype for dtype, kind in TORCH_TYPES.items()}


# Decoded base64 is read-only memory. torch warns once a process that writing to it would be undefined; nothing here
# writes, so that one time is now: later, warning filters would have to be changed under the feet of other threads.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    torch.from_numpy(np.frombuffer(bytes(1), np.uint8))


class Device(Protocol):
    """Where a worker computes."""

    name: str

    def upload(self, arrays: Sequence[Array]) -> list[Tensor]:
        """The arrays as tensors on the device."""

    def download(self, tensors: Sequence[Tensor]) -> list[Array]:
        """The tensors as arrays on the host."""

    def works(self) -> bool:
        """Whether it still computes something trivial."""

    def release(self) -> None:
        """Give back the memory that is kept for later."""

    def capacity(self) -> int:
        """The bytes of all its memory."""


class HostDevice:
    """The CPU: tensors share the arrays' memory."""

    name = "cpu"

    def upload(self, arrays: Sequence[Array]) -> list[Tensor]:
        """No copy."""
        return [as_tensor(array) for array in arrays]

    def download(self, tensors: Sequence[Tensor]) -> list[Array]:
        """No copy."""
        return [as_array(tensor) for tensor in tensors]

    def works(self) -> bool:
        """A CPU that did not would not say so."""
        return True

    def release(self) -> None:
        """Nothing is kept."""

    def capacity(self) -> int:
        """The machine's memory."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class PackedDevice:
    """A device behind a bus: one packed, pinned copy each way."""

    def __init__(self, device: torch.device, *, pin: bool = True) -> None:
        self.device = device
        self.pin = pin
        self.name = str(device)

    def upload(self, arrays: Sequence[Array]) -> list[Tensor]:
        """One copy to the device; the tensors are views of it."""
        offsets, total = _offsets([array.nbytes for array in arrays])
        host = torch.empty(total, dtype=torch.uint8, pin_memory=self.pin)
        packed = host.numpy()
        for array, offset in zip(arrays, offsets, strict=True):
            packed[offset : offset + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        there = self._to_device(host)
        return [
            there[offset : offset + array.nbytes].view(TORCH_TYPES[array.dtype]).view(array.shape)
            for array, offset in zip(arrays, offsets, strict=True)
        ]

    def download(self, tensors: Sequence[Tensor]) -> list[Array]:
        """One copy to the host; the arrays are views of it."""
        sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
        offsets, total = _offsets(sizes)
        there = torch.empty(total, dtype=torch.uint8, device=self.device)
        for tensor, offset, size in zip(tensors, offsets, sizes, strict=True):
            there[offset : offset + size].view(tensor.dtype).copy_(tensor.detach().reshape(-1))
        here = self._to_host(there).numpy()
        return [
            here[offset : offset + size].view(NUMPY_TYPES[tensor.dtype]).reshape(tuple(tensor.shape))
            for tensor, offset, size in zip(tensors, offsets, sizes, strict=True)
        ]

    def works(self) -> bool:
        """A device-side assert, for one, leaves a context in which everything fails."""
        try:
            return torch.ones(1, device=self.device).item() == 1
        except RuntimeError:
            return False

    def release(self) -> None:
        """What torch's allocator keeps."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def capacity(self) -> int:
        """The GPU's memory."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_properties(self.device).total_memory
        return HostDevice().capacity()

    def _to_device(self, host: Tensor) -> Tensor:
        return host.to(self.device, non_blocking=True)

    def _to_host(self, there: Tensor) -> Tensor:
        here = torch.empty(there.shape, dtype=torch.uint8, pin_memory=self.pin)
        here.copy_(there, non_blocking=True)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return here


def open_device(name: str) -> Device:
    """The device of that name: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises `ValueError` for another name, or a GPU that is not there.
    """
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return HostDevice()
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index.isdigit() or name == "cuda"):
        raise ValueError(f"device {name!r} is none of auto, cpu, cuda, cuda:N")
    if not torch.cuda.is_available():
        raise ValueError(f"device {name!r}: this machine has no GPU that torch can use")
    number = int(index or 0)
    if number >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: there are {torch.cuda.device_count()} GPUs")
    return PackedDevice(torch.device("cuda", number))


def aligned(tensor: Tensor) -> Tensor:
    """The tensor, copied if its memory does not begin where torch's own would: at a multiple of 64 bytes.

    A view of a request's body begins anywhere. Matrix products at a multiple of 4 or 8 bytes have other last bits than
    at one of 16 (tests/contract/test_memory.py).
    """
    return tensor if tensor.data_ptr() % TORCH_ALIGNMENT == 0 else tensor.clone()


def as_tensor(array: Array) -> Tensor:
    """A tensor over the array's memory. Nothing writes to it: arrays may be read-only."""
    if array.dtype == BFLOAT16:
        return _from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return _from_numpy(array)


def as_array(tensor: Tensor) -> Array:
    """An array over the tensor's memory, row-major: a gradient may come as a view that repeats one element."""
    tensor = (tensor.detach() if tensor.requires_grad else tensor).contiguous()
    if tensor.dtype == torch.bfloat16:
        bits: Array = tensor.view(torch.int16).numpy()
        return bits.view(BFLOAT16)
    found: Array = tensor.numpy()
    return found


def _from_numpy(array: Array) -> Tensor:
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return torch.from_numpy(array)


def _offsets(sizes: Sequence[int]) -> tuple[list[int], int]:
    offsets, at = [], 0
    for size in sizes:
        offsets.append(at)
        at += -(-size // ALIGNMENT) * ALIGNMENT
    return offsets, at
