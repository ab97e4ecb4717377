"""Class weights, and orders in which classes are balanced: counting and sorting, on the host."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.dtype import FLOATING
from schemas.operation import OperationResult, Path
from schemas.operations.balanced_order import BalancedOrder
from schemas.operations.class_weights import ClassWeights
from service.compute.batch import typed
from service.compute.operations.register import register
from service.compute.transfer import Device

NAMED: Final = 10
"""Classes that a warning names."""


@register(ClassWeights)
def _(r: ClassWeights, _device: Device) -> OperationResult:
    checked = r.checked
    counts = _counted(r)
    weight = np.zeros(counts.shape)
    there = counts > 0
    weight[there] = _weights(r, counts[there].astype(np.float64))
    if r.normalize != "none" and there.any():
        weight /= weight.sum() if r.normalize == "sum" else weight[there].mean()
    absent = np.flatnonzero(~there)
    absent = absent[absent != r.ignore_index]
    if absent.size:
        named = ", ".join(map(str, absent[:NAMED].tolist())) + (", ..." if absent.size > NAMED else "")
        checked.warnings.append(f"classes that never occur have weight 0; {absent.size} of {there.size}: {named}")
    found: dict[Path, NDArray[Any]] = {("weight",): typed(weight, FLOATING[checked.dtype]), ("counts",): counts}
    return OperationResult(found, {}, checked.dtype, checked.warnings)


def _counted(r: ClassWeights) -> NDArray[np.int64]:
    tensors = r.checked.tensors
    if "counts" in tensors:
        counts = tensors["counts"].copy()
    else:
        labels = tensors["labels"].reshape(-1)
        counts = np.bincount(labels[labels != r.ignore_index], minlength=r.checked.layout.classes or 0)
    if 0 <= r.ignore_index < counts.size:
        counts[r.ignore_index] = 0
    return counts.astype(np.int64, copy=False)


def _weights(r: ClassWeights, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The formulas, of counts above 0."""
    if r.method == "inverse":
        return 1 / counts
    if r.method == "balanced":
        return np.asarray(counts.sum() / (counts.size * counts))
    if r.beta == 0:
        return np.ones_like(counts)
    # 1 - beta**n loses all digits where beta**n is near 1.
    return np.asarray((1 - r.beta) / -np.expm1(counts * np.log(r.beta)))


@register(BalancedOrder)
def _(r: BalancedOrder, _device: Device) -> OperationResult:
    checked = r.checked
    labels = checked.tensors["labels"]
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Sorted by class, and within it by position or by key: the buffers, one after another.
    buffers = inverse.argsort(kind="stable")
    if r.seed is not None:
        buffers = np.lexsort((splitmix64(r.seed, labels.size), inverse))
    repeats = counts.max(initial=0) / counts
    starts = counts.cumsum() - counts
    rounds = np.arange(counts.max(initial=0))
    if r.interleave:
        rounds = rounds[:, None]
    else:
        counts, starts = counts[:, None], starts[:, None]
    order = buffers[rounds % counts + starts].reshape(-1)
    found: dict[Path, NDArray[Any]] = {
        ("order",): order,
        ("classes",): classes,
        ("repeats",): typed(repeats, FLOATING[checked.dtype]),
    }
    return OperationResult(found, {}, checked.dtype, checked.warnings)


def splitmix64(seed: int, count: int) -> NDArray[np.uint64]:
    """The first outputs of SplitMix64 (Steele, Lea and Flood 2014; https://prng.di.unimi.it/splitmix64.c)."""
    with np.errstate(over="ignore"):  # modulo 2^64
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
