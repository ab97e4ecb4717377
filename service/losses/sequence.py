"""Sequence losses."""

from __future__ import annotations

import torch.nn.functional as F

from schemas.losses.sequence import CTC
from service.losses.formula import Tensors, Terms, register


# The CPU kernels know no half types.
@register(CTC, half=False)
def _(r: CTC, t: Tensors) -> Terms:
    values = F.ctc_loss(
        t["log_probs"],
        t["targets"],
        t["input_lengths"],
        t["target_lengths"],
        blank=r.blank,
        zero_infinity=r.zero_infinity,
        reduction="none",
    )
    # mean divides each sequence's loss by its own length before it averages.
    lengths = t["target_lengths"].clamp(min=1).reshape(values.shape)
    return Terms(values, sizes=lengths.to(values.dtype))
