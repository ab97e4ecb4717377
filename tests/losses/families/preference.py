"""Requests of the preference losses, and what they are: from probabilities and odds."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors
from tests.losses.draw import Draw
from tests.losses.families.plain import Request, narrowed


def dpo(d: Draw) -> Request:
    shape = d.shape()
    names = ("policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected")
    options = {**d.option("beta", 0.3, 1.7), **d.option("loss_type", "sigmoid", "hinge", "ipo", "robust")}
    if options.get("loss_type") not in ("hinge", "ipo"):
        options |= d.option("label_smoothing", 0.1, 0.45)
    return {**{name: d.floats(shape) for name in names}, **options, "_": shape}


def _log_sigmoid(x: Tensor) -> Tensor:
    return -torch.log1p(torch.exp(-x))


def dpo_reference(t: Tensors, options: Options) -> Tensor:
    """trl/trainer/dpo_trainer.py (1.10), compute_loss: reverse_kl, and the loss types of these names."""
    beta: float = options.get("beta", 0.1)
    e: float = options.get("label_smoothing", 0.0)
    kind = options.get("loss_type", "sigmoid")
    delta: Tensor = (t["policy_chosen"] - t["policy_rejected"]) - (t["reference_chosen"] - t["reference_rejected"])
    if kind == "hinge":
        return (1 - beta * delta) * (beta * delta < 1)
    if kind == "ipo":
        return (delta - 0.5 / beta) ** 2
    right, wrong = _log_sigmoid(beta * delta), _log_sigmoid(-beta * delta)
    if kind == "robust":
        return (-(1 - e) * right + e * wrong) / (1 - 2 * e)
    return -(1 - e) * right - e * wrong


def kto(d: Draw) -> Request:
    shape = d.shape()
    return {
        "policy": d.floats(shape),
        "reference": d.floats(shape),
        "label": d.mask(shape),
        **d.maybe("kl", d.floats(narrowed(d, shape))),
        **d.option("beta", 0.5, 2.0),
        **d.option("desirable_weight", 1.5, 0.0),
        **d.option("undesirable_weight", 0.25),
        "_": shape,
    }


def kto_reference(t: Tensors, options: Options) -> Tensor:
    """trl/trainer/kto_trainer.py (1.10), loss_type kto: chosen and rejected answers apart."""
    beta = options.get("beta", 0.1)
    kl = torch.relu(t["kl"].detach()) if "kl" in t else torch.zeros(())
    ratio = t["policy"] - t["reference"]
    chosen = options.get("desirable_weight", 1.0) * (1 - 1 / (1 + torch.exp(-beta * (ratio - kl))))
    rejected = options.get("undesirable_weight", 1.0) * (1 - 1 / (1 + torch.exp(-beta * (kl - ratio))))
    return torch.where(t["label"], chosen, rejected)


def orpo(d: Draw) -> Request:
    shape = d.shape()
    return {
        "policy_chosen": d.floats(shape, -3, -0.1),
        "policy_rejected": d.floats(shape, -3, -0.1),
        **d.maybe("chosen_nll", d.floats(narrowed(d, shape), 0.1, 3)),
        **d.option("beta", 1.0, 0.0),
        "_": shape,
    }


def orpo_reference(t: Tensors, options: Options) -> Tensor:
    """trl/experimental/orpo/orpo_trainer.py (1.10): odds_ratio_loss, and the loss of get_batch_loss_metrics."""
    chosen, rejected = torch.exp(t["policy_chosen"]), torch.exp(t["policy_rejected"])
    odds, others = chosen / (1 - chosen), rejected / (1 - rejected)
    values: Tensor = -options.get("beta", 0.1) * torch.log(odds / (odds + others))  # sigmoid(log(a / b)) = a / (a + b)
    return values + t["chosen_nll"] if "chosen_nll" in t else values


def simpo(d: Draw) -> Request:
    shape = d.shape()
    return {
        "policy_chosen": d.floats(shape),
        "policy_rejected": d.floats(shape),
        **d.option("beta", 0.5, 2.5),
        **d.option("gamma", 0.0, 1.25),
        **d.option("label_smoothing", 0.1),
        "_": shape,
    }


def simpo_reference(t: Tensors, options: Options) -> Tensor:
    """trl/experimental/cpo/cpo_trainer.py (1.10), cpo_loss with loss_type simpo."""
    beta: float = options.get("beta", 2.0)
    e: float = options.get("label_smoothing", 0.0)
    logits: Tensor = t["policy_chosen"] - t["policy_rejected"] - options.get("gamma", 0.5) / beta
    return -_log_sigmoid(beta * logits) * (1 - e) - _log_sigmoid(-beta * logits) * e


BUILDERS = {"dpo_loss": dpo, "kto_loss": kto, "orpo_loss": orpo, "simpo_loss": simpo}
REFERENCES = {
    "dpo_loss": Reference(dpo_reference),
    "kto_loss": Reference(kto_reference),
    "orpo_loss": Reference(orpo_reference),
    "simpo_loss": Reference(simpo_reference),
}
