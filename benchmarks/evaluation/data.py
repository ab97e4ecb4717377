"""A made-up data set: logits and classes of any number of samples, the same whoever makes them."""

import math

import numpy as np
from numpy.typing import NDArray

SEED = 6
Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


def batch(at: int, rows: int, classes: int) -> Batch:
    """The batch of that number: logits that tell something of the class, and classes of uneven frequency."""
    rng = np.random.default_rng((SEED, at))
    target = np.minimum(rng.geometric(2 / classes, rows) - 1, classes - 1)
    logits = rng.normal(size=(rows, classes)).astype(np.float32)
    logits[np.arange(rows), target] += 1.5
    return logits, target


def losses(own: Batch) -> NDArray[np.float64]:
    """Each sample's cross entropy in float64: log(sum(exp)), shifted by the largest, less the class's logit."""
    logits, target = own[0].astype(np.float64), own[1]
    highest = logits.max(1, keepdims=True)
    normaliser = highest[:, 0] + np.log(np.exp(logits - highest).sum(1))
    return np.asarray(normaliser - logits[np.arange(len(target)), target])


def reference(batches: int, rows: int, classes: int) -> tuple[float, float]:
    """The data set's mean loss in one pass, by `math.fsum`; and its accuracy."""
    right = 0
    found: list[float] = []
    for at in range(batches):
        own = batch(at, rows, classes)
        right += int((own[0].argmax(1) == own[1]).sum())
        found.extend(losses(own).tolist())
    return math.fsum(found) / len(found), right / len(found)
