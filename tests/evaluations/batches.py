"""Batches of evaluation runs, drawn by a seed; and what they are cut into."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation.spec import MetricSpec, RunSpec
from service.evaluations.scored import Scored

LOSSES = {
    "multiclass": "cross_entropy",
    "binary": "binary_cross_entropy_with_logits",
    "multilabel": "binary_cross_entropy_with_logits",
    "regression": "mse_loss",
}


def spec_of(task: str, *metrics: str | MetricSpec, classes: int | None = None, **members: Any) -> RunSpec:
    """A run of a loss of this task."""
    asked = [MetricSpec.model_validate({"name": one}) if isinstance(one, str) else one for one in metrics]
    return RunSpec.model_validate({"loss": LOSSES[task], "metrics": asked, "classes": classes} | members)


def scored_of(
    values: NDArray[np.float64], shares: NDArray[np.float64] | None = None, batch_id: str = "b", **members: Any
) -> Scored:
    """A batch in which each sample has one element."""
    n = len(values)
    shares = np.ones(n) if shares is None else shares
    given: dict[str, Any] = {
        "batch_id": batch_id,
        "values": values,
        "shares": shares,
        "counts": np.ones(n, np.int64),
        "ignored": np.zeros(n, np.int64),
        "element_values": values,
        "element_shares": shares,
        "element_samples": np.arange(n),
    }
    return Scored(**given | members)


def drawn(task: str, n: int, classes: int, seed: int, batch_id: str = "b") -> Scored:
    """A batch with predictions: with ties, so coarsely are logits drawn; the last class is never there."""
    rng = np.random.default_rng(seed)
    targets: NDArray[Any]
    if task == "regression":
        predictions, targets = rng.normal(size=n), rng.normal(size=n)
        values = (predictions - targets) ** 2
        return scored_of(
            values, batch_id=batch_id, predictions=predictions, targets=targets, task="regression", form="values"
        )
    shape = (n,) if task == "binary" else (n, classes)
    predictions = np.round(rng.normal(size=shape) * 3, 1)
    if task == "multiclass":
        targets = rng.integers(0, max(classes - 1, 1), n)
        values = np.log(np.exp(predictions).sum(1)) - predictions[np.arange(n), targets]
    else:
        targets = (rng.random(shape) < 0.3).astype(np.float64)
        values = np.logaddexp(0, predictions) - targets * predictions
        values = values if task == "binary" else values.mean(axis=1)
    return scored_of(
        values,
        batch_id=batch_id,
        element_classes=targets if task == "multiclass" else None,
        predictions=predictions,
        targets=targets,
        task=task,
        form="logits",
    )


def cut(scored: Scored, sizes: list[int]) -> list[Scored]:
    """The same samples as batches of these sizes; each sample has one element."""
    found, start = [], 0
    for at, size in enumerate(sizes):
        part = slice(start, start + size)
        members: dict[str, Any] = {
            name: None if (value := getattr(scored, name)) is None else value[part]
            for name in (
                "values", "shares", "counts", "ignored", "element_values", "element_shares", "element_classes",
                "predictions", "targets", "sample_ids", "groups",
            )
        }  # fmt: skip
        found.append(replace(scored, batch_id=f"b{at}", element_samples=np.arange(len(members["values"])), **members))
        start += size
    return found
