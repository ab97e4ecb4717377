"""What a loss's predictions are compared with: the task, which tells the metrics that fit."""

from __future__ import annotations

from typing import Literal

from schemas.evaluation.spec import RunSpec
from schemas.losses import LOSSES
from schemas.request import LossRequest

Task = Literal["multiclass", "binary", "multilabel", "regression"]


def task_of(spec: RunSpec) -> Task | None:
    """The task of a run; `None`: its loss has none, and no metric fits.

    A loss of each element by itself is computed for labels where the run names two classes or more: they are the
    columns of its predictions.
    """
    cls = LOSSES[spec.loss]
    if cls.predicts is None:
        return None
    if cls.predicts == "values":
        return "regression"
    if cls.tensor_fields["target"].kind == "index":
        return "multiclass"
    if _of_labels(cls) or (spec.classes is not None and len(spec.classes) > 1):
        return "multilabel"
    return "binary"


def class_names(spec: RunSpec) -> tuple[str, ...] | None:
    """The names of the classes that elements of its losses have; both where a binary run names the positive one."""
    if spec.classes is None:
        return None
    return both(spec.classes[0]) if task_of(spec) == "binary" else tuple(spec.classes)


def both(positive: str) -> tuple[str, str]:
    """The names of both classes, by that of the positive one."""
    return f"not {positive}", positive


def _of_labels(cls: type[LossRequest]) -> bool:
    """Whether it has one loss for all labels of a sample."""
    return "C" in cls.tensor_fields["target"].dims
