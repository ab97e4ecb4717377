"""What a run's metrics count, and how they are worked out of the counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from schemas.evaluation.spec import MetricSpec, RunSpec
from schemas.evaluation.task import Task, task_of
from schemas.problem import Fault, pointer
from service.evaluations.cells import counted
from service.evaluations.coding import Cells
from service.evaluations.exact import Sums
from service.evaluations.metrics.catalogue import METRICS, Counts, Setting
from service.evaluations.metrics.counters import Counter
from service.evaluations.metrics.scores import Scores
from service.evaluations.scored import Scored

ROWS = "rows"
"""Cell 0: rows that metrics have seen; cell 1: those left out, as they hold NaN."""


@dataclass(frozen=True)
class Plan:
    """The metrics of one run, and each thing that they count once."""

    settings: tuple[Setting, ...]
    counters: tuple[Counter, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The cells of each counter, by its name."""
        return {ROWS: 2} | {counter.name: counter.size for counter in self.counters} if self.counters else {}

    def add(self, scored: Scored, sums: dict[str, Sums], cells: dict[str, Cells]) -> None:
        """Count a batch. Raises `Misfit` where its predictions do not fit the metrics."""
        if not self.counters or not len(scored.element_values):
            return
        setting = self.settings[0]
        scores = Scores(setting.task, setting.classes, scored)
        rows = np.array([len(scores), scores.undefined])
        used = np.flatnonzero(rows)
        cells[ROWS] = used, rows[used]
        for counter in self.counters:
            sums |= counter.sums(scores)
            if counter.size:
                cells[counter.name] = counted(counter.keys(scores), counter.size)

    def figures(self, counts: Counts) -> dict[str, Any]:
        """Every metric, by its name."""
        if not self.settings:
            return {}
        rows, undefined = counts.cells(ROWS).tolist()
        return {
            setting.name: METRICS[setting.name].figure(setting, counts, rows, bool(undefined))
            for setting in self.settings
        }


def plan_of(spec: RunSpec) -> Plan:
    """The plan of a run whose metrics are checked."""
    return _plan(spec.loss, task_of(spec), tuple(spec.classes or ()), tuple(spec.metrics))


@lru_cache(256)
def _plan(loss: str, task: Task | None, classes: tuple[str, ...], metrics: tuple[MetricSpec, ...]) -> Plan:
    settings = []
    counters: dict[str, Counter] = {}
    for metric in metrics:
        if task is None or METRICS[metric.name].fault(loss, task, len(classes), metric):
            raise ValueError(f"{metric.name} does not fit the run")
        settings.append(Setting.of(task, classes, metric))
        counter = METRICS[metric.name].counter(settings[-1])
        counters.setdefault(counter.name, counter)
    return Plan(tuple(settings), tuple(counters.values()))


def check_metrics(spec: RunSpec) -> list[Fault]:
    """What is wrong with a run's metrics: they do not fit its loss, lack classes, are there twice."""
    faults = []
    task = task_of(spec)
    for at, metric in enumerate(spec.metrics):
        detail = (
            f"{spec.loss} has no predictions that metrics could be computed of"
            if task is None
            else METRICS[metric.name].fault(spec.loss, task, len(spec.classes or ()), metric)
        )
        if detail is None and metric.name in [other.name for other in spec.metrics[:at]]:
            detail = f"{metric.name} is there twice"
        if detail is not None:
            faults.append(Fault(pointer("metrics", at), detail))
    return faults
