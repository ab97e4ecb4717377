"""Requests of the contrastive losses, and what they are: pair by pair, from explicit probabilities.

Scales are mild here: of a soft maximum that is nearly hard, float64 itself keeps no twelve digits. The defaults are
held to their origin in tests/canonical.
"""

from __future__ import annotations

import hypothesis.strategies as st
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Array, Draw
from tests.losses.families.plain import Request


def vectors(d: Draw, *shape: int) -> Array:
    """None so short that its direction is mostly rounding."""
    found = d.floats(shape)
    found.reshape(-1, shape[-1])[:, 0] += d.typed(3.0)
    return found


def info_nce(d: Draw) -> Request:
    rows, width = d.size(), d.width("D", 2)
    request: Request = {"query": vectors(d, rows, width), "positive": d.floats((rows, width), 0.25, 2)}
    kind = d.own(st.sampled_from(("none", "all", "each")))
    if kind != "none":
        many = d.own(st.sampled_from((1, 4)))
        request["negative"] = d.floats((many, width) if kind == "all" else (rows, many, width), 0.25, 2)
        request |= d.option("in_batch_negatives", True, False)
    request["temperature"] = d.own(st.sampled_from((0.5, 1.0, 2.0)))
    return {**request, **d.option("normalize", False), "_": (rows,)}


def unit(x: Tensor) -> Tensor:
    """Brought to length 1 by hand."""
    return x / (x * x).sum(-1, keepdim=True).sqrt().clamp(min=1e-12)


def _stacked(values: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(values) if values else like.sum(-1)


def info_nce_reference(t: Tensors, options: Options) -> Tensor:
    """info_nce/__init__.py of RElbers/info-nce-pytorch, query by query: log-softmax of the positive among all keys."""
    made = {name: unit(x) if options.get("normalize", True) else x for name, x in t.items()}
    query, positive, negative = made["query"], made["positive"], made.get("negative")
    in_batch = options.get("in_batch_negatives", negative is None)
    values = []
    for n, q in enumerate(query):
        keys = [positive[n], *(positive[m] for m in range(len(query)) if in_batch and m != n)]
        if negative is not None:
            keys += list(negative[n] if negative.dim() == 3 else negative)
        products = torch.stack([(q * key).sum() for key in keys])
        values.append(-torch.log_softmax(products / options["temperature"], 0)[0])
    return _stacked(values, query)


def labelled(d: Draw) -> Request:
    rows, width = d.size(), d.width("D", 2)
    labels = d.integers((rows,), 0, d.own(st.sampled_from((1, 2, 4))))
    return {"embeddings": d.floats((rows, width), 0.25, 2), "labels": labels, "_": (rows,)}


def temperate(d: Draw) -> Request:
    return {**labelled(d), "temperature": d.own(st.sampled_from((0.5, 0.25, 2.0)))}


def _sides(t: Tensors) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Each anchor's cosines to its positives, and to its negatives."""
    z, labels = unit(t["embeddings"]), t["labels"].tolist()
    found = []
    for a, own in enumerate(labels):
        others = [((z[a] * z[b]).sum(), labels[b] == own) for b in range(len(labels)) if b != a]
        found.append(([s for s, same in others if same], [s for s, same in others if not same]))
    return found


def nt_xent(t: Tensors, options: Options) -> Tensor:
    """pytorch_metric_learning/losses/ntxent_loss.py: each pair against its anchor's negatives."""
    values = []
    for positives, negatives in _sides(t):
        total = t["embeddings"].sum() * 0
        for s in positives:
            if negatives:
                scores = torch.stack([s, *negatives]) / options["temperature"]
                total = total - torch.log_softmax(scores, 0)[0]
        values.append(total)
    return _stacked(values, t["embeddings"])


def positive_pairs(t: Tensors, _options: Options, _unreduced: Tensor) -> tuple[float, int]:
    """Ordered pairs of equal labels; embeddings without any are ignored."""
    labels = t["labels"].tolist()
    return float(sum(labels.count(y) - 1 for y in labels)), sum(labels.count(y) == 1 for y in labels)


def sup_con(t: Tensors, options: Options) -> Tensor:
    """pytorch_metric_learning/losses/supcon_loss.py: the mean over positives of the log-softmax among all others."""
    values = []
    for positives, negatives in _sides(t):
        value = t["embeddings"].sum() * 0
        if positives and len(positives) + len(negatives) > 1:
            scores = torch.stack([*positives, *negatives]) / options["temperature"]
            value = -torch.log_softmax(scores, 0)[: len(positives)].mean()
        values.append(value)
    return _stacked(values, t["embeddings"])


def with_positives(t: Tensors, options: Options, unreduced: Tensor) -> tuple[float, int]:
    """Embeddings that have a positive."""
    _, ignored = positive_pairs(t, options, unreduced)
    return float(len(unreduced) - ignored), ignored


def similar(d: Draw) -> Request:
    options = {**d.option("alpha", 1.0, 3.0), "beta": d.own(st.sampled_from((5.0, 2.0))), **d.option("base", 0.0)}
    return {**labelled(d), **options}


def multi_similarity(t: Tensors, options: Options) -> Tensor:
    """pytorch_metric_learning/losses/multi_similarity_loss.py, with plain exponentials."""
    alpha, beta, base = options.get("alpha", 2.0), options["beta"], options.get("base", 0.5)
    values = []
    for positives, negatives in _sides(t):
        near = sum((torch.exp(-alpha * (s - base)) for s in positives), t["embeddings"].sum() * 0)
        far = sum((torch.exp(beta * (s - base)) for s in negatives), t["embeddings"].sum() * 0)
        values.append(torch.log1p(near) / alpha + torch.log1p(far) / beta)
    return _stacked(values, t["embeddings"])


def pairs(d: Draw) -> Request:
    rows, width = d.size(), d.width("D", 2)
    # The second is turned by more than the lattice's step: no pair is equal, where the distance has no direction.
    return {
        "input1": vectors(d, rows, width),
        "input2": d.floats((rows, width), -2, -0.25),
        "target": d.mask((rows,)),
        "neg_margin": d.own(st.sampled_from((1.0625, 2.0625, 6.0625))),
        **d.option("pos_margin", 0.375),
        **d.option("squared", True),
        **d.option("normalize", False),
        **d.option("average", "nonzero"),
        "_": (rows,),
    }


def contrastive(t: Tensors, options: Options) -> Tensor:
    """pytorch_metric_learning/losses/contrastive_loss.py, on the diagonal of its distances."""
    one, other = (unit(t[name]) if options.get("normalize", True) else t[name] for name in ("input1", "input2"))
    values = []
    for a, b, same in zip(one, other, t["target"], strict=True):
        distance = (a - b).square().sum().sqrt()
        beyond = distance - options.get("pos_margin", 0.0) if same else options.get("neg_margin", 1.0) - distance
        hinge = beyond if beyond > 0 else beyond * 0
        values.append(hinge**2 / 2 if options.get("squared") else hinge)
    return _stacked(values, t["input1"])


def nonzero(t: Tensors, options: Options, unreduced: Tensor) -> tuple[float | None, int]:
    """No quotient, where the two kinds are averaged apart."""
    return (float(len(unreduced)) if options.get("average") != "nonzero" or not len(unreduced) else None), 0


def contrastive_mean(t: Tensors, options: Options) -> Tensor:
    """Over all pairs; or as AvgNonZeroReducer, over each kind's that are not 0, and the two added."""
    values = contrastive(t, options)
    if options.get("average") != "nonzero":
        return values.mean()
    kinds = [values[t["target"] & (values > 0)], values[~t["target"] & (values > 0)]]
    means = [kind.mean() for kind in kinds if len(kind)]
    return sum(means, values.sum() * 0) if len(values) else values.mean()


BUILDERS = {
    "info_nce_loss": info_nce,
    "nt_xent_loss": temperate,
    "sup_con_loss": temperate,
    "multi_similarity_loss": similar,
    "contrastive_loss": pairs,
}
REFERENCES = {
    "info_nce_loss": Reference(info_nce_reference),
    "nt_xent_loss": Reference(nt_xent, positive_pairs),
    "sup_con_loss": Reference(sup_con, with_positives),
    "multi_similarity_loss": Reference(multi_similarity),
    "contrastive_loss": Reference(contrastive, nonzero, contrastive_mean),
}
