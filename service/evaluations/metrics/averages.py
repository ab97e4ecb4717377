"""Precision, recall and F1 by class and averaged, as scikit-learn and torchmetrics define them.

Where nothing was predicted as a class, its precision is 0; where a class was not there, its recall is 0, if it was
predicted. A class that was neither has no figures (null), and is in no average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.task import Task
from service.evaluations.exact import quotient

Parts = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Numerators and denominators, by class."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """By class, each (C,): rows rightly predicted as it, rows predicted as it, rows that are it."""

    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]
    support: NDArray[np.int64]
    task: Task

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Classes that were there or predicted."""
        return (self.predicted > 0) | (self.support > 0)


def part(count: int, of: int) -> float:
    """NaN of nothing."""
    return quotient(count, of)


def precision(outcome: Outcome) -> Parts:
    """TP / (TP + FP)."""
    return outcome.hits, outcome.predicted


def recall(outcome: Outcome) -> Parts:
    """TP / (TP + FN)."""
    return outcome.hits, outcome.support


def f1(outcome: Outcome) -> Parts:
    """2 TP / (2 TP + FP + FN)."""
    return 2 * outcome.hits, outcome.predicted + outcome.support


def averaged(outcome: Outcome, parts: Parts) -> dict[str, Any]:
    """Micro, macro and weighted averages and all classes; of two classes also the positive one's, `binary`."""
    above, below = parts
    values = [part(a, b) if b else 0.0 for a, b in zip(above.tolist(), below.tolist(), strict=True)]
    seen = outcome.seen.tolist()
    there = [value for value, one in zip(values, seen, strict=True) if one]
    weights = outcome.support.tolist()
    total = sum(weights)
    weighted = math.fsum(value * weight for value, weight in zip(values, weights, strict=True))
    found: dict[str, Any] = {"binary": values[1] if any(seen) else math.nan} if outcome.task == "binary" else {}
    denominator = int(below.sum())
    return found | {
        "micro": part(int(above.sum()), denominator) if denominator or not there else 0.0,
        "macro": math.fsum(there) / len(there) if there else math.nan,
        "weighted": (weighted / total if total else 0.0) if there else math.nan,
        "per_class": [value if one else None for value, one in zip(values, seen, strict=True)],
    }


def balanced_accuracy(outcome: Outcome) -> float:
    """The mean recall of the classes that were there."""
    pairs = zip(outcome.hits.tolist(), outcome.support.tolist(), strict=True)
    recalls = [part(hits, support) for hits, support in pairs if support]
    return math.fsum(recalls) / len(recalls) if recalls else math.nan
