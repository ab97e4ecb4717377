"""Losses of language models."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from schemas.losses.language import NextTokenCrossEntropy, ZLoss
from service.losses.formula import Tensors, Terms, register


def log_normaliser(logits: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials over the last dim.

    By way of the greatest logit's log-probability, whose kernel goes row by row: torch.logsumexp takes exp and log of
    whole buffers, whose last bits depend on the rows beside.
    """
    greatest = logits.detach().argmax(-1, keepdim=True)
    logs = F.log_softmax(logits, -1).gather(-1, greatest)
    return (logits.gather(-1, greatest) - logs).squeeze(-1)


@register(ZLoss, half=False)
def _(r: ZLoss, t: Tensors) -> Terms:
    if "mask" not in t:
        return Terms(r.coefficient * log_normaliser(t["input"]).square())
    void = ~t["mask"]  # what is not a number there has no gradient either
    values = r.coefficient * log_normaliser(t["input"].masked_fill(void.unsqueeze(-1), 0)).square()
    return Terms(values.masked_fill(void, 0))


@register(NextTokenCrossEntropy, half=False)
def _(r: NextTokenCrossEntropy, t: Tensors) -> Terms:
    following = t["target"][:, 1:]
    logits = t["input"][:, :-1].flatten(0, 1)
    values = F.cross_entropy(
        logits,
        following.flatten(),
        ignore_index=r.ignore_index,
        label_smoothing=r.label_smoothing,
        reduction="none",
    ).view(following.shape)
    kept = following != r.ignore_index
    if r.z_loss:
        squares = log_normaliser(logits).square().view(following.shape)
        values = values + r.z_loss * squares.masked_fill(~kept, 0)
    return Terms(values, shares=kept.to(values.dtype))
