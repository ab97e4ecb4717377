"""Requests of the margin softmax losses, and what they are: through angles, class by class."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Draw
from tests.losses.families.contrastive import unit
from tests.losses.families.plain import Request


def _centred(d: Draw) -> Request:
    rows, width, classes = d.size(), d.width("D", 2), d.width("C")
    # One side positive and the other with a negative first part: never parallel, where acos has no gradient, nor
    # opposite.
    embeddings, weight = d.floats((rows, width), 0.25, 2), d.floats((classes, width), 0.25, 2)
    weight[:, 0] = -weight[:, 0]
    target = d.integers((rows,), 0, classes)
    scale = d.own(st.sampled_from((2.0, 8.0)))
    return {"embeddings": embeddings, "weight": weight, "target": target, "scale": scale, "_": (rows,)}


def arc_face(d: Draw) -> Request:
    return {**_centred(d), **d.option("margin", 0.0, 57.3, 120.0)}


def cos_face(d: Draw) -> Request:
    return {**_centred(d), **d.option("margin", 0.0, 0.5)}


def _cross_entropy(t: Tensors, scale: float, own: list[Tensor], cosines: Tensor) -> Tensor:
    values = []
    for n, y in enumerate(t["target"].tolist()):
        logits = [own[n] if c == y else cosines[n, c] for c in range(cosines.shape[1])]
        values.append(-torch.log_softmax(scale * torch.stack(logits), 0)[y])
    return torch.stack(values) if values else cosines.sum(-1)


def _cosines(t: Tensors) -> Tensor:
    return torch.einsum("nd,cd->nc", unit(t["embeddings"]), unit(t["weight"]))


def arc_face_reference(t: Tensors, options: Options) -> Tensor:
    """pytorch_metric_learning/losses/arcface_loss.py: the angle itself, by acos."""
    margin, cosines, own = math.radians(options.get("margin", 28.6)), _cosines(t), []
    for n, y in enumerate(t["target"].tolist()):
        angle = torch.acos(cosines[n, y])
        beyond = bool(angle > math.pi - margin)
        own.append(torch.cos(angle) - margin * math.sin(margin) if beyond else torch.cos(angle + margin))
    return _cross_entropy(t, options["scale"], own, cosines)


def cos_face_reference(t: Tensors, options: Options) -> Tensor:
    """pytorch_metric_learning/losses/cosface_loss.py."""
    cosines = _cosines(t)
    own = [cosines[n, y] - options.get("margin", 0.35) for n, y in enumerate(t["target"].tolist())]
    return _cross_entropy(t, options["scale"], own, cosines)


BUILDERS = {"arc_face_loss": arc_face, "cos_face_loss": cos_face}
REFERENCES = {"arc_face_loss": Reference(arc_face_reference), "cos_face_loss": Reference(cos_face_reference)}
