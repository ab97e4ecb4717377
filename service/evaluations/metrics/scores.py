"""A batch's predictions and targets, as metrics look at them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.task import Task
from service.evaluations.scored import Misfit, Scored


class Scores:
    """Rows of predictions with their targets: m of them, those that hold NaN left out.

    `raw` is (m, C), or (m,) for `binary` and `regression`; targets are classes (m,), booleans (m,) or (m, L), or values
    (m,). A soft binary target is positive above 0.5. Labels of +-1 go as well.
    """

    def __init__(self, task: Task, classes: int, scored: Scored) -> None:
        raw, targets = scored.predictions, scored.targets
        if raw is None or targets is None or scored.task != task:
            raise Misfit(f"the run's metrics are of {task} predictions; the batch has {scored.task or 'none'}")
        self.task = task
        self.form = scored.form
        raw = np.asarray(raw, np.float64)
        wide = task in ("multiclass", "multilabel")
        if raw.ndim != 1 + wide or (wide and raw.shape[1] != classes):
            expected = f"(m, {classes})" if wide else "(m,)"
            raise Misfit(f"predictions are {raw.shape}; the run's metrics need {expected}")
        if targets.shape != (raw.shape if task != "multiclass" else raw.shape[:1]):
            raise Misfit(f"targets are {targets.shape} for predictions that are {raw.shape}")
        if task in ("binary", "multilabel"):
            targets = targets > 0.5
        elif task == "multiclass" and len(targets) and not 0 <= targets.min() <= targets.max() < classes:
            raise Misfit(f"a target is outside [0, {classes})")
        self.classes = classes
        self.raw: NDArray[np.float64] = raw
        self.targets: NDArray[Any] = targets
        odd = np.isnan(self._spread if task == "regression" else self.probabilities)
        undefined = odd.any(axis=1) if odd.ndim == 2 else odd
        self.undefined = int(np.count_nonzero(undefined))
        if self.undefined:
            self.raw, self.targets = raw[~undefined], targets[~undefined]
            self.__dict__.pop("probabilities", None)

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def _spread(self) -> NDArray[np.float64]:
        """Errors, NaN where they or the target's square would not be finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            spread = self.raw - self.targets
        found: NDArray[np.float64] = np.where(np.isfinite(spread) & np.isfinite(self.targets), spread, np.nan)
        return found

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(m, C) or (m,): the softmax over classes, or the sigmoid; probabilities as they are."""
        if self.form == "probabilities":
            return self.raw
        found: NDArray[np.float64]
        with np.errstate(invalid="ignore", over="ignore"):
            if self.form == "log_probabilities":
                found = np.exp(self.raw)
            elif self.task != "multiclass":
                small = np.exp(-np.abs(self.raw))
                found = np.where(self.raw >= 0, 1.0, small) / (1 + small)
            else:
                found = np.exp(self.raw - self.raw.max(axis=1, keepdims=True))
                found /= found.sum(axis=1, keepdims=True)
        return found

    @cached_property
    def best(self) -> NDArray[np.int64]:
        """(m,) The class of the largest prediction, the first of equal ones."""
        found: NDArray[np.int64] = self.raw.argmax(axis=1)
        return found

    def positive(self, threshold: float) -> NDArray[Any]:
        """Whether probabilities are above the threshold."""
        return self.probabilities > threshold
