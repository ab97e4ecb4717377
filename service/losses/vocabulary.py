"""Losses over many classes that come with the layer which makes their scores."""

from __future__ import annotations

import torch.nn.functional as F
from torch.nn import LinearCrossEntropyOptions

from schemas.losses.vocabulary import AdaptiveLogSoftmaxWithLoss, LinearCrossEntropy
from service.losses.classification import class_shares
from service.losses.formula import Tensors, Terms, register


@register(LinearCrossEntropy, products=True)
def _(r: LinearCrossEntropy, t: Tensors) -> Terms:
    options = None
    if r.chunk_size is not None:
        # Pinned, because the chunk size changes the rounding; "accurate" is the one policy that is not emulated for
        # half types on CPU (torch.nn.LinearCrossEntropyOptions).
        options = LinearCrossEntropyOptions(batch_chunk_size=r.chunk_size, chunking_method=None, acc_policy="accurate")
    values = F.linear_cross_entropy(
        t["input"],
        t["linear_weight"],
        t["target"],
        linear_bias=t.get("linear_bias"),
        weight=t.get("weight"),
        ignore_index=None if t["target"].is_floating_point() else r.ignore_index,
        label_smoothing=r.label_smoothing,
        options=options,
        reduction="none",
    )
    return Terms(values, shares=class_shares(t, r.ignore_index))


@register(AdaptiveLogSoftmaxWithLoss, products=True)
def _(r: AdaptiveLogSoftmaxWithLoss, t: Tensors) -> Terms:
    batched = t["target"].dim() > 0
    rows = t["input"] if batched else t["input"].unsqueeze(0)
    target = t["target"] if batched else t["target"].unsqueeze(0)

    # log p(y) = log p_head(y) in the shortlist, else log p_head(cluster) + log p_cluster(y).
    head = F.log_softmax(F.linear(rows, t["head_weight"], t.get("head_bias")), dim=1)
    shortlist = r.cutoffs[0]
    column = target.clone()
    tails = rows.new_zeros(len(target))
    bounds = [*r.cutoffs, None]
    for at, low in enumerate(r.cutoffs):
        high = bounds[at + 1]
        inside = target >= low if high is None else (target >= low) & (target < high)
        chosen = inside.nonzero().squeeze(1)
        if not len(chosen):
            continue
        hidden = F.linear(rows.index_select(0, chosen), t[f"tail.{at}.projection"])
        scores = F.log_softmax(F.linear(hidden, t[f"tail.{at}.output"]), dim=1)
        own = scores.gather(1, (target[chosen] - low).unsqueeze(1)).squeeze(1)
        tails = tails.index_copy(0, chosen, own)
        column = column.index_fill(0, chosen, shortlist + at)
    output = head.gather(1, column.unsqueeze(1)).squeeze(1) + tails
    output = output if batched else output.squeeze(0)
    return Terms(-output, extras={"output": output.detach()})
