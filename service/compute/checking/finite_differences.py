"""Central differences: the loss in float64 at two points around each coordinate, against an analytic gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.request import LossRequest
from service.compute.checking.case import Array
from service.compute.objective import leaves, objective
from service.compute.transfer import Device
from service.losses import Tensors

MAX_COORDINATES: Final = 2048
MAX_ELEMENTS: Final = 1 << 27
"""Coordinates that are looked at, and elements that all of this may take; of more, so many are chosen by chance."""
SEED: Final = 0
"""What they are chosen by: the same request has the same ones."""
STEP: Final = float(np.finfo(np.float64).eps ** (1 / 3))
"""Where the error of the difference and that of rounding are alike; times a coordinate's magnitude, at least 1."""
TURN_ELEMENTS: Final = 1 << 20
TURN_COORDINATES: Final = 64
"""A turn looks at so many coordinates, or at fewer where the loss at one point takes long."""


class Coordinate(NamedTuple):
    """An element of a tensor, by its position in row-major order."""

    tensor: str
    position: int


@dataclass(slots=True)
class Sweep:
    """The coordinates to look at, `total` being all that there are, and the differences found so far, in order."""

    request: LossRequest
    step: float | None
    coordinates: list[Coordinate]
    total: int
    slopes: list[float] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether all coordinates have been looked at."""
        return len(self.slopes) == len(self.coordinates)

    @property
    def turn(self) -> int:
        """Coordinates of one turn."""
        elements = max(self.request.checked.layout.elements, 1)
        return max(1, min(TURN_COORDINATES, TURN_ELEMENTS // elements))


def sweep_of(request: LossRequest, step: float | None) -> Sweep:
    """All coordinates of the tensors that the request, in float64, has gradients for; or some of them."""
    sizes = {name: request.checked.tensors[name].size for name in request.checked.gradients}
    total = sum(sizes.values())
    chosen: NDArray[np.int64] = np.arange(total)
    most = min(MAX_COORDINATES, max(1, MAX_ELEMENTS // (2 * max(request.checked.layout.elements, 1))))
    if total > most:
        chosen = np.sort(np.random.default_rng(SEED).choice(total, most, replace=False))
    found: list[Coordinate] = []
    start = 0
    for name, size in sizes.items():
        found += [Coordinate(name, int(at) - start) for at in chosen if start <= at < start + size]
        start += size
    return Sweep(request, step, found, total)


def advance(sweep: Sweep, device: Device) -> Sweep:
    """The same sweep, one turn later."""
    request = sweep.request
    tensors = {name: tensor.clone() for name, tensor in leaves(request, device, "float64", ()).items()}
    bounds = {name: spec.domain for name, spec in request.fields_of(request.arrays()).items()}
    slopes = list(sweep.slopes)
    sums = {name: tensors[name].exp().sum(-1, keepdim=True) for name in request.normalised if name in tensors}
    with torch.no_grad():
        for name, position in sweep.coordinates[len(slopes) : len(slopes) + sweep.turn]:
            flat = tensors[name].view(-1)
            here = flat[position].item()
            step = STEP * max(1.0, abs(here)) if sweep.step is None else sweep.step
            low, high = here - step, here + step
            if bounds.get(name) == "unit":  # beyond it there is no loss
                low, high = max(low, 0.0), min(high, 1.0)
            flat[position] = high
            above = _value(request, tensors, sums)
            flat[position] = low
            below = _value(request, tensors, sums)
            flat[position] = here
            slopes.append((above - below) / (high - low) if high > low else float("nan"))
    return Sweep(request, sweep.step, sweep.coordinates, sweep.total, slopes)


def _value(request: LossRequest, tensors: Tensors, sums: Tensors) -> float:
    """The loss; of a gradient that holds log_softmax's backward step already, by a function that has that gradient.

    `sums`: of the probabilities of such tensors, before any coordinate was moved.
    """
    stepped = {name: tensors[name] - (tensors[name].exp().sum(-1, keepdim=True) - own) for name, own in sums.items()}
    return float(objective(request, {**tensors, **stepped}).item())


class Largest(NamedTuple):
    """The largest difference between a gradient and its slopes, at that index; `checked`: coordinates of the tensor."""

    value: float
    at: tuple[int, ...] | None
    checked: int


def largest_differences(sweep: Sweep, gradients: dict[str, Array]) -> dict[str, Largest]:
    """By tensor, how far these gradients are from the slopes; infinite where only one of them is a number."""
    found: dict[str, Largest] = {}
    for name, gradient in gradients.items():
        flat = gradient.reshape(-1)
        own = [
            (at.position, slope) for at, slope in zip(sweep.coordinates, sweep.slopes, strict=True) if at.tensor == name
        ]
        worst, where = 0.0, None
        for position, slope in own:
            analytic = float(flat[position])
            off = abs(analytic - slope)
            if np.isnan(off):
                off = 0.0 if np.isnan(analytic) and np.isnan(slope) else float("inf")
            if where is None or off > worst:
                worst, where = off, position
        at = None
        if where is not None:
            at = tuple(int(index) for index in np.unravel_index(where, gradient.shape)) if gradient.ndim else ()
        found[name] = Largest(worst, at, len(own))
    return found
