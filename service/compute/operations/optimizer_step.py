"""Optimizers' steps, by the functions that the classes of `torch.optim` call themselves.

They take parameters, gradients and state as lists of tensors and write to them; the classes around them would have to
be made for each request, and load torch's compiler (docs/adr/0023-operations.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.optim.adagrad import adagrad
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from schemas.operation import OperationResult, Path
from schemas.operations.optimizer_step import STEP, OptimizerStep
from service.compute.operations.register import answered, register, uploaded
from service.compute.transfer import Device, aligned


class Work(NamedTuple):
    """What a step works on, in one order: parameters, their gradients, and the tensors of each slot that is needed."""

    parameters: list[Tensor]
    gradients: list[Tensor]
    slots: dict[str, list[Any]]


@register(OptimizerStep)
def _(r: OptimizerStep, device: Device) -> OperationResult:
    t = uploaded(r, device)
    names = list(r.gradients)
    gradients = [t[f"gradients.{name}"] for name in names]
    found: dict[Path, Tensor] = {}
    if r.clip_norm is not None:
        gradients, found["total_norm",] = _clipped(gradients, r.clip_norm)
    # The functions write to what they are given: a request's own memory must stay as it is.
    stepped = {name: t[f"parameters.{name}"].clone() for name in names}
    slots = {slot: [_slot(r, t, name, slot) for name in names] for slot in r.slots()}
    if names:
        _STEPS[r.optimizer](Work(list(stepped.values()), gradients, slots), r.settings(), r.maximize)

    for name in r.parameters:
        found["parameters", name] = stepped[name] if name in stepped else t[f"parameters.{name}"]
    state = {entry: t[f"state.{entry}"] for entry in r.state}
    for slot, tensors in slots.items():
        for name, tensor in zip(names, tensors, strict=True):
            state[f"{name}.{slot}"] = tensor.to(torch.int64) if slot == STEP else tensor
    found |= {("state", entry): tensor for entry, tensor in state.items()}
    return answered(r, device, found, None if state else {"state": {}})


def _clipped(gradients: list[Tensor], most: float) -> tuple[list[Tensor], Tensor]:
    """The gradients with a norm of at most that, and the norm that they had: as `clip_grad_norm_` does it."""
    gradients = [aligned(gradient) for gradient in gradients]  # a sum's last bits depend on where it begins
    total = torch.nn.utils.get_total_norm(gradients)
    scale = torch.clamp(most / (total + 1e-6), max=1.0)
    return [gradient * scale for gradient in gradients], total


def _slot(r: OptimizerStep, t: dict[str, Tensor], name: str, slot: str) -> Any:
    """A slot as the functions take it, or what it begins with.

    Steps are float64, and on the host: a float32, as torch has them, stands still at 2**24.
    """
    old = t.get(f"state.{name}.{slot}")
    if slot == STEP:
        return torch.zeros((), dtype=torch.float64) if old is None else old.to("cpu", torch.float64)
    if old is not None:
        return old.clone()
    if r.optimizer == "sgd":
        return None  # the momentum begins as the first gradient itself
    return torch.full_like(t[f"parameters.{name}"], r.settings()["initial_accumulator_value"] if slot == "sum" else 0.0)


def _sgd(w: Work, use: dict[str, Any], maximize: bool) -> None:
    buffers = w.slots.get("momentum_buffer", [None] * len(w.parameters))
    sgd(w.parameters, w.gradients, buffers, foreach=False, fused=False, maximize=maximize, **use)


def _adam(w: Work, use: dict[str, Any], maximize: bool, *, decoupled: bool = False) -> None:
    """`decoupled`: AdamW."""
    beta1, beta2 = use.pop("betas")
    slots = w.slots
    adam(
        w.parameters, w.gradients, slots["exp_avg"], slots["exp_avg_sq"], slots.get("max_exp_avg_sq", []), slots[STEP],
        foreach=False, fused=False, decoupled_weight_decay=decoupled,
        beta1=beta1, beta2=beta2, maximize=maximize, **use,
    )  # fmt: skip


def _adamw(w: Work, use: dict[str, Any], maximize: bool) -> None:
    _adam(w, use, maximize, decoupled=True)


def _rmsprop(w: Work, use: dict[str, Any], maximize: bool) -> None:
    slots = w.slots
    averages, buffers = slots.get("grad_avg", []), slots.get("momentum_buffer", [])
    rmsprop(
        w.parameters, w.gradients, slots["square_avg"], averages, buffers, slots[STEP],
        foreach=False, maximize=maximize, **use,
    )  # fmt: skip


def _adagrad(w: Work, use: dict[str, Any], maximize: bool) -> None:
    del use["initial_accumulator_value"]
    sums, steps = w.slots["sum"], w.slots[STEP]
    adagrad(w.parameters, w.gradients, sums, steps, foreach=False, fused=False, maximize=maximize, **use)


_STEPS: Final[dict[str, Callable[[Work, dict[str, Any], bool], None]]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}
"""All tensors of a step one after another (`foreach` off), as torch does on a CPU if it is not told otherwise."""
