"""Element-wise functions of a row's few values, whose bits must not depend on the rows beside it.

torch's CPU kernels compute exp, log or pow at the tail of a buffer with other code than in its middle. Padding the rows
(`pads`) keeps whole tensors out of tails, but not what a formula gathers from each row.
"""

from __future__ import annotations

from typing import Final

import torch.nn.functional as F
from torch import Tensor

LANE: Final = 64
"""Elements that every padded buffer is a multiple of: several of the widest vector register's fill."""


def in_lanes(values: Tensor) -> Tensor:
    """The values flat, and zeros up to whole lanes."""
    return F.pad(values.reshape(-1), (0, -values.numel() % LANE))


def out_of_lanes(values: Tensor, like: Tensor) -> Tensor:
    """As many values as `like` has, in its shape."""
    return values[: like.numel()].view(like.shape)
