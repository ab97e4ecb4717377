"""The metrics: which tasks each fits, what it counts, and its figure.

Metrics are of the elements that contribute to the loss, each with the same weight: class weights and other weights of
the loss do not enter. Each is NaN without any row, and where a prediction makes it undefined.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.spec import MetricSpec
from schemas.evaluation.task import Task, both
from service.evaluations.exact import UNIT, Sums, quotient
from service.evaluations.metrics import averages, calibration, ranking, residuals
from service.evaluations.metrics.counters import (
    Brier,
    Confusion,
    Counter,
    Errors,
    Outcomes,
    Reliability,
    ScoreBins,
    Top,
)

MAX_CONFUSION: Final = 1024
"""Classes of a confusion matrix."""

_CLASSES: Final[tuple[Task, ...]] = ("multiclass", "binary")
_LABELS: Final[tuple[Task, ...]] = (*_CLASSES, "multilabel")


class Counts(Protocol):
    """What a tally tells metrics."""

    sums: dict[str, Sums]

    def cells(self, name: str) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """A metric of a run, with every option there."""

    name: str
    task: Task
    names: tuple[str, ...]
    """Of classes or labels; both classes of `binary`."""
    k: int
    bins: int
    threshold: float

    @classmethod
    def of(cls, task: Task, classes: tuple[str, ...], metric: MetricSpec) -> Setting:
        """What is left out has its default."""
        names = classes
        if task == "binary":
            names = both(names[0]) if names else ("0", "1")
        threshold = 0.5 if metric.threshold is None else metric.threshold
        return cls(metric.name, task, names, metric.k or 5, metric.bins or 15, threshold)

    @property
    def classes(self) -> int:
        return len(self.names)

    @property
    def ranked(self) -> int:
        """Classes that scores rank rows by: of `binary` the positive one alone."""
        return 1 if self.task == "binary" else self.classes


@dataclass(frozen=True, slots=True)
class Seen:
    """What a metric's figure is worked out of."""

    setting: Setting
    counts: Counts
    rows: int

    def cells(self, counter: Counter) -> NDArray[np.int64]:
        return self.counts.cells(counter.name)

    def sums(self, name: str) -> Sums:
        return self.counts.sums.get(name, {})


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    tasks: tuple[Task, ...]
    counter: Callable[[Setting], Counter]
    compute: Callable[[Seen], Any]
    takes: tuple[str, ...] = ()
    most_classes: int | None = None

    def figure(self, setting: Setting, counts: Counts, rows: int, undefined: bool) -> Any:
        """What the report has under the metric's name."""
        found = self.compute(Seen(setting, counts, rows))
        return _spoiled(found) if undefined else found

    def fault(self, loss: str, task: Task, classes: int, metric: MetricSpec) -> str | None:
        """Why it can't be computed in this run, if it can't."""
        if task not in self.tasks:
            return f"{metric.name} is of {' and '.join(self.tasks)} predictions; those of {loss} are {task}"
        if task in ("multiclass", "multilabel") and not classes:
            return f"{metric.name} needs the run's classes"
        if self.most_classes is not None and classes > self.most_classes:
            return f"{metric.name} takes at most {self.most_classes} classes"
        for option in ("k", "bins", "threshold"):
            taken = option in self.takes and not (option == "threshold" and task == "multiclass")
            if getattr(metric, option) is not None and not taken:
                return f"{metric.name} has no {option} for {task} predictions"
        if "k" in self.takes and (metric.k or 5) > classes:
            return f"k is {metric.k or 5}, and there are {classes} classes"
        return None


def _spoiled(figure: Any) -> Any:
    """The figure with NaN for every number but counts and the edges of bins."""
    if isinstance(figure, dict):
        return {
            name: member if name in ("low", "high") and "count" in figure else _spoiled(member)
            for name, member in figure.items()
        }
    if isinstance(figure, list):
        return [_spoiled(member) for member in figure]
    return math.nan if isinstance(figure, float) else figure


def _outcomes(setting: Setting) -> Counter:
    return Outcomes(setting.classes, setting.threshold)


def _confusion(setting: Setting) -> Counter:
    return Confusion(setting.classes, setting.threshold)


def _bins(setting: Setting) -> Counter:
    return ScoreBins(setting.ranked)


def _outcomes_of(seen: Seen) -> averages.Outcome:
    setting = seen.setting
    hits, predicted, support = seen.cells(_outcomes(setting))[:-1].reshape(3, setting.classes)
    return averages.Outcome(hits, predicted, support, setting.task)


def _accuracy(seen: Seen) -> float:
    return averages.part(int(seen.cells(_outcomes(seen.setting))[-1]), seen.rows)


def _top(seen: Seen) -> dict[str, Any]:
    k = seen.setting.k
    return {"k": k, "value": averages.part(int(seen.cells(Top(k))[0]), seen.rows)}


def _balanced(seen: Seen) -> float:
    return averages.balanced_accuracy(_outcomes_of(seen))


def _averaged(of: Callable[[averages.Outcome], averages.Parts]) -> Callable[[Seen], Any]:
    def compute(seen: Seen) -> Any:
        outcome = _outcomes_of(seen)
        return averages.averaged(outcome, of(outcome))

    return compute


def _confusion_matrix(seen: Seen) -> dict[str, Any]:
    names = seen.setting.names
    cells = seen.cells(_confusion(seen.setting)).reshape(len(names), len(names))
    return {"classes": list(names), "counts": cells.tolist()}


def _ranked(of: ranking.Rank) -> Callable[[Seen], Any]:
    def compute(seen: Seen) -> Any:
        counter = ScoreBins(seen.setting.ranked)
        return ranking.averaged(seen.cells(counter).reshape(counter.classes, 2, counter.bins), of)

    return compute


def _calibration(seen: Seen) -> dict[str, Any]:
    counter = Reliability(seen.setting.bins)
    return calibration.error(seen.cells(counter).reshape(2, counter.bins), seen.sums(counter.name), seen.rows)


def _brier(seen: Seen) -> float:
    return quotient(seen.sums(Brier().name).get(0, 0), seen.rows << UNIT)


def _regression(of: Callable[[residuals.Totals, int], float]) -> Metric:
    def compute(seen: Seen) -> float:
        totals = [seen.sums(name).get(0, 0) for name in ("error", "error_squared", "target", "target_squared")]
        return of(residuals.Totals(*totals), seen.rows)

    return Metric(("regression",), lambda _: Errors(), compute)


METRICS: Final[dict[str, Metric]] = {
    "accuracy": Metric(_LABELS, _outcomes, _accuracy, ("threshold",)),
    "top_k_accuracy": Metric(("multiclass",), lambda setting: Top(setting.k), _top, ("k",)),
    "balanced_accuracy": Metric(_CLASSES, _outcomes, _balanced, ("threshold",)),
    "precision": Metric(_LABELS, _outcomes, _averaged(averages.precision), ("threshold",)),
    "recall": Metric(_LABELS, _outcomes, _averaged(averages.recall), ("threshold",)),
    "f1": Metric(_LABELS, _outcomes, _averaged(averages.f1), ("threshold",)),
    "auroc": Metric(_LABELS, _bins, _ranked(ranking.auroc)),
    "average_precision": Metric(_LABELS, _bins, _ranked(ranking.average_precision)),
    "calibration_error": Metric(_CLASSES, lambda setting: Reliability(setting.bins), _calibration, ("bins",)),
    "confusion_matrix": Metric(_CLASSES, _confusion, _confusion_matrix, ("threshold",), MAX_CONFUSION),
    "brier_score": Metric(_CLASSES, lambda _: Brier(), _brier),
    "mae": _regression(residuals.mean_absolute),
    "mse": _regression(residuals.mean_squared),
    "rmse": _regression(residuals.root_mean_squared),
    "r2": _regression(residuals.r2),
}
