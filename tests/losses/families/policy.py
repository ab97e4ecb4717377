"""Requests of the policy gradient losses, and what they are: with ratios clipped as their sources clip them."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import torch
from torch import Tensor

from tests.losses.canonical import Options, Reference, Tensors, masked
from tests.losses.draw import Array, Draw, Shape
from tests.losses.families.plain import Request


def advantages(d: Draw, shape: Shape) -> Array:
    """Not 0, where the clipped ratio's gradient in an advantage has a kink."""
    return np.asarray(d.floats(shape, 0.25, 2) * d.signs(shape))


def _tokens(d: Draw, shape: Shape) -> Request:
    return {
        "log_probs": d.floats(shape, -3, 0),
        **d.maybe("old_log_probs", d.floats(shape, -3, 0)),
        **d.maybe("mask", d.mask(shape)),
        "_": shape,
    }


def token_policy(d: Draw) -> Request:
    length = d.own(st.sampled_from((3, 1, 8, 0)))
    shape: Shape = (length,) if d.flag() else (d.size(), length)
    forms: list[Shape] = [shape, shape[:-1], (*shape[:-1], 1)]
    return {**_tokens(d, shape), "advantages": advantages(d, d.own(st.sampled_from(forms)))}


def _spread(t: Tensors) -> Tensor:
    """The advantages, one a token."""
    given, shape = t["advantages"], t["log_probs"].shape
    found: Tensor = (given if given.dim() == len(shape) else given[..., None]).expand(shape)
    return found


def _ratio(t: Tensors) -> Tensor:
    old = t["old_log_probs"] if "old_log_probs" in t else t["log_probs"].detach()
    found: Tensor = torch.exp(t["log_probs"]) / torch.exp(old)
    return found


def _kept(values: Tensor, t: Tensors) -> Tensor:
    return values * t["mask"] if "mask" in t else values


def importance_sampling(t: Tensors, _options: Options) -> Tensor:
    """Tinker's documentation of importance_sampling: -(exp(target_logprobs - sampling_logprobs) * advantages)."""
    return _kept(-_ratio(t) * _spread(t), t)


def ppo(d: Draw) -> Request:
    return {**token_policy(d), **d.option("epsilon", 0.1, 1.0), **d.option("epsilon_high", 0.28, 0.0)}


def clipped(ratio: Tensor, gain: Tensor, options: Options, low: float = 0.2, high: float | None = None) -> Tensor:
    """trl/trainer/grpo_trainer.py (1.10), _compute_loss; for tokens, Tinker's documentation of ppo."""
    low = options.get("epsilon", low)
    high = options.get("epsilon_high", low if high is None else high)
    bounded = torch.clamp(ratio, 1 - low, 1 + high)
    if "delta" in options:
        ratio = torch.clamp(ratio, max=options["delta"])
    return -torch.min(ratio * gain, bounded * gain)


def ppo_reference(t: Tensors, options: Options) -> Tensor:
    return _kept(clipped(_ratio(t), _spread(t), options), t)


def cispo(d: Draw) -> Request:
    return {**token_policy(d), **d.option("ratio_low", 0.5), **d.option("ratio_high", 1.5)}


def cispo_reference(t: Tensors, options: Options) -> Tensor:
    """trl/trainer/grpo_trainer.py (1.10), loss_type cispo; and Tinker's documentation of cispo, which bounds below."""
    weight = torch.clamp(_ratio(t), options.get("ratio_low", 0.0), options.get("ratio_high", 5.0)).detach()
    return _kept(-weight * _spread(t) * t["log_probs"], t)


def _sequences(d: Draw) -> Request:
    shape = (d.size(), d.own(st.sampled_from((3, 1, 8, 0))))
    request = {**_tokens(d, shape), **d.option("epsilon_high", 0.28)}
    if d.flag():
        request |= {"ref_log_probs": d.floats(shape, -3, 0), **d.option("beta", 0.5, 0.0)}
    return request


def grpo(d: Draw) -> Request:
    request = _sequences(d)
    shape = request["_"]
    request["advantages"] = advantages(d, shape if d.flag() else shape[:1])
    choice: dict[str, Any] = d.option("normalization", "grpo", "bnpo", "dr_grpo", "dapo")
    if choice.get("normalization") == "dr_grpo":
        choice["max_completion_length"] = 11
    if choice.get("normalization") == "dapo":
        choice |= d.option("num_items_in_batch", 7)
    return {**request, **choice, **d.option("epsilon", 0.1, 1.0), **d.option("delta", 2.5)}


def _k3(t: Tensors) -> Tensor:
    d = t["ref_log_probs"] - t["log_probs"]
    found: Tensor = torch.exp(d) - d - 1
    return found


def grpo_reference(t: Tensors, options: Options) -> Tensor:
    """trl/trainer/grpo_trainer.py (1.10), _compute_loss."""
    values = clipped(_ratio(t), _spread(t), options)
    if "ref_log_probs" in t:
        values = values + options.get("beta", 0.04) * _k3(t)
    return _kept(values, t)


def grpo_divisor(t: Tensors, options: Options, unreduced: Tensor) -> tuple[float | None, int]:
    """By the normalisation; null for means of sequences' means."""
    count, ignored = masked(t, options, unreduced)
    kind = options.get("normalization", "grpo")
    if kind == "grpo":
        return (None if unreduced.numel() else 0.0), ignored
    if kind == "dr_grpo":
        return float(len(unreduced) * options["max_completion_length"]), ignored
    return float(options.get("num_items_in_batch", count)), ignored


def grpo_mean(t: Tensors, options: Options) -> Tensor:
    """The same file: each sequence by its tokens, then their mean; else the sum over the divisor."""
    values = grpo_reference(t, options)
    divisor, ignored = grpo_divisor(t, options, values)
    if divisor is None:
        if ignored == values.numel():
            return torch.tensor(math.nan)
        mask = t["mask"] if "mask" in t else torch.ones_like(values, dtype=torch.bool)
        return torch.stack([row.sum() / max(int(kept.sum()), 1) for row, kept in zip(values, mask, strict=True)]).mean()
    return values.sum() / divisor if divisor and values.numel() else torch.tensor(0.0 if divisor else math.nan)


def gspo(d: Draw) -> Request:
    request = _sequences(d)
    rows = request["_"][0]
    if "old_log_probs" in request:  # near enough for some to lie within the clip range
        near = request["log_probs"].astype(np.float64) + d.floats(request["_"], -0.2, 0.2).astype(np.float64)
        request["old_log_probs"] = d.typed(near)
    return {**request, "advantages": advantages(d, (rows,)), **d.option("epsilon", 0.1), "_": (rows,)}


def gspo_reference(t: Tensors, options: Options) -> Tensor:
    """The same file, importance_sampling_level sequence and loss_type grpo; its divergence meant over the tokens."""
    ratio, values = _ratio(t), []
    for n, advantage in enumerate(t["advantages"]):
        kept = [i for i in range(ratio.shape[1]) if "mask" not in t or t["mask"][n, i]]
        if not kept:
            values.append(t["log_probs"].sum() * 0)
            continue
        geometric = torch.prod(ratio[n, kept]) ** (1 / len(kept))
        value = clipped(geometric, advantage, options, 3e-4, 4e-4)
        if "ref_log_probs" in t:
            value = value + options.get("beta", 0.04) * _k3(t)[n, kept].mean()
        values.append(value)
    return torch.stack(values) if values else t["log_probs"].sum(-1)


BUILDERS = {
    "importance_sampling_loss": token_policy,
    "ppo_clip_loss": ppo,
    "cispo_loss": cispo,
    "grpo_loss": grpo,
    "gspo_loss": gspo,
}
REFERENCES = {
    "importance_sampling_loss": Reference(importance_sampling, masked),
    "ppo_clip_loss": Reference(ppo_reference, masked),
    "cispo_loss": Reference(cispo_reference, masked),
    "grpo_loss": Reference(grpo_reference, grpo_divisor, grpo_mean),
    "gspo_loss": Reference(gspo_reference),
}
