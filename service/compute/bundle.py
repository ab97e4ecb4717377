"""Computing a bundle: as any batch is computed, but its parts are laid out and cut by arithmetic on whole arrays.

The arrays are those that `service.compute.stack` makes of the same requests, and each part's sum runs over the same
elements in the same order: every answer is to the bit what it is alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.bundle import Bundle, BundleResult
from schemas.check import MEANS
from schemas.dims import Shape, numel
from schemas.dtype import FLOATING
from service.compute import reduce
from service.compute.batch import backward, evaluate, typed
from service.compute.transfer import Device
from service.losses import FORMULAS
from service.losses.lanes import LANE


class Grid(NamedTuple):
    """The parts of a bundle: `used` of `padded` rows each, of shape `inner`."""

    arrays: dict[str, NDArray[Any]]
    size: int
    used: int
    padded: int
    inner: Shape

    @property
    def values(self) -> Shape:
        """The shape of the unreduced values of all parts."""
        return (self.size * self.padded, *self.inner)

    def cut(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """The parts of an array with as many rows, each in this shape, without their padding."""
        parts = array.reshape(self.size, self.padded, *array.shape[1:])
        return parts[:, : self.used].reshape(self.size, *shape)


def compute_bundle(bundle: Bundle, device: Device) -> BundleResult:
    """The results of a bundle. Raises whatever torch raises."""
    first = bundle.first
    checked = first.checked
    grid = _elements(bundle) if first.stacking == "elements" else _rows(bundle)
    run = evaluate(
        first, grid.arrays, grid.values, checked.gradients, lambda dtype: _scale(bundle, grid, dtype), device
    )
    gradients = backward(run.terms, run.inputs, run.scale, (), None, None) if run.inputs else {}
    values = run.terms.values.detach()
    first_down = values if checked.reduction == "none" else _sums(grid, values)
    down, *cuts = device.download([first_down, *gradients.values()])
    dtype = FLOATING[checked.dtype]
    shapes = checked.layout.shapes
    return BundleResult(
        bundle,
        typed(_losses(bundle, grid, down), dtype),
        {name: typed(grid.cut(cut, shapes[name]), dtype) for name, cut in zip(gradients, cuts, strict=True)},
        bundle.divisor.astype(np.float64),
    )


def _elements(bundle: Bundle) -> Grid:
    layout = bundle.first.checked.layout
    size, used = bundle.size, numel(layout.unreduced)
    padded = -(-used // LANE) * LANE
    arrays = {}
    for name, given in bundle.tensors.items():
        array = given
        if layout.shapes[name] != layout.unreduced:
            viewed = layout.spread[name]
            ones = (1,) * (len(layout.unreduced) - len(viewed))
            array = np.broadcast_to(given.reshape(size, *ones, *viewed), (size, *layout.unreduced))
        arrays[name] = _padded(array.reshape(size, used), padded).reshape(-1)
    return Grid(arrays, size, used, padded, ())


def _rows(bundle: Bundle) -> Grid:
    first = bundle.first
    layout = first.checked.layout
    trailing = dict(layout.trailing)
    lead = next(name for name in bundle.tensors if name not in layout.shared)
    step = LANE // math.gcd(LANE, numel(trailing[lead])) if FORMULAS[type(first)].pads else 1
    padded = -(-layout.rows // step) * step
    arrays = {}
    for name, array in bundle.tensors.items():
        if name in layout.shared:
            arrays[name] = array[0]
        else:
            parts = _padded(array.reshape(bundle.size, layout.rows, *trailing[name]), padded)
            arrays[name] = parts.reshape(bundle.size * padded, *trailing[name])
    return Grid(arrays, bundle.size, layout.rows, padded, layout.inner)


def _padded(parts: NDArray[Any], padded: int) -> NDArray[Any]:
    """Parts with so many rows each, zeros in the new ones."""
    size, used, *inner = parts.shape
    if used == padded:
        return parts
    found = np.zeros((size, padded, *inner), parts.dtype)
    found[:, :used] = parts
    return found


def _scale(bundle: Bundle, grid: Grid, dtype: np.dtype) -> NDArray[Any]:
    """As `reduce.host_scale`: what each value's gradient starts from."""
    checked = bundle.first.checked
    scale = np.zeros((grid.size, grid.padded, *grid.inner), np.float64)
    used = scale[:, : grid.used]
    cotangent = bundle.cotangent
    if checked.reduction == "none":
        used[...] = 1.0 if cotangent is None else cotangent.reshape(used.shape)
    else:
        given = np.ones(grid.size) if cotangent is None else cotangent.astype(np.float64)
        if checked.reduction in MEANS:
            divides = (bundle.count > 0) & (bundle.divisor > 0)
            given = np.where(divides, given / np.where(divides, bundle.divisor, 1), 0.0)
        used[...] = given.reshape(-1, *(1,) * (used.ndim - 1))
    return reduce.rounded(scale.reshape(grid.values), dtype)


def _sums(grid: Grid, values: Tensor) -> Tensor:
    """As `reduce.totals`: each part's own sum."""
    kind = reduce.accumulator(values.dtype)
    width = numel(grid.inner)
    parts = values.reshape(grid.size, grid.padded * width)[:, : grid.used * width]
    if parts.shape[1] == 1:
        return parts[:, 0].to(kind)
    if values.device.type == "cpu":
        # A row of a matrix is summed like a vector of its own (tests/contract/test_bundles.py); a GPU's kernels choose
        # the order by the whole shape.
        return parts.sum(dim=1, dtype=kind)
    return torch.stack([part.sum(dtype=kind) for part in parts])


def _losses(bundle: Bundle, grid: Grid, down: NDArray[Any]) -> NDArray[Any]:
    """The reduced losses in float64, or the unreduced ones."""
    checked = bundle.first.checked
    if checked.reduction == "none":
        return grid.cut(down, checked.layout.unreduced)
    sums = down.astype(np.float64)
    if checked.reduction not in MEANS:
        return sums
    divisor = bundle.divisor
    means = sums / np.where(divisor == 0, 1, divisor)
    for at in np.flatnonzero(divisor == 0).tolist():
        means[at] = reduce.quotient(float(sums[at]), 0, int(bundle.count[at]), bundle.first.on_empty)
    return means
