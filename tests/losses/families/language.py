"""Requests of the losses of language models, and what they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors, masked
from tests.losses.draw import Draw
from tests.losses.families.plain import indices

Request = dict[str, Any]


def z(d: Draw) -> Request:
    batch = d.shape(2)
    logits = d.floats((*batch, d.width("C")), -3, 3)
    return {"input": logits, **d.maybe("mask", d.mask(batch)), **d.option("coefficient", 1.0, 0.0), "_": batch}


def next_token(d: Draw) -> Request:
    classes, length = d.width("C"), d.width("T")
    batch = () if d.flag() and d.flag() else (d.size(),)
    ignore = d.option("ignore_index", 0, -1)
    return {
        "input": d.floats((*batch, length, classes), -3, 3),
        "target": indices(d, (*batch, length), classes, ignore),
        **ignore,
        **d.option("label_smoothing", 0.1, 1.0),
        **d.option("z_loss", 1e-2, 1.0),
        "_": (*batch, length - 1),
    }


def log_z_squared(t: Tensors, options: Options) -> Tensor:
    """t5x.losses.cross_entropy_with_logits, its auxiliary term."""
    found = options.get("coefficient", 1e-4) * torch.log(torch.exp(t["input"]).sum(-1)) ** 2
    return torch.where(t["mask"], found, 0) if "mask" in t else found


def next_token_loss(t: Tensors, options: Options) -> Tensor:
    """ForCausalLMLoss (transformers 4.50, loss/loss_utils.py), position by position, and Liger-Kernel's z term."""
    x, y = t["input"], t["target"]
    smoothing = options.get("label_smoothing", 0.0)
    shape = (*y.shape[:-1], y.shape[-1] - 1)
    values = []
    for logits, tokens in zip(x.reshape(-1, *x.shape[-2:]), y.reshape(-1, y.shape[-1]), strict=True):
        for at in range(len(tokens) - 1):
            if int(tokens[at + 1]) == options.get("ignore_index", -100):
                values.append(x.new_zeros(()))
                continue
            odds = torch.exp(logits[at])
            p = odds / odds.sum()
            hard, soft = -torch.log(p[int(tokens[at + 1])]), -torch.log(p).mean()
            squared = torch.log(odds.sum()) ** 2
            values.append((1 - smoothing) * hard + smoothing * soft + options.get("z_loss", 0.0) * squared)
    return torch.stack(values).reshape(shape) if values else x.new_zeros(shape)


def following(t: Tensors, options: Options, unreduced: Tensor) -> tuple[float, int]:
    """The tokens that follow one, and are not ignored."""
    ignored = int((t["target"][..., 1:] == options.get("ignore_index", -100)).sum())
    return float(unreduced.numel() - ignored), ignored


BUILDERS = {"z_loss": z, "next_token_cross_entropy": next_token}
REFERENCES = {
    "z_loss": Reference(log_z_squared, masked),
    "next_token_cross_entropy": Reference(next_token_loss, following),
}
