"""Requests of the distillation losses, and what they are."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors, masked
from tests.losses.draw import Draw
from tests.losses.families.plain import Request


def models(d: Draw) -> Request:
    shape = (*d.shape(2), d.width("C", 2))
    return {
        "student_logits": d.floats(shape),
        "teacher_logits": d.floats(shape),
        **d.maybe("mask", d.mask(shape[:-1])),
        **d.option("temperature", 2.0, 0.5),
        "_": shape[:-1],
    }


def scaled(d: Draw) -> Request:
    return {**models(d), **d.option("scale_by_temperature", True, False)}


def jsd(d: Draw) -> Request:
    return {**models(d), **d.option("beta", 0.0, 1.0, 0.125, 0.75)}


def probabilities(logits: Tensor, options: Options) -> Tensor:
    """By the definition of softmax: the logits that are drawn are small."""
    powers = torch.exp(logits / options.get("temperature", 1.0))
    return powers / powers.sum(-1, keepdim=True)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    return (p * torch.log(p / q)).sum(-1)


def kept(values: Tensor, t: Tensors) -> Tensor:
    return torch.where(t["mask"], values, torch.zeros_like(values)) if "mask" in t else values


def forward(t: Tensors, options: Options) -> Tensor:
    p, q = probabilities(t["teacher_logits"], options), probabilities(t["student_logits"], options)
    factor = options.get("temperature", 1.0) ** 2 if options.get("scale_by_temperature", True) else 1.0
    return kept(factor * divergence(p, q), t)


def reverse(t: Tensors, options: Options) -> Tensor:
    p, q = probabilities(t["teacher_logits"], options), probabilities(t["student_logits"], options)
    factor = options.get("temperature", 1.0) ** 2 if options.get("scale_by_temperature", False) else 1.0
    return kept(factor * divergence(q, p), t)


def mixed(t: Tensors, options: Options) -> Tensor:
    """Equation 1 of arXiv:2306.13649, and its ends as TRL has them."""
    p, q = probabilities(t["teacher_logits"], options), probabilities(t["student_logits"], options)
    beta = options.get("beta", 0.5)
    if beta in (0, 1):
        return kept(divergence(q, p) if beta else divergence(p, q), t)
    m = beta * p + (1 - beta) * q
    return kept(beta * divergence(p, m) + (1 - beta) * divergence(q, m), t)


BUILDERS = {"distillation_kl_loss": scaled, "reverse_kl_loss": scaled, "generalized_jsd_loss": jsd}
REFERENCES = {
    "distillation_kl_loss": Reference(forward, masked, cancels=True),
    "reverse_kl_loss": Reference(reverse, masked, cancels=True),
    "generalized_jsd_loss": Reference(mixed, masked, cancels=True),
}
