"""Backward passes that start from given gradients.

`torch.autograd.grad` does the same, but compares the shapes by way of torch's symbolic shapes: that loads SymPy when it
first runs (0.6 s and 34 MB), and takes as long as a small pass itself at every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

engine: Callable[..., Sequence[Tensor | None]] | None = getattr(torch.autograd.graph, "_engine_run_backward", None)
"""What torch.autograd.grad calls; it is no promise of torch's (docs/adr/0027-backward-passes.md)."""


def backward_pass(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], starts: Sequence[Tensor], *, again: bool = False
) -> list[Tensor]:
    """The gradients in the inputs, of their shapes, when those in the outputs are `starts`: a vector-Jacobian product.

    Zeros where no output depends on an input. `again`: more passes through the same graph are to come.
    Raises `ValueError` for a start of another shape than its output's, and whatever torch raises.
    """
    for output, start in zip(outputs, starts, strict=True):
        if output.shape != start.shape:  # the engine would sum it over what it has too much
            raise ValueError(f"a gradient of shape {tuple(start.shape)} for an output of {tuple(output.shape)}")
    if engine is None:
        return list(torch.autograd.grad(outputs, inputs, starts, again, allow_unused=True, materialize_grads=True))
    # Neither is the gradients' own graph made, nor is anything added to the inputs' `grad`; unused inputs are allowed.
    found = engine(tuple(outputs), tuple(starts), again, False, tuple(inputs), True, accumulate_grad=False)
    return [
        torch.zeros_like(tensor) if gradient is None else gradient
        for gradient, tensor in zip(found, inputs, strict=True)
    ]
