"""Requests of the ordinal losses, and what they are."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Draw
from tests.losses.families.plain import Request


def coral(d: Draw) -> Request:
    rows, thresholds = d.size(), d.width("K")
    target = d.unit((rows, thresholds)) if d.flag("levels") else d.integers((rows,), 0, thresholds + 1)
    return {
        "input": d.floats((rows, thresholds)),
        "target": target,
        **d.maybe("importance_weights", d.shared("weights", (thresholds,), 0.25, 2)),
        "_": (rows,),
    }


def corn(d: Draw) -> Request:
    rows, thresholds = d.size(), d.width("K")
    return {
        "input": d.floats((rows, thresholds)),
        "target": d.integers((rows,), 0, thresholds + 1),
        "_": (rows,),
    }


def extended(t: Tensors, _options: Options) -> Tensor:
    """CORAL's equation 4: cross entropies of P(rank > k), threshold by threshold."""
    columns = []
    for k in range(t["input"].shape[1]):
        above = torch.sigmoid(t["input"][:, k])
        level = t["target"][:, k] if t["target"].dim() == 2 else (t["target"] > k).double()
        weight = t["importance_weights"][k] if "importance_weights" in t else 1.0
        columns.append(-weight * (level * above.log() + (1 - level) * (1 - above).log()))
    return torch.stack(columns).sum(0)


def conditional(t: Tensors, _options: Options) -> Tensor:
    """CORN: -log of the probability of the rank, a product of conditional ones."""
    found = []
    for row, rank in zip(t["input"], t["target"].tolist(), strict=True):
        above = torch.sigmoid(row)
        probability = above[:rank].prod()
        if rank < len(row):
            probability = probability * (1 - above[rank])
        found.append(-probability.log())
    return torch.stack(found) if found else t["input"].sum(1)


def asked(t: Tensors, _options: Options, _unreduced: Tensor) -> tuple[float, int]:
    """The examples in all subsets."""
    return float(sum(min(rank + 1, t["input"].shape[1]) for rank in t["target"].tolist())), 0


BUILDERS = {"coral_loss": coral, "corn_loss": corn}
REFERENCES = {"coral_loss": Reference(extended), "corn_loss": Reference(conditional, asked)}
